#include "engine/model_file/header.hpp"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "engine/model_file/tensors.hpp"

namespace lanner::engine::model_file {
namespace {

using Json = nlohmann::json;

constexpr std::size_t dimensions_max = 8;

/// Names go into error messages, and may be long or hold anything.
std::string shown(std::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, 80)) out += c >= ' ' && c <= '~' ? c : '?';
  return out + (text.size() > 80 ? "...'" : "'");
}

/// An event parser rather than a document: it refuses duplicate names, which a document would silently merge,
/// and stops at the first thing that doesn't belong, at whatever depth.
class HeaderReader final : public nlohmann::json_sax<Json> {
 public:
  Header header;
  std::string error;

  bool null() override { return fail("a null"); }
  bool boolean(bool) override { return fail("a boolean"); }
  bool number_integer(number_integer_t) override { return fail("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return fail("a fraction"); }
  bool binary(binary_t&) override { return fail("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::shape) {
      if (tensor_.shape.size() == dimensions_max) return fail("a shape of too many dimensions");
      tensor_.shape.push_back(value);
      return true;
    }
    if (place_ == Place::offsets && offsets_ < 2) {
      (offsets_++ == 0 ? tensor_.begin : tensor_.end) = value;
      return true;
    }
    return fail("a number");
  }

  bool string(string_t& value) override {
    if (place_ == Place::metadata) {
      header.metadata[std::exchange(key_, {})] = std::move(value);
      return true;
    }
    if (place_ == Place::tensor && key_ == "dtype") {
      tensor_.type = std::move(value);
      return true;
    }
    return fail("a string");
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::outside) {
      place_ = Place::top;
      return true;
    }
    if (place_ != Place::top) return fail("an object");
    if (name_ == "__metadata__") {
      place_ = Place::metadata;
    } else {
      place_ = Place::tensor;
      tensor_ = {};
      seen_type_ = seen_shape_ = seen_offsets_ = false;
    }
    return true;
  }

  bool key(string_t& key) override {
    switch (place_) {
      case Place::top:
        if (key == "__metadata__" ? std::exchange(seen_metadata_, true) : header.tensors.contains(key))
          return say("the name " + shown(key) + " stands there twice");
        name_ = std::move(key);
        return true;
      case Place::metadata:
        if (header.metadata.contains(key))
          return say("the metadata key " + shown(key) + " stands there twice");
        key_ = std::move(key);
        return true;
      case Place::tensor: {
        bool* seen = key == "dtype"          ? &seen_type_
                     : key == "shape"        ? &seen_shape_
                     : key == "data_offsets" ? &seen_offsets_
                                             : nullptr;
        if (!seen) return say("tensor " + shown(name_) + " has the unknown key " + shown(key));
        if (std::exchange(*seen, true)) return say("tensor " + shown(name_) + " has " + key + " twice");
        key_ = std::move(key);
        return true;
      }
      default:
        return fail("a key");
    }
  }

  bool end_object() override {
    if (place_ == Place::tensor) {
      if (!seen_type_ || !seen_shape_ || !seen_offsets_)
        return say("tensor " + shown(name_) + " lacks dtype, shape or data_offsets");
      header.tensors.emplace(std::move(name_), std::move(tensor_));
      name_.clear();
    }
    place_ = place_ == Place::top ? Place::done : Place::top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::tensor && key_ == "shape") {
      place_ = Place::shape;
      return true;
    }
    if (place_ == Place::tensor && key_ == "data_offsets") {
      place_ = Place::offsets;
      offsets_ = 0;
      return true;
    }
    return fail("an array");
  }

  bool end_array() override {
    if (place_ == Place::offsets && offsets_ != 2)
      return say("data_offsets of " + shown(name_) + " aren't two");
    place_ = Place::tensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const Json::exception& problem) override {
    return say("not JSON at byte " + std::to_string(position) + " (" + std::to_string(problem.id) + ")");
  }

 private:
  enum class Place { outside, top, metadata, tensor, shape, offsets, done };

  bool say(std::string what) {
    error = std::move(what);
    return false;
  }
  bool fail(const char* what) {
    return say(std::string(what) + " where none belongs" + (name_.empty() ? "" : ", in " + shown(name_)));
  }

  Place place_ = Place::outside;
  std::string name_, key_;
  HeaderTensor tensor_;
  int offsets_ = 0;
  bool seen_metadata_ = false, seen_type_ = false, seen_shape_ = false, seen_offsets_ = false;
};

std::optional<std::size_t> shape_bytes(const HeaderTensor& tensor, std::size_t item) {
  std::size_t bytes = item;
  for (const std::size_t extent : tensor.shape)
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
  return bytes;
}

}  // namespace

std::size_t item_bytes(std::string_view type) {
  if (type == "F32" || type == "U32") return 4;
  if (type == "F64" || type == "I64") return 8;
  return 0;
}

Header parse_header(std::string_view text, std::size_t data_bytes) {
  // A byte-order mark or leading space is JSON to the parser, but not a safetensors header.
  if (text.empty() || text.front() != '{') throw InvalidModel("model file: the header isn't a JSON object");
  // The parser takes a zero byte for the end of its input.
  if (text.find('\0') != text.npos) throw InvalidModel("model file: a zero byte in the header");
  HeaderReader reader;
  if (!Json::sax_parse(text.begin(), text.end(), &reader))
    throw InvalidModel("model file: header: " + reader.error);

  std::vector<std::pair<const HeaderTensor*, const std::string*>> by_place;
  for (const auto& [name, tensor] : reader.header.tensors) {
    const auto wrong = [&](const char* what) {
      throw InvalidModel("model file: tensor " + shown(name) + " " + what);
    };
    const std::size_t item = item_bytes(tensor.type);
    if (item == 0) wrong("has a type other than F32, F64, U32 and I64");
    if (tensor.begin > tensor.end || tensor.end > data_bytes) wrong("lies outside the data");
    const auto bytes = shape_bytes(tensor, item);
    if (!bytes || *bytes != tensor.end - tensor.begin) wrong("has offsets that its shape contradicts");
    by_place.emplace_back(&tensor, &name);
  }
  std::sort(by_place.begin(), by_place.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first->begin, a.first->end) < std::pair(b.first->begin, b.first->end);
  });
  std::size_t covered = 0;
  for (const auto& [tensor, name] : by_place) {
    if (tensor->begin != covered)
      throw InvalidModel("model file: tensor " + shown(*name) +
                         " overlaps another or leaves a hole before it");
    covered = tensor->end;
  }
  if (covered != data_bytes) throw InvalidModel("model file: data beyond the last tensor");
  return std::move(reader.header);
}

}  // namespace lanner::engine::model_file
