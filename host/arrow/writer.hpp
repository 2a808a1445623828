// Writes an Arrow IPC file piece by piece: what has been written so far can be completed after a crash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/arrow/reader.hpp"

namespace lanner::host::arrow {

/// `kind` is integer, unsigned_integer, floating, text (32-bit offsets) or timestamp (nanoseconds, UTC).
struct WrittenField {
  std::string name;
  Kind kind = Kind::floating;
  int bits = 64;
  bool nullable = false;
};

/// A column of a record batch, borrowed. `validity` is read only where null_count > 0.
struct WrittenColumn {
  Bytes data;
  Bytes offsets;  ///< text: rows + 1 int32
  Bytes validity;
  std::size_t null_count = 0;
};

/// The bytes of one file, in order: begin, batches, end. Appends to `out`; keeps only where the batches lie.
class FileWriter {
 public:
  explicit FileWriter(std::vector<WrittenField> fields);
  ~FileWriter();

  void begin(std::string& out);
  /// One WrittenColumn a field, `rows` values each.
  void batch(std::size_t rows, std::span<const WrittenColumn> columns, std::string& out);
  /// Readable from here on, and complete.
  void end(std::string& out);

  /// Takes up an unfinished file: how many of its bytes are whole messages, after which batches or the end
  /// may follow. 0: it isn't the beginning of a file with these fields.
  std::size_t resume(Bytes bytes);

 private:
  struct Place {
    std::int64_t offset = 0;
    std::int32_t metadata_bytes = 0;
    std::int64_t body_bytes = 0;
  };

  struct Scratch;  // what a batch's metadata is built in

  std::vector<WrittenField> fields_;
  std::vector<Place> places_;
  std::unique_ptr<Scratch> scratch_;
  std::size_t position_ = 0;
};

}  // namespace lanner::host::arrow
