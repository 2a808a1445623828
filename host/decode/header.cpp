#include <fmt/format.h>
#include <simdjson.h>

#include <cstring>
#include <limits>

#include "host/decode/decode.hpp"
#include "host/decode/formats.hpp"

namespace lanner::host {
namespace {

constexpr std::size_t kHeaderBytesMax = 65536, kNameBytesMax = 256;

using simdjson::dom::element;

/// What was found, as JSON, short enough for a log line and cut between characters.
std::string shown(const element& value) {
  constexpr std::size_t kShownMax = 80;
  std::string text = simdjson::minify(value);
  if (text.size() > kShownMax) {
    std::size_t end = kShownMax;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) --end;
    text.resize(end);
    text += "...";
  }
  return text;
}

std::string fault(std::string_view key, const element& value, std::string_view allowed) {
  return fmt::format("{}: found {}, allowed {}", key, shown(value), allowed);
}

bool get_unsigned(const element& value, std::uint64_t& out) {
  return value.get_uint64().get(out) == simdjson::SUCCESS;
}

std::string take_name(std::string_view key, const element& value, std::string& out) {
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS || text.empty() || text.size() > kNameBytesMax)
    return fault(key, value, "text of 1 to 256 bytes");
  out.assign(text);
  return {};
}

/// W3C: version 00, 32 and 16 hexadecimal digits not all zero, flags. Receivers ignore any other.
bool is_traceparent(std::string_view text) {
  if (text.size() != 55 || !text.starts_with("00-") || text[35] != '-' || text[52] != '-') return false;
  for (std::size_t i = 3; i < text.size(); ++i) {
    if (i == 35 || i == 52) continue;
    const char c = text[i];
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return text.substr(3, 32).find_first_not_of('0') != text.npos &&
         text.substr(36, 16).find_first_not_of('0') != text.npos;
}

std::string take_shape(const element& value, Header& out) {
  simdjson::dom::array shape;
  std::uint64_t sizes[2];
  std::size_t count = 0;
  const std::string_view allowed = "[rows, columns], two unsigned integers";
  if (value.get_array().get(shape) != simdjson::SUCCESS) return fault("shape", value, allowed);
  for (const element size : shape) {
    if (count == 2 || !get_unsigned(size, sizes[count])) return fault("shape", value, allowed);
    ++count;
  }
  if (count != 2) return fault("shape", value, allowed);
  constexpr std::uint64_t kSizeMax = std::numeric_limits<std::uint32_t>::max();
  if (sizes[0] > kSizeMax || sizes[1] > kSizeMax) return fault("shape", value, "sizes below 2^32");
  if (sizes[0] > 0 && sizes[1] == 0) return fault("shape", value, "at least one column");
  out.rows = sizes[0];
  out.width = sizes[1];
  return {};
}

std::string take_sidecars(const element& value, Header& out) {
  const std::string_view allowed = "a list of entity, time, id, each at most once";
  simdjson::dom::array names;
  if (value.get_array().get(names) != simdjson::SUCCESS) return fault("sidecars", value, allowed);
  for (const element item : names) {
    std::string_view name;
    if (item.get_string().get(name) != simdjson::SUCCESS) return fault("sidecars", value, allowed);
    Sidecar sidecar;
    if (name == "entity") {
      sidecar = Sidecar::entity;
    } else if (name == "time") {
      sidecar = Sidecar::time;
    } else if (name == "id") {
      sidecar = Sidecar::id;
    } else {
      return fault("sidecars", value, allowed);
    }
    for (const Sidecar earlier : out.sidecars) {
      if (earlier == sidecar) return fault("sidecars", value, allowed);
    }
    out.sidecars.push_back(sidecar);
  }
  return {};
}

}  // namespace

struct HeaderParser::Parser {
  simdjson::dom::parser json;
  std::vector<char> padded;
};

HeaderParser::HeaderParser() : parser_(std::make_unique<Parser>()) {}
HeaderParser::~HeaderParser() = default;

std::string HeaderParser::parse(std::string_view frame, Header& out) {
  out.hello = false;
  out.stream.clear();
  out.producer.clear();
  out.traceparent.clear();
  out.seq.reset();
  out.format = Format::tensor;
  out.dtype = DataType::float32;
  out.rows = out.width = 0;
  out.sidecars.clear();

  if (frame.size() > kHeaderBytesMax)
    return fmt::format("header: {} bytes, allowed at most {}", frame.size(), kHeaderBytesMax);
  std::vector<char>& padded = parser_->padded;
  if (padded.size() < frame.size() + simdjson::SIMDJSON_PADDING)
    padded.resize(frame.size() + simdjson::SIMDJSON_PADDING);
  if (!frame.empty()) std::memcpy(padded.data(), frame.data(), frame.size());
  std::memset(padded.data() + frame.size(), 0, simdjson::SIMDJSON_PADDING);

  make_room(parser_->json, frame.size());
  element root;
  if (const auto error = parser_->json.parse(padded.data(), frame.size(), false).get(root);
      error != simdjson::SUCCESS)
    return fmt::format("header: not JSON: {}", simdjson::error_message(error));
  simdjson::dom::object object;
  if (root.get_object().get(object) != simdjson::SUCCESS) return "header: not a JSON object";

  // `format` decides whether the tensor's keys mean anything, wherever it stands: they are kept for the end.
  bool has_version = false, has_format = false, has_dtype = false, has_shape = false, has_sidecars = false;
  element dtype, shape, sidecars;
  for (const auto field : object) {
    const std::string_view key = field.key;
    const element value = field.value;
    std::string reason;
    if (key == "v") {
      std::uint64_t version;
      if (!get_unsigned(value, version) || version != 1) return fault(key, value, "1");
      has_version = true;
    } else if (key == "hello") {
      if (value.get_bool().get(out.hello) != simdjson::SUCCESS) return fault(key, value, "true, false");
    } else if (key == "stream") {
      reason = take_name(key, value, out.stream);
    } else if (key == "producer") {
      reason = take_name(key, value, out.producer);
    } else if (key == "seq") {
      std::uint64_t seq;
      if (!get_unsigned(value, seq) || seq == 0)
        return fault(key, value, "an unsigned 64-bit integer, the first is 1");
      out.seq = seq;
    } else if (key == "format") {
      std::string_view name;
      if (value.get_string().get(name) != simdjson::SUCCESS) name = {};
      if (name == "tensor") {
        out.format = Format::tensor;
      } else if (name == "arrow") {
        out.format = Format::arrow;
      } else if (name == "jsonl") {
        out.format = Format::jsonl;
      } else if (name == "msgpack") {
        out.format = Format::msgpack;
      } else {
        return fault(key, value, "tensor, arrow, jsonl, msgpack");
      }
      has_format = true;
    } else if (key == "traceparent") {
      std::string_view text;
      if (value.get_string().get(text) != simdjson::SUCCESS) return fault(key, value, "text");
      if (is_traceparent(text)) out.traceparent.assign(text);
    } else if (key == "dtype") {
      dtype = value;
      has_dtype = true;
    } else if (key == "shape") {
      shape = value;
      has_shape = true;
    } else if (key == "sidecars") {
      sidecars = value;
      has_sidecars = true;
    }
    if (!reason.empty()) return reason;
  }
  if (!has_version) return "v: missing, allowed 1";
  if (out.hello) return out.producer.empty() ? "producer: missing" : std::string();
  if (out.stream.empty()) return "stream: missing";
  if (!has_format) return "format: missing, allowed tensor, arrow, jsonl, msgpack";
  if (out.format != Format::tensor) return {};

  if (!has_dtype) return "dtype: missing, allowed float32, float64";
  std::string_view name;
  if (dtype.get_string().get(name) != simdjson::SUCCESS) name = {};
  if (name != "float32" && name != "float64") return fault("dtype", dtype, "float32, float64");
  out.dtype = name == "float32" ? DataType::float32 : DataType::float64;
  if (!has_shape) return "shape: missing, allowed [rows, columns]";
  if (std::string reason = take_shape(shape, out); !reason.empty()) return reason;
  return has_sidecars ? take_sidecars(sidecars, out) : std::string();
}

}  // namespace lanner::host
