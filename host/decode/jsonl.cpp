#include <fmt/format.h>

#include <cstring>

#include "host/decode/formats.hpp"

namespace lanner::host {
namespace {

bool is_blank(const char* begin, const char* end) {
  for (; begin != end; ++begin) {
    if (*begin != ' ' && *begin != '\t' && *begin != '\r') return false;
  }
  return true;
}

std::string_view type_name(simdjson::dom::element_type type) {
  switch (type) {
    case simdjson::dom::element_type::ARRAY:
      return "an array";
    case simdjson::dom::element_type::OBJECT:
      return "an object";
    case simdjson::dom::element_type::STRING:
      return "text";
    case simdjson::dom::element_type::BOOL:
      return "a boolean";
    case simdjson::dom::element_type::NULL_VALUE:
      return "null";
    default:
      return "a number";
  }
}

void take(const simdjson::dom::element& from, Value& to) {
  switch (from.type()) {
    case simdjson::dom::element_type::INT64:
      to.kind = Value::Kind::integer;
      to.integer = from.get_int64().value_unsafe();
      break;
    case simdjson::dom::element_type::UINT64:
      to.kind = Value::Kind::unsigned_integer;
      to.unsigned_integer = from.get_uint64().value_unsafe();
      break;
    case simdjson::dom::element_type::DOUBLE:
      to.kind = Value::Kind::number;
      to.number = from.get_double().value_unsafe();
      break;
    case simdjson::dom::element_type::BOOL:
      to.kind = Value::Kind::boolean;
      to.integer = from.get_bool().value_unsafe() ? 1 : 0;
      break;
    case simdjson::dom::element_type::STRING:
      to.kind = Value::Kind::text;
      to.text = from.get_string().value_unsafe();
      break;
    case simdjson::dom::element_type::NULL_VALUE:
      to.kind = Value::Kind::missing;
      break;
    case simdjson::dom::element_type::ARRAY:
    case simdjson::dom::element_type::OBJECT:
      to.kind = Value::Kind::other;
      to.text = type_name(from.type());
      break;
  }
}

}  // namespace

std::string JsonLines::decode(Bytes frame, std::size_t rows_max, RowWriter& rows,
                              const engine::Records& out) {
  const std::size_t size = frame.size();
  if (padded_.size() < size + simdjson::SIMDJSON_PADDING) padded_.resize(size + simdjson::SIMDJSON_PADDING);
  if (size > 0) std::memcpy(padded_.data(), frame.data(), size);
  std::memset(padded_.data() + size, ' ', simdjson::SIMDJSON_PADDING);

  const char* at = padded_.data();
  const char* const end = at + size;
  while (at < end) {
    const void* found = std::memchr(at, '\n', static_cast<std::size_t>(end - at));
    const char* const line_end = found != nullptr ? static_cast<const char*>(found) : end;
    const char* const line = at;
    at = line_end + 1;
    if (is_blank(line, line_end)) continue;
    if (out.count == rows_max) return too_many_rows(rows_max);

    make_room(parser_, static_cast<std::size_t>(line_end - line));
    simdjson::dom::element root;
    simdjson::dom::object object;
    const auto error = parser_.parse(line, static_cast<std::size_t>(line_end - line), false).get(root);
    if (error != simdjson::SUCCESS) {
      rows.refuse(fmt::format("not JSON: {}", simdjson::error_message(error)));
    } else if (root.get_object().get(object) != simdjson::SUCCESS) {
      rows.refuse(fmt::format("found {}, allowed a JSON object", type_name(root.type())));
    } else {
      std::size_t position = 0;
      for (const auto field : object) {
        if (Value* value = rows.value(position++, field.key)) take(field.value, *value);
      }
      rows.finish();
    }
  }
  return {};
}

}  // namespace lanner::host
