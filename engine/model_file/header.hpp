// The JSON header of a safetensors container, read with every claim checked that can be checked without the
// data.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace lanner::engine::model_file {

/// Bytes per item of a type we store (F32, F64, U32, I64); 0 for any other.
std::size_t item_bytes(std::string_view type);

struct HeaderTensor {
  std::string type;
  std::vector<std::size_t> shape;
  std::size_t begin = 0, end = 0;  ///< in the data
};

struct Header {
  std::map<std::string, HeaderTensor, std::less<>> tensors;
  std::map<std::string, std::string, std::less<>> metadata;
};

/// Throws InvalidModel for text that isn't exactly such a header: the shapes and offsets agree, and the
/// tensors cover [0, data_bytes) with no hole and no overlap. Memory stays within a small multiple of the
/// text.
Header parse_header(std::string_view text, std::size_t data_bytes);

}  // namespace lanner::engine::model_file
