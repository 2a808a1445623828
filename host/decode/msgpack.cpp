// MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md), only as far as rows of named values
// need it: no recursion, and nothing allocated by a length that a sender wrote.
#include <fmt/format.h>

#include <bit>
#include <cstdint>
#include <cstring>

#include "host/decode/formats.hpp"
#include "host/decode/time_text.hpp"

namespace lanner::host {
namespace {

enum class Token : std::uint8_t {
  nil,
  boolean,
  integer,
  unsigned_integer,
  number,
  text,
  binary,
  extension,
  array,
  map
};

struct Item {
  Token token = Token::nil;
  std::uint64_t unsigned_integer = 0;  // also the boolean, and how many items an array has or pairs a map
  std::int64_t integer = 0;
  double number = 0;
  std::string_view bytes;  // text, binary, extension
  int extension = 0;
};

class Scanner {
 public:
  explicit Scanner(Bytes bytes)
      : begin_(bytes.data()), at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  std::size_t position() const { return static_cast<std::size_t>(at_ - begin_); }
  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  const char* why() const { return why_; }

  /// The next item; of an array or map only its head. False: why() says what is wrong at position().
  bool next(Item& out) {
    if (left() == 0) return fail("ends early");
    const auto head = std::to_integer<unsigned>(*at_++);
    if (head <= 0x7F) return set_unsigned(out, head);
    if (head <= 0x8F) return container(out, Token::map, head & 0x0F);
    if (head <= 0x9F) return container(out, Token::array, head & 0x0F);
    if (head <= 0xBF) return take_bytes(out, Token::text, head & 0x1F);
    if (head >= 0xE0) return set_integer(out, static_cast<std::int8_t>(head));
    std::uint64_t length = 0;
    switch (head) {
      case 0xC0:
        out.token = Token::nil;
        return true;
      case 0xC2:
      case 0xC3:
        out.token = Token::boolean;
        out.unsigned_integer = head & 1;
        return true;
      case 0xC4:
        return read(1, length) && take_bytes(out, Token::binary, length);
      case 0xC5:
        return read(2, length) && take_bytes(out, Token::binary, length);
      case 0xC6:
        return read(4, length) && take_bytes(out, Token::binary, length);
      case 0xC7:
        return read(1, length) && take_extension(out, length);
      case 0xC8:
        return read(2, length) && take_extension(out, length);
      case 0xC9:
        return read(4, length) && take_extension(out, length);
      case 0xCA:
        if (!read(4, length)) return false;
        out.token = Token::number;
        out.number = static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(length)));
        return true;
      case 0xCB:
        if (!read(8, length)) return false;
        out.token = Token::number;
        out.number = std::bit_cast<double>(length);
        return true;
      case 0xCC:
        return read(1, length) && set_unsigned(out, length);
      case 0xCD:
        return read(2, length) && set_unsigned(out, length);
      case 0xCE:
        return read(4, length) && set_unsigned(out, length);
      case 0xCF:
        return read(8, length) && set_unsigned(out, length);
      case 0xD0:
        return read(1, length) && set_integer(out, static_cast<std::int8_t>(length));
      case 0xD1:
        return read(2, length) && set_integer(out, static_cast<std::int16_t>(length));
      case 0xD2:
        return read(4, length) && set_integer(out, static_cast<std::int32_t>(length));
      case 0xD3:
        return read(8, length) && set_integer(out, static_cast<std::int64_t>(length));
      case 0xD4:
      case 0xD5:
      case 0xD6:
      case 0xD7:
      case 0xD8:
        return take_extension(out, std::uint64_t{1} << (head - 0xD4));
      case 0xD9:
        return read(1, length) && take_bytes(out, Token::text, length);
      case 0xDA:
        return read(2, length) && take_bytes(out, Token::text, length);
      case 0xDB:
        return read(4, length) && take_bytes(out, Token::text, length);
      case 0xDC:
        return read(2, length) && container(out, Token::array, length);
      case 0xDD:
        return read(4, length) && container(out, Token::array, length);
      case 0xDE:
        return read(2, length) && container(out, Token::map, length);
      case 0xDF:
        return read(4, length) && container(out, Token::map, length);
      default:
        --at_;
        return fail("0xc1 is not MessagePack");
    }
  }

  /// Steps over `items` items with all that they hold.
  bool skip(std::uint64_t items) {
    Item item;
    for (; items > 0; --items) {
      if (!next(item)) return false;
      if (item.token == Token::array) items += item.unsigned_integer;
      if (item.token == Token::map) items += 2 * item.unsigned_integer;
      // Every item takes a byte at least: a longer claim can't come true, and would only keep the loop busy.
      if (items - 1 > left()) return fail("ends early");
    }
    return true;
  }

 private:
  bool fail(const char* why) {
    why_ = why;
    return false;
  }
  bool read(std::size_t count, std::uint64_t& out) {
    if (left() < count) return fail("ends early");
    out = 0;
    for (std::size_t i = 0; i < count; ++i) out = out << 8 | std::to_integer<std::uint64_t>(*at_++);
    return true;
  }
  static bool set_unsigned(Item& out, std::uint64_t value) {
    out.token = Token::unsigned_integer;
    out.unsigned_integer = value;
    return true;
  }
  static bool set_integer(Item& out, std::int64_t value) {
    out.token = Token::integer;
    out.integer = value;
    return true;
  }
  bool container(Item& out, Token token, std::uint64_t count) {
    if ((token == Token::map ? 2 * count : count) > left()) return fail("ends early");
    out.token = token;
    out.unsigned_integer = count;
    return true;
  }
  bool take_bytes(Item& out, Token token, std::uint64_t length) {
    if (length > left()) return fail("ends early");
    out.token = token;
    out.bytes = std::string_view(reinterpret_cast<const char*>(at_), static_cast<std::size_t>(length));
    at_ += length;
    return true;
  }
  bool take_extension(Item& out, std::uint64_t length) {
    std::uint64_t kind;
    if (!read(1, kind)) return false;
    out.extension = static_cast<std::int8_t>(kind);
    return take_bytes(out, Token::extension, length);
  }

  const std::byte *begin_, *at_, *end_;
  const char* why_ = "";
};

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

/// The timestamp extension, -1, in its three lengths. False: none, or not within int64 nanoseconds.
bool timestamp(const Item& item, std::int64_t& out) {
  if (item.extension != -1) return false;
  std::int64_t seconds;
  std::uint64_t nanoseconds = 0;
  if (item.bytes.size() == 4) {
    seconds = static_cast<std::int64_t>(big_endian(item.bytes));
  } else if (item.bytes.size() == 8) {
    const std::uint64_t both = big_endian(item.bytes);
    seconds = static_cast<std::int64_t>(both & 0x3FFFFFFFFu);
    nanoseconds = both >> 34;
  } else if (item.bytes.size() == 12) {
    nanoseconds = big_endian(item.bytes.substr(0, 4));
    seconds = static_cast<std::int64_t>(big_endian(item.bytes.substr(4)));
  } else {
    return false;
  }
  if (nanoseconds > 999'999'999) return false;
  const auto total = to_nanoseconds(seconds, static_cast<std::int64_t>(nanoseconds));
  out = total.value_or(0);
  return total.has_value();
}

std::string_view token_name(Token token) {
  switch (token) {
    case Token::nil:
      return "nil";
    case Token::boolean:
      return "a boolean";
    case Token::integer:
    case Token::unsigned_integer:
      return "an integer";
    case Token::number:
      return "a float";
    case Token::text:
      return "text";
    case Token::binary:
      return "binary";
    case Token::extension:
      return "an extension";
    case Token::array:
      return "an array";
    case Token::map:
      return "a map";
  }
  return {};
}

void take(const Item& from, Value& to) {
  const auto other = [&to](std::string_view what) {
    to.kind = Value::Kind::other;
    to.text = what;
  };
  switch (from.token) {
    case Token::nil:
      to.kind = Value::Kind::missing;
      break;
    case Token::boolean:
      to.kind = Value::Kind::boolean;
      to.integer = static_cast<std::int64_t>(from.unsigned_integer);
      break;
    case Token::integer:
      to.kind = Value::Kind::integer;
      to.integer = from.integer;
      break;
    case Token::unsigned_integer:
      if (from.unsigned_integer <= static_cast<std::uint64_t>(INT64_MAX)) {
        to.kind = Value::Kind::integer;
        to.integer = static_cast<std::int64_t>(from.unsigned_integer);
      } else {
        to.kind = Value::Kind::unsigned_integer;
        to.unsigned_integer = from.unsigned_integer;
      }
      break;
    case Token::number:
      to.kind = Value::Kind::number;
      to.number = from.number;
      break;
    case Token::text:
      if (!simdjson::validate_utf8(from.bytes.data(), from.bytes.size()))
        return other("text that is not UTF-8");
      to.kind = Value::Kind::text;
      to.text = from.bytes;
      break;
    case Token::extension:
      if (!timestamp(from, to.integer))
        return other("an extension that is no timestamp, or one out of range");
      to.kind = Value::Kind::time;
      break;
    case Token::binary:
    case Token::array:
    case Token::map:
      other(token_name(from.token));
      break;
  }
}

std::uint64_t children(const Item& item) {
  return item.token == Token::array ? item.unsigned_integer
         : item.token == Token::map ? 2 * item.unsigned_integer
                                    : 0;
}

}  // namespace

std::string decode_msgpack(Bytes frame, std::size_t rows_max, RowWriter& rows) {
  if (frame.empty()) return "frame 1: empty, allowed an array of maps";
  Scanner scan(frame);
  const auto broken = [&scan](std::uint64_t row) {
    return fmt::format("frame 1: byte {}, in row {}: {}", scan.position(), row, scan.why());
  };
  Item item;
  if (!scan.next(item)) return fmt::format("frame 1: byte {}: {}", scan.position(), scan.why());
  if (item.token != Token::array)
    return fmt::format("frame 1: found {}, allowed an array of maps", token_name(item.token));
  const std::uint64_t count = item.unsigned_integer;
  if (count > rows_max) return too_many_rows(rows_max);

  for (std::uint64_t row = 0; row < count; ++row) {
    if (!scan.next(item)) return broken(row);
    if (item.token != Token::map) {
      const Token found = item.token;
      if (!scan.skip(children(item))) return broken(row);
      rows.refuse(fmt::format("found {}, allowed a map", token_name(found)));
      continue;
    }
    const std::uint64_t pairs = item.unsigned_integer;
    for (std::uint64_t pair = 0; pair < pairs; ++pair) {
      if (!scan.next(item)) return broken(row);
      Value* value = nullptr;
      if (item.token == Token::text) {
        value = rows.value(static_cast<std::size_t>(pair), item.bytes);
      } else if (!scan.skip(children(item))) {
        return broken(row);
      }
      if (!scan.next(item)) return broken(row);
      if (value != nullptr) take(item, *value);
      if (!scan.skip(children(item))) return broken(row);
    }
    rows.finish();
  }
  if (scan.left() != 0) return fmt::format("frame 1: {} bytes after the array", scan.left());
  return {};
}

}  // namespace lanner::host
