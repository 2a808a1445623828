// The payload formats behind Decoder, one file each. All return empty or the reason why the batch is refused,
// which already names the frame where it has several.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <simdjson.h>

#include "engine/records/records.hpp"
#include "host/decode/decode.hpp"
#include "host/decode/row_writer.hpp"

namespace lanner::host {

std::string decode_tensor(const Header&, std::span<const Bytes> frames, const engine::Schema&,
                          std::size_t rows_max, engine::Records& out);

/// Room for a text of `size` bytes, by doubling: one that is a little longer than any before costs nothing.
inline void make_room(simdjson::dom::parser& parser, std::size_t size) {
  if (size <= parser.capacity()) return;
  const std::size_t room = std::bit_ceil(std::max<std::size_t>(size, 1024));
  if (parser.allocate(room) != simdjson::SUCCESS || parser.doc.allocate(room) != simdjson::SUCCESS)
    return;  // parse() will say so
}

/// One JSON object a line. Blank lines are no rows; a line that is no object refuses its row.
class JsonLines {
 public:
  std::string decode(Bytes frame, std::size_t rows_max, RowWriter& rows, const engine::Records& out);

 private:
  simdjson::dom::parser parser_;
  std::vector<char> padded_;  // simdjson reads beyond the end
};

/// An array of maps. A row that is no map is refused alone; bytes that are no MessagePack refuse the batch,
/// since where the next row would begin is then unknown.
std::string decode_msgpack(Bytes frame, std::size_t rows_max, RowWriter& rows);

std::string too_many_rows(std::size_t rows_max);

}  // namespace lanner::host
