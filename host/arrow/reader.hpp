// Reads Arrow's IPC format, stream and file: where each column's buffers lie, every offset and length
// checked. Values stay where they are; nothing here allocates by a number that a sender wrote. Source:
// https://arrow.apache.org/docs/format/Columnar.html
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/bytes.hpp"

namespace lanner::host::arrow {

/// `other`: a column whose values aren't read here (nested, dictionary-encoded, decimal, ...), only stepped
/// over.
enum class Kind : std::uint8_t {
  null,
  integer,
  unsigned_integer,
  floating,
  boolean,
  text,
  text_view,
  timestamp,
  other
};

struct Field {
  std::string_view name;  ///< borrowed from the reader
  Kind kind = Kind::other;
  int bits = 0;              ///< of a value; of an offset for text
  std::int64_t unit_ns = 0;  ///< timestamp: nanoseconds a unit
  std::string type;          ///< as a person says it: "Int32", "dictionary-encoded Utf8"
};

/// A column of one record batch. Buffers are borrowed, may be unaligned, and are long enough for `rows`
/// values.
struct Column {
  std::size_t rows = 0;
  bool has_nulls = false;
  Bytes validity;  ///< bits, least significant first; read only if has_nulls
  Bytes offsets;   ///< text: rows + 1 offsets (empty if there are no rows), not yet checked
  Bytes data;      ///< values; text: the bytes; text_view: 16 bytes a value
  std::size_t parts_begin = 0, parts_end = 0;  ///< text_view: its further buffers, in Reader::parts()

  bool valid(std::size_t row) const {
    return !has_nulls || (std::to_integer<unsigned>(validity[row / 8]) >> (row % 8) & 1u) != 0;
  }
};

/// A value at `index`, wherever the frame put it in memory.
template <class T>
T value_at(Bytes bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

/// IEEE half precision, exactly.
float half_to_float(std::uint16_t bits);

/// Reused: a second read keeps the first one's memory.
class Reader {
 public:
  Reader();
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  /// Schema, record batches, end mark (or simply the end). At most `rows_max` rows together. Returns empty,
  /// or what is wrong: "record batch 2: compressed (ZSTD), allowed uncompressed". `bytes` must outlive what
  /// is then read.
  std::string read_stream(Bytes bytes, std::size_t rows_max);
  /// The file format, through its footer.
  std::string read_file(Bytes bytes, std::size_t rows_max);
  /// Whether bytes begin like a file (else they can only be a stream).
  static bool is_file(Bytes bytes);

  std::span<const Field> fields() const { return fields_; }
  std::size_t rows() const { return rows_; }
  /// How many were read. Columns may share them, so what is made of them has to be bounded against this.
  std::size_t bytes() const { return bytes_; }
  std::size_t batches() const { return batch_rows_.size(); }
  std::size_t rows_of(std::size_t batch) const { return batch_rows_[batch]; }
  /// Undefined for Kind::other.
  const Column& column(std::size_t batch, std::size_t field) const {
    return columns_[batch * fields_.size() + field];
  }
  std::span<const Bytes> parts(const Column& column) const {
    return std::span(parts_).subspan(column.parts_begin, column.parts_end - column.parts_begin);
  }
  /// Text at `row` of a text or text_view column: false where its offsets lead outside.
  bool text_at(const Field&, const Column&, std::size_t row, std::string_view& out) const;

 private:
  struct Impl;
  struct Layout;  // how many nodes and buffers a field has, with its children

  void clear();
  std::string schema(const void* schema, int version);
  std::string record_batch(const void* batch, Bytes body, std::size_t rows_max);

  std::vector<Field> fields_;
  std::vector<Layout> layouts_;
  std::vector<Column> columns_;
  std::vector<Bytes> parts_;
  std::vector<std::size_t> batch_rows_;
  std::vector<std::uint64_t> schema_metadata_, batch_metadata_;  // aligned copies, for the tables' loads
  std::size_t rows_ = 0, bytes_ = 0;
};

/// One encapsulated message: its metadata (a flatbuffer, not yet verified) and body.
struct RawMessage {
  std::size_t begin = 0, end = 0;
  Bytes metadata, body;
};

enum class Step { message, finished, broken };

/// The message at `position`, which then lies behind it. `finished`: the end mark, or nothing is left.
/// `broken`: `reason` says why; every byte of a returned message lies within `bytes`. `scratch` holds the
/// metadata's aligned copy.
Step next_message(Bytes bytes, std::size_t& position, RawMessage& out, std::vector<std::uint64_t>& scratch,
                  std::string& reason);

}  // namespace lanner::host::arrow
