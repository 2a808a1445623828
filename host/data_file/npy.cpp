// NumPy's .npy (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html) and .npz.
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <unordered_set>

#include "host/arrow/reader.hpp"
#include "host/data_file/readers.hpp"
#include "host/decode/time_text.hpp"

namespace lanner::host {
namespace {

// More columns than this is a matrix lying on its side.
constexpr std::uint64_t kColumnsMax = 1u << 17;
constexpr std::size_t kHeaderMax = 1u << 24;

/// What an element is. `kind` is NumPy's letter: f i u b S U M, V for padding.
struct DataKind {
  char kind = 'f';
  std::size_t size = 8;      ///< bytes
  bool swapped = false;      ///< big-endian
  std::int64_t unit_ns = 0;  ///< M
};

struct StructField {
  std::string name;
  DataKind type;
  std::size_t offset = 0;
};

struct Array {
  DataKind type;                    ///< unless there are fields
  std::vector<StructField> fields;  ///< of a structured array
  std::size_t item = 0;             ///< bytes an element
  bool fortran = false;
  std::vector<std::uint64_t> shape;
  Bytes data;
};

/// The literal that describes an array: a Python dict of strings, numbers, tuples. Only that much of Python.
class Literal {
 public:
  Literal(const std::filesystem::path& path, std::string_view text) : path_(path), text_(text) {}

  bool take(char c) {
    skip();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) fault(fmt::format("'{}' expected", c));
  }
  bool at(char c) {
    skip();
    return at_ < text_.size() && text_[at_] == c;
  }
  bool at_end() {
    skip();
    return at_ == text_.size();
  }
  bool at_string() { return at('\'') || at('"'); }

  std::string string() {
    if (!at_string()) fault("text expected");
    const char quote = text_[at_++];
    std::string out;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\\') {
        ++at_;
        if (at_ == text_.size() || (text_[at_] != '\\' && text_[at_] != '\'' && text_[at_] != '"'))
          fault("an escape that isn't read here");
      }
      out.push_back(text_[at_++]);
    }
    expect(quote);
    return out;
  }
  bool boolean() {
    skip();
    for (const auto& [word, value] : {std::pair{"True", true}, {"False", false}}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += std::strlen(word);
        return value;
      }
    }
    fault("True or False expected");
  }
  std::uint64_t integer() {
    skip();
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc()) fault("a size expected");
    at_ = static_cast<std::size_t>(end - text_.data());
    if (at_ < text_.size() && text_[at_] == 'L') ++at_;  // Python 2 wrote 3L
    return value;
  }
  [[noreturn]] void fault(std::string_view what) {
    invalid(path_, fmt::format("its header, character {}: {}", at_, what));
  }

 private:
  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }

  const std::filesystem::path& path_;
  std::string_view text_;
  std::size_t at_ = 0;
};

DataKind parse_type(const std::filesystem::path& path, const std::string& text, bool is_field) {
  const auto unknown = [&](std::string_view why = {}) {
    invalid(path, fmt::format("dtype: found '{}', allowed f2 f4 f8 i1..i8 u1..u8 b1{}{}", text,
                              is_field ? ", S, U and M8 in a structured array" : "", why));
  };
  DataKind out;
  std::string_view rest = text;
  if (!rest.empty() && (rest[0] == '<' || rest[0] == '>' || rest[0] == '|' || rest[0] == '=')) {
    out.swapped = rest[0] == '>';
    rest.remove_prefix(1);
  }
  if (rest.empty()) unknown();
  out.kind = rest[0] == '?' ? 'b' : rest[0];
  rest.remove_prefix(1);
  if (out.kind == 'O') unknown(" (Python objects are pickles, and those are never read)");
  if (out.kind == 'M') {
    for (const auto& [unit, ns] : {std::pair<std::string_view, std::int64_t>{"8[s]", 1'000'000'000},
                                   {"8[ms]", 1'000'000},
                                   {"8[us]", 1'000},
                                   {"8[ns]", 1}}) {
      if (rest == unit) out.unit_ns = ns;
    }
    if (out.unit_ns == 0 || !is_field) unknown();
    return out;
  }
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), out.size);
  if (text == "?" || text == "|?") {
    out.size = 1;
  } else if (error != std::errc() || end != rest.data() + rest.size()) {
    unknown();
  }
  bool is_known = false;
  switch (out.kind) {
    case 'f':
      is_known = out.size == 2 || out.size == 4 || out.size == 8;
      break;
    case 'i':
    case 'u':
      is_known = out.size == 1 || out.size == 2 || out.size == 4 || out.size == 8;
      break;
    case 'b':
      is_known = out.size == 1;
      break;
    case 'V':
      is_known = is_field && out.size <= kHeaderMax;
      break;
    case 'S':
    case 'U':
      // Text of no characters takes no bytes: the file's length would then bound neither rows nor fields.
      is_known = is_field && out.size > 0 && out.size <= kHeaderMax;
      if (out.kind == 'U') out.size *= 4;
      break;
    default:
      break;
  }
  if (!is_known) unknown();
  return out;
}

void parse_fields(const std::filesystem::path& path, Literal& literal, Array& out) {
  literal.expect('[');
  while (!literal.take(']')) {
    literal.expect('(');
    if (!literal.at_string()) literal.fault("a field's name expected (titles are not read)");
    StructField field;
    field.name = literal.string();
    literal.expect(',');
    if (!literal.at_string())
      literal.fault(fmt::format("field '{}' is a structure itself, allowed plain ones", field.name));
    field.type = parse_type(path, literal.string(), true);
    if (literal.take(',') && !literal.at(')'))
      literal.fault(fmt::format("field '{}' is an array itself, allowed plain ones", field.name));
    literal.expect(')');
    if (!literal.take(',') && !literal.at(']')) literal.fault("',' expected");
    field.offset = out.item;
    out.item += field.type.size;
    if (field.type.kind != 'V') out.fields.push_back(std::move(field));
  }
  if (out.fields.empty()) invalid(path, "a structured array without a field that can be read");
}

Array parse_npy(const std::filesystem::path& path, Bytes bytes) {
  constexpr std::string_view kMagic = "\x93NUMPY";
  if (bytes.size() < 10 || std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0)
    invalid(path, "not a .npy file");
  const auto version = std::to_integer<unsigned>(bytes[6]);
  if (version < 1 || version > 3) invalid(path, fmt::format(".npy version {}, allowed 1, 2, 3", version));
  std::size_t prefix = 10, length = 0;
  std::memcpy(&length, bytes.data() + 8, 2);
  if (version > 1) {
    prefix = 12;
    if (bytes.size() < prefix) invalid(path, "cut off in its header");
    std::memcpy(&length, bytes.data() + 8, 4);
  }
  if (length > kHeaderMax || length > bytes.size() - prefix) invalid(path, "cut off in its header");
  Literal literal(path, {reinterpret_cast<const char*>(bytes.data()) + prefix, length});
  Array out;
  bool has_type = false, has_order = false, has_shape = false;
  literal.expect('{');
  while (!literal.take('}')) {
    const std::string key = literal.string();
    literal.expect(':');
    if (key == "descr") {
      out.fields.clear();
      out.item = 0;
      if (literal.at('[')) {
        parse_fields(path, literal, out);
      } else {
        out.type = parse_type(path, literal.string(), false);
        out.item = out.type.size;
      }
      has_type = true;
    } else if (key == "fortran_order") {
      out.fortran = literal.boolean();
      has_order = true;
    } else if (key == "shape") {
      out.shape.clear();
      literal.expect('(');
      while (!literal.take(')')) {
        if (out.shape.size() == 32) literal.fault("more than 32 dimensions");
        out.shape.push_back(literal.integer());
        if (!literal.take(',') && !literal.at(')')) literal.fault("',' expected");
      }
      has_shape = true;
    } else {
      literal.fault(fmt::format("key '{}', allowed descr, fortran_order, shape", key));
    }
    if (!literal.take(',') && !literal.at('}')) literal.fault("',' expected");
  }
  if (!has_type || !has_order || !has_shape)
    invalid(path, "its header lacks one of descr, fortran_order, shape");
  if (!literal.at_end()) literal.fault("the end expected");

  std::uint64_t needed = out.item;
  for (const std::uint64_t size : out.shape) {
    if (__builtin_mul_overflow(needed, size, &needed)) invalid(path, "its shape needs more than 2^64 bytes");
  }
  out.data = bytes.subspan(prefix + length);
  if (out.data.size() < needed)
    invalid(path, fmt::format("{} bytes of data, its shape needs {}", out.data.size(), needed));
  out.data = out.data.first(needed);
  return out;
}

std::uint64_t swap_bytes(std::uint64_t bits, std::size_t size) {
  return __builtin_bswap64(bits) >> (64 - 8 * size);
}

std::uint64_t bits_at(const DataKind& type, const std::byte* at) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, at, type.size);
  return type.swapped ? swap_bytes(bits, type.size) : bits;
}

std::int64_t signed_value(std::uint64_t bits, std::size_t size) {
  const auto unused = static_cast<int>(64 - 8 * size);
  return static_cast<std::int64_t>(bits << unused) >> unused;
}

double number_at(const DataKind& type, const std::byte* at) {
  const std::uint64_t bits = bits_at(type, at);
  switch (type.kind) {
    case 'f':
      if (type.size == 2) return static_cast<double>(arrow::half_to_float(static_cast<std::uint16_t>(bits)));
      if (type.size == 4) return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
      return std::bit_cast<double>(bits);
    case 'i':
      return static_cast<double>(signed_value(bits, type.size));
    case 'b':
      return bits != 0 ? 1 : 0;
    case 'M': {
      const auto units = static_cast<std::int64_t>(bits);
      if (units == std::numeric_limits<std::int64_t>::min())
        return std::numeric_limits<double>::quiet_NaN();  // NaT
      return static_cast<double>(units) * static_cast<double>(type.unit_ns);
    }
    default:
      return static_cast<double>(bits);
  }
}

template <class T>
void copy_plain(const std::byte* from, std::size_t stride, std::span<double> to) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    T value;
    std::memcpy(&value, from + i * stride, sizeof value);
    to[i] = static_cast<double>(value);
  }
}

void copy_column(const DataKind& type, const std::byte* from, std::size_t stride, std::span<double> to) {
  if (!type.swapped && type.kind == 'f' && type.size == 8) return copy_plain<double>(from, stride, to);
  if (!type.swapped && type.kind == 'f' && type.size == 4) return copy_plain<float>(from, stride, to);
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = number_at(type, from + i * stride);
}

void append_character(std::string& out, std::uint32_t c) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xC0 | c >> 6));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | c >> 12));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xF0 | c >> 18));
    out.push_back(static_cast<char>(0x80 | (c >> 12 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c >> 6 & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  }
}

/// Text of S (bytes) and U (UCS-4), without the zeros that fill it up. False: not UTF-8, no characters.
bool text_at(const DataKind& type, const std::byte* at, std::string& out) {
  out.clear();
  if (type.kind == 'S') {
    out.assign(reinterpret_cast<const char*>(at), type.size);
    out.resize(out.find_last_not_of('\0') + 1);
    return simdjson::validate_utf8(out.data(), out.size());
  }
  std::size_t length = type.size / 4;
  const DataKind character{'u', 4, type.swapped, 0};
  while (length > 0 && bits_at(character, at + 4 * (length - 1)) == 0) --length;
  for (std::size_t i = 0; i < length; ++i) {
    const auto c = static_cast<std::uint32_t>(bits_at(character, at + 4 * i));
    if (c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return false;
    append_character(out, c);
  }
  return true;
}

bool is_text(const DataKind& type) {
  return type.kind == 'S' || type.kind == 'U';
}
bool is_integer(const DataKind& type) {
  return type.kind == 'i' || type.kind == 'u';
}

/// [rows, columns]; a vector is one column.
std::pair<std::size_t, std::size_t> matrix_shape(const std::filesystem::path& path, const Array& array) {
  std::string shown;
  for (const std::uint64_t size : array.shape) shown += fmt::format("{}{}", shown.empty() ? "" : ", ", size);
  if (array.shape.empty() || array.shape.size() > 2)
    invalid(path, fmt::format("shape: found ({}), allowed a matrix or a vector", shown));
  const std::uint64_t columns = array.shape.size() == 2 ? array.shape[1] : 1;
  if (columns == 0 || columns > kColumnsMax)
    invalid(path, fmt::format("shape: found ({}), allowed 1 to {} columns", shown, kColumnsMax));
  return {static_cast<std::size_t>(array.shape[0]), static_cast<std::size_t>(columns)};
}

/// A matrix as a structure of its columns x0, x1, ...: the same code then reads both.
Array by_columns(const std::filesystem::path& path, const Array& matrix) {
  const auto [rows, columns] = matrix_shape(path, matrix);
  Array out = matrix;
  for (std::size_t c = 0; c < columns; ++c) {
    const std::size_t offset = c * matrix.item * (matrix.fortran ? rows : 1);
    out.fields.push_back({fmt::format("x{}", c), matrix.type, offset});
  }
  out.item = matrix.item * (matrix.fortran ? 1 : columns);
  out.shape = {rows};
  return out;
}

/// A structured array's columns.
class StructReader {
 public:
  StructReader(const std::filesystem::path& path, Array array, const ReadOptions& options)
      : path_(path), array_(std::move(array)), options_(options) {}

  DataFile read() {
    if (array_.shape.size() != 1) invalid(path_, "a structured array of other than one dimension");
    const auto rows = static_cast<std::size_t>(array_.shape[0]);
    DataFile out;
    out.records.count = rows;
    std::vector<std::string> names;
    std::unordered_set<std::string_view> seen;
    for (const StructField& field : array_.fields) {
      if (!seen.insert(field.name).second)
        invalid(path_, fmt::format("two fields are called '{}'", field.name));
      names.push_back(field.name);
    }
    require_columns(path_, options_, names);
    out.schema.entity = options_.entity;
    out.schema.time = options_.time;
    out.schema.id = options_.id;
    for (const StructField& field : array_.fields) {
      if (field.name == options_.label) labels(field, rows, out.labels);
      if (field.name == options_.entity) texts(field, rows, out.records.entity);
      if (field.name == options_.id) texts(field, rows, out.records.id);
      if (field.name == options_.time) times(field, rows, out.records.time);
      if (!stays_field(options_, field.name)) continue;
      engine::Column column;
      const bool as_text = is_text(field.type) || is_expected_text(options_, field.name);
      if (as_text) {
        texts(field, rows, column.texts);
        column.missing.resize(rows);
        for (std::size_t row = 0; row < rows; ++row) column.missing[row] = column.texts[row].empty();
      } else {
        column.numbers.resize(rows);
        copy_column(field.type, array_.data.data() + field.offset, array_.item, column.numbers);
      }
      out.schema.fields.push_back(
          {field.name, as_text ? engine::ColumnKind::text : engine::ColumnKind::number});
      out.records.columns.push_back(std::move(column));
    }
    return out;
  }

 private:
  const std::byte* at(const StructField& field, std::size_t row) const {
    return array_.data.data() + row * array_.item + field.offset;
  }
  [[noreturn]] void wrong(const StructField& field, std::size_t row, std::string_view allowed) const {
    invalid(path_, fmt::format("row {}: {}: allowed {}", row, field.name, allowed));
  }

  void labels(const StructField& field, std::size_t rows, std::vector<int>& out) const {
    for (std::size_t row = 0; row < rows; ++row) {
      int label;
      if (is_text(field.type) || !to_label(number_at(field.type, at(field, row)), label))
        wrong(field, row, "whole numbers as labels");
      out.push_back(label);
    }
  }
  void texts(const StructField& field, std::size_t rows, engine::Texts& out) const {
    std::string text;
    for (std::size_t row = 0; row < rows; ++row) {
      if (is_text(field.type)) {
        if (!text_at(field.type, at(field, row), text)) wrong(field, row, "text in UTF-8");
      } else if (is_integer(field.type)) {
        const std::uint64_t bits = bits_at(field.type, at(field, row));
        text = field.type.kind == 'i' ? fmt::format("{}", signed_value(bits, field.type.size))
                                      : fmt::format("{}", bits);
      } else {
        wrong(field, row, "text or integers");
      }
      out.push_back(text);
    }
  }
  void times(const StructField& field, std::size_t rows, std::vector<std::int64_t>& out) const {
    std::string text;
    for (std::size_t row = 0; row < rows; ++row) {
      std::int64_t time = 0;
      bool is_time = true;
      if (is_text(field.type)) {
        const auto parsed = text_at(field.type, at(field, row), text) ? parse_time(text) : std::nullopt;
        is_time = parsed.has_value();
        time = parsed.value_or(0);
      } else if (field.type.kind == 'M' || field.type.kind == 'i') {
        time = signed_value(bits_at(field.type, at(field, row)), field.type.size);
        is_time = field.type.kind == 'i' || (time != std::numeric_limits<std::int64_t>::min() &&
                                             !__builtin_mul_overflow(time, field.type.unit_ns, &time));
      } else if (field.type.kind == 'u') {
        const std::uint64_t bits = bits_at(field.type, at(field, row));
        time = static_cast<std::int64_t>(bits);
        is_time = time >= 0;
      } else {
        is_time = false;
      }
      if (!is_time) wrong(field, row, "a time: datetime64, integer nanoseconds, ISO 8601 text");
      out.push_back(time);
    }
  }

  const std::filesystem::path& path_;
  const Array array_;
  const ReadOptions& options_;
};

std::vector<int> read_labels(const std::filesystem::path& path, Bytes bytes, std::size_t rows) {
  const Array array = parse_npy(path, bytes);
  const bool is_column = array.shape.size() == 2 && array.shape[1] == 1;
  if (!array.fields.empty() || (array.shape.size() != 1 && !is_column))
    invalid(path, "allowed a vector of labels");
  if (array.shape[0] != rows) invalid(path, fmt::format("{} labels for {} rows", array.shape[0], rows));
  std::vector<int> out(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    if (!to_label(number_at(array.type, array.data.data() + row * array.item), out[row]))
      invalid(path, fmt::format("row {}: allowed whole numbers as labels", row));
  }
  return out;
}

/// How an array inside an archive is called in an error.
std::filesystem::path inside(const std::filesystem::path& path, std::string_view array) {
  return fmt::format("{}:{}", path.string(), array);
}

std::string array_list(const Zip& zip) {
  std::string out;
  for (const Zip::Member& member : zip.members()) {
    if (!member.name.ends_with(".npy")) continue;
    out += fmt::format("{}{}", out.empty() ? "" : ", ",
                       std::string_view(member.name).substr(0, member.name.size() - 4));
  }
  return out.empty() ? "no arrays" : out;
}

const Zip::Member& array_member(const std::filesystem::path& path, const Zip& zip, const std::string& name) {
  const Zip::Member* member = zip.find(name + ".npy");
  if (member == nullptr)
    invalid(path, fmt::format("array: found no '{}', allowed {}", name, array_list(zip)));
  return *member;
}

}  // namespace

DataFile read_npy(const std::filesystem::path& path, Bytes bytes, const ReadOptions& options) {
  const Array array = parse_npy(path, bytes);
  if (array.fields.empty()) return StructReader(path, by_columns(path, array), options).read();
  return StructReader(path, array, options).read();
}

DataFile read_npz(const std::filesystem::path& path, Bytes bytes, const ReadOptions& options) {
  const Zip zip(path, bytes);
  std::string rows = options.array.empty() ? "X" : options.array;
  if (options.array.empty() && zip.find("X.npy") == nullptr && zip.members().size() == 1 &&
      zip.members()[0].name.ends_with(".npy"))
    rows = zip.members()[0].name.substr(0, zip.members()[0].name.size() - 4);
  if (options.array.empty() && zip.find(rows + ".npy") == nullptr)
    invalid(path, fmt::format("array: found no 'X'; {}:NAME reads one of {}", path.filename().string(),
                              array_list(zip)));
  const Zip::Member& member = array_member(path, zip, rows);
  // The label is an array of its own here, unless the rows are a structure that has it.
  ReadOptions inner = options;
  const bool label_is_array = !options.label.empty() && zip.find(options.label + ".npy") != nullptr;
  if (label_is_array) inner.label.clear();
  DataFile out = read_npy(inside(path, rows), zip.read(member), inner);
  std::string labels = label_is_array ? options.label : rows == "X" ? "y" : rows + "_label";
  if (out.labels.empty() && zip.find(labels + ".npy") != nullptr)
    out.labels =
        read_labels(inside(path, labels), zip.read(array_member(path, zip, labels)), out.records.count);
  return out;
}

std::vector<std::int64_t> read_npy_integers(const std::filesystem::path& path, Bytes bytes) {
  const Array array = parse_npy(path, bytes);
  const bool is_column = array.shape.size() == 2 && array.shape[1] == 1;
  if (!array.fields.empty() || !is_integer(array.type) || (array.shape.size() != 1 && !is_column))
    invalid(path, "allowed a vector of integers");
  std::vector<std::int64_t> out(static_cast<std::size_t>(array.shape[0]));
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::uint64_t bits = bits_at(array.type, array.data.data() + i * array.item);
    out[i] = array.type.kind == 'i' ? signed_value(bits, array.type.size) : static_cast<std::int64_t>(bits);
    if (array.type.kind == 'u' && out[i] < 0) invalid(path, fmt::format("item {}: {} is too large", i, bits));
  }
  return out;
}

}  // namespace lanner::host
