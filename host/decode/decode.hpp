// From a message's frames to records: the formats of the wire (docs/wire.md). A bad batch is refused with a
// reason, a bad row inside a good batch likewise and alone; nothing here throws on what a producer sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/records/records.hpp"
#include "host/bytes.hpp"

namespace lanner::host {

enum class Format { tensor, arrow, jsonl, msgpack };
enum class DataType { float32, float64 };
enum class Sidecar { entity, time, id };

/// Frame 0 of a batch, or a producer's hello. Reused: parsing into it allocates nothing once its strings have
/// grown.
struct Header {
  bool hello = false;
  std::string stream, producer, traceparent;
  std::optional<std::uint64_t> seq;
  Format format = Format::tensor;
  DataType dtype = DataType::float32;  ///< tensor
  std::uint64_t rows = 0, width = 0;   ///< tensor: shape
  std::vector<Sidecar> sidecars;       ///< tensor
};

/// Empty: fine. Otherwise the reason, for the producer and the log: "header: not JSON", "format: found 'csv',
/// allowed tensor, arrow, jsonl, msgpack". Unknown keys are ignored; known ones are checked.
class HeaderParser {
 public:
  HeaderParser();
  ~HeaderParser();
  std::string parse(std::string_view frame, Header& out);

 private:
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

/// Decodes payload frames (those after the header) against a stream's schema. `out` is cleared first; dense
/// values are borrowed from the frames. Returns empty, or the reason why the whole batch is refused. Rows
/// that can't be decoded (a missing required value is NaN, not a refusal: that is the features' policy) are
/// in out.refused, with reasons; a row whose event id is absent gets an empty id. At most `rows_max` rows are
/// accepted.
class Decoder {
 public:
  Decoder();
  ~Decoder();
  std::string decode(const Header&, std::span<const Bytes> frames, const engine::Schema&,
                     std::size_t rows_max, engine::Records& out);

 private:
  struct Scratch;
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace lanner::host
