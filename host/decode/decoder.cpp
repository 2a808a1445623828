#include <fmt/format.h>

#include <map>

#include "host/arrow/reader.hpp"
#include "host/decode/arrow_rows.hpp"
#include "host/decode/formats.hpp"

namespace lanner::host {

struct Decoder::Scratch {
  std::map<std::string, SchemaNames, std::less<>> names;  ///< by stream
  RowWriter rows;
  JsonLines json;
  arrow::Reader arrow;
  std::vector<std::size_t> arrow_columns;

  const SchemaNames& names_of(const std::string& stream, const engine::Schema& schema) {
    constexpr std::size_t streams_max = 4096;
    auto found = names.find(stream);
    if (found == names.end()) {
      if (names.size() == streams_max) names.clear();
      found = names.try_emplace(stream).first;
    }
    found->second.set(schema);
    return found->second;
  }
};

Decoder::Decoder() : scratch_(std::make_unique<Scratch>()) {}
Decoder::~Decoder() = default;

std::string too_many_rows(std::size_t rows_max) {
  return fmt::format("more than {} rows, the most that a batch may have", rows_max);
}

std::string Decoder::decode(const Header& header, std::span<const Bytes> frames, const engine::Schema& schema,
                            std::size_t rows_max, engine::Records& out) {
  out.clear();
  std::string reason;
  if (header.format == Format::tensor) {
    reason = decode_tensor(header, frames, schema, rows_max, out);
  } else if (frames.size() != 1) {
    reason = fmt::format("{} frames after the header, allowed 1", frames.size());
  } else {
    Scratch& scratch = *scratch_;
    const SchemaNames& names = scratch.names_of(header.stream, schema);
    out.fit_columns(schema.fields.size());
    if (header.format == Format::arrow) {
      reason = scratch.arrow.read_stream(frames[0], rows_max);
      if (reason.empty()) reason = records_from_arrow(scratch.arrow, names, out, scratch.arrow_columns);
      if (!reason.empty()) reason.insert(0, "frame 1: ");
    } else {
      scratch.rows.start(names, out);
      reason = header.format == Format::jsonl ? scratch.json.decode(frames[0], rows_max, scratch.rows, out)
                                              : decode_msgpack(frames[0], rows_max, scratch.rows);
    }
  }
  if (!reason.empty()) out.clear();
  return reason;
}

}  // namespace lanner::host
