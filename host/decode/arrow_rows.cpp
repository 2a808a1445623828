#include "host/decode/arrow_rows.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "host/decode/time_text.hpp"

namespace lanner::host {
namespace {

using arrow::Column;
using arrow::Field;
using arrow::Kind;
using arrow::value_at;

// Rows may share bytes: views do by design, and offsets may step back behind a null. All text together may be
// this many times the bytes read, or a small message could ask for any amount of memory.
constexpr std::size_t kSharedMax = 64;
constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

bool is_number(Kind kind) {
  return kind == Kind::integer || kind == Kind::unsigned_integer || kind == Kind::floating ||
         kind == Kind::boolean || kind == Kind::timestamp || kind == Kind::null;
}
bool is_text(Kind kind) {
  return kind == Kind::text || kind == Kind::text_view || kind == Kind::null;
}
bool is_integer(Kind kind) {
  return kind == Kind::integer || kind == Kind::unsigned_integer;
}

template <class T>
void widen(const Column& column, double* out) {
  for (std::size_t row = 0; row < column.rows; ++row)
    out[row] = static_cast<double>(value_at<T>(column.data, row));
}

void numbers(const Field& field, const Column& column, double* out) {
  switch (field.kind) {
    case Kind::integer:
      if (field.bits == 8) widen<std::int8_t>(column, out);
      if (field.bits == 16) widen<std::int16_t>(column, out);
      if (field.bits == 32) widen<std::int32_t>(column, out);
      if (field.bits == 64) widen<std::int64_t>(column, out);
      break;
    case Kind::unsigned_integer:
      if (field.bits == 8) widen<std::uint8_t>(column, out);
      if (field.bits == 16) widen<std::uint16_t>(column, out);
      if (field.bits == 32) widen<std::uint32_t>(column, out);
      if (field.bits == 64) widen<std::uint64_t>(column, out);
      break;
    case Kind::floating:
      if (field.bits == 16) {
        for (std::size_t row = 0; row < column.rows; ++row)
          out[row] = static_cast<double>(arrow::half_to_float(value_at<std::uint16_t>(column.data, row)));
      }
      if (field.bits == 32) widen<float>(column, out);
      if (field.bits == 64) widen<double>(column, out);
      break;
    case Kind::boolean:
      for (std::size_t row = 0; row < column.rows; ++row)
        out[row] = std::to_integer<unsigned>(column.data[row / 8]) >> (row % 8) & 1u;
      break;
    case Kind::timestamp:
      for (std::size_t row = 0; row < column.rows; ++row)
        out[row] = static_cast<double>(value_at<std::int64_t>(column.data, row)) *
                   static_cast<double>(field.unit_ns);
      break;
    default:
      std::fill_n(out, column.rows, kMissing);
      break;
  }
  if (!column.has_nulls) return;
  for (std::size_t row = 0; row < column.rows; ++row) {
    if (!column.valid(row)) out[row] = kMissing;
  }
}

std::int64_t signed_at(const Field& field, const Column& column, std::size_t row) {
  switch (field.bits) {
    case 8:
      return value_at<std::int8_t>(column.data, row);
    case 16:
      return value_at<std::int16_t>(column.data, row);
    case 32:
      return value_at<std::int32_t>(column.data, row);
    default:
      return value_at<std::int64_t>(column.data, row);
  }
}

std::uint64_t unsigned_at(const Field& field, const Column& column, std::size_t row) {
  switch (field.bits) {
    case 8:
      return value_at<std::uint8_t>(column.data, row);
    case 16:
      return value_at<std::uint16_t>(column.data, row);
    case 32:
      return value_at<std::uint32_t>(column.data, row);
    default:
      return value_at<std::uint64_t>(column.data, row);
  }
}

class Taker {
 public:
  Taker(const arrow::Reader& reader, engine::Records& out) : reader_(reader), out_(out) {}

  /// False: reason() says why the whole batch is refused.
  bool texts(std::size_t f, bool allows_integers, engine::Texts& out, std::vector<std::uint8_t>* missing) {
    const Field& field = reader_.fields()[f];
    std::size_t first = 0;
    char digits[24];
    for (std::size_t batch = 0; batch < reader_.batches(); ++batch) {
      const Column& column = reader_.column(batch, f);
      for (std::size_t row = 0; row < column.rows; ++row) {
        std::string_view text;
        const bool has_value = field.kind != Kind::null && column.valid(row);
        if (has_value && allows_integers && is_integer(field.kind)) {
          const auto end =
              field.kind == Kind::integer
                  ? std::to_chars(digits, digits + sizeof digits, signed_at(field, column, row)).ptr
                  : std::to_chars(digits, digits + sizeof digits, unsigned_at(field, column, row)).ptr;
          text = std::string_view(digits, static_cast<std::size_t>(end - digits));
        } else if (has_value && !text_at(f, column, row, first + row, text)) {
          return false;
        }
        out.push_back(text);
        if (missing != nullptr) missing->push_back(!has_value);
      }
      first += column.rows;
    }
    return true;
  }

  bool times(std::size_t f) {
    const Field& field = reader_.fields()[f];
    std::size_t first = 0;
    for (std::size_t batch = 0; batch < reader_.batches(); ++batch) {
      const Column& column = reader_.column(batch, f);
      for (std::size_t row = 0; row < column.rows; ++row) {
        std::int64_t time = 0;
        if (field.kind == Kind::null || !column.valid(row)) {
          refuse(first + row, fmt::format("{}: missing, and it is the stream's time", field.name));
        } else if (field.kind == Kind::integer) {
          time = signed_at(field, column, row);
        } else if (field.kind == Kind::unsigned_integer) {
          const std::uint64_t value = unsigned_at(field, column, row);
          if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            refuse(first + row, fmt::format("{}: found {}, allowed int64 nanoseconds", field.name, value));
          } else {
            time = static_cast<std::int64_t>(value);
          }
        } else if (field.kind == Kind::timestamp) {
          const auto value = value_at<std::int64_t>(column.data, row);
          if (__builtin_mul_overflow(value, field.unit_ns, &time)) {
            refuse(first + row, fmt::format("{}: found {} units of {} ns, beyond int64 nanoseconds",
                                            field.name, value, field.unit_ns));
            time = 0;
          }
        } else {
          std::string_view text;
          if (!text_at(f, column, row, first + row, text)) return false;
          if (const auto parsed = parse_time(text)) {
            time = *parsed;
          } else {
            refuse(first + row,
                   fmt::format("{}: found text that is no time, allowed ISO 8601 (2026-09-21T12:00:00Z)",
                               field.name));
          }
        }
        out_.time.push_back(time);
      }
      first += column.rows;
    }
    return true;
  }

  const std::string& reason() const { return reason_; }

  /// Ascending by row, one reason a row.
  void settle_refusals() {
    std::vector<engine::RowRefusal>& refused = out_.refused;
    std::stable_sort(refused.begin(), refused.end(),
                     [](const auto& a, const auto& b) { return a.row < b.row; });
    refused.erase(std::unique(refused.begin(), refused.end(),
                              [](const auto& a, const auto& b) { return a.row == b.row; }),
                  refused.end());
  }

 private:
  void refuse(std::size_t row, std::string reason) {
    out_.refused.push_back({static_cast<std::uint32_t>(row), std::move(reason)});
  }

  bool text_at(std::size_t f, const Column& column, std::size_t row, std::size_t row_of_all,
               std::string_view& out) {
    const Field& field = reader_.fields()[f];
    if (!reader_.text_at(field, column, row, out)) {
      reason_ = fmt::format("column '{}': row {}: its offsets lead outside the text", field.name, row_of_all);
      return false;
    }
    if (!simdjson::validate_utf8(out.data(), out.size())) {
      refuse(row_of_all, fmt::format("{}: found text that is not UTF-8, allowed text", field.name));
      out = {};
    }
    text_bytes_ += out.size();
    if (text_bytes_ / kSharedMax > reader_.bytes()) {
      reason_ = fmt::format("column '{}': row {}: more than {} bytes of text for each byte there is",
                            field.name, row_of_all, kSharedMax);
      return false;
    }
    return true;
  }

  const arrow::Reader& reader_;
  engine::Records& out_;
  std::string reason_;
  std::size_t text_bytes_ = 0;
};

}  // namespace

std::string records_from_arrow(const arrow::Reader& reader, const SchemaNames& names, engine::Records& out,
                               std::vector<std::size_t>& column_of) {
  const std::span<const Field> fields = reader.fields();
  constexpr std::size_t kAbsent = static_cast<std::size_t>(-1);
  column_of.assign(names.slots().size(), kAbsent);
  for (std::size_t f = 0; f < fields.size(); ++f) {
    const std::ptrdiff_t found = names.find(fields[f].name);
    if (found < 0) continue;
    std::size_t& place = column_of[static_cast<std::size_t>(found)];
    if (place != kAbsent)
      return fmt::format("column '{}' appears twice", names.slots()[static_cast<std::size_t>(found)].name);
    place = f;
  }

  const std::size_t rows = reader.rows();
  Taker taker(reader, out);
  for (std::size_t s = 0; s < names.slots().size(); ++s) {
    const SchemaNames::Slot& slot = names.slots()[s];
    if (column_of[s] == kAbsent) {
      if (slot.time) return fmt::format("column '{}': missing, and it is the stream's time", slot.name);
      if (slot.field >= 0) {
        engine::Column& column = out.columns[static_cast<std::size_t>(slot.field)];
        if (slot.kind == engine::ColumnKind::number) {
          column.numbers.assign(rows, kMissing);
        } else {
          for (std::size_t row = 0; row < rows; ++row) column.texts.push_back({});
          column.missing.assign(rows, 1);
        }
      }
      continue;
    }
    const std::size_t f = column_of[s];
    const Field& field = fields[f];
    const auto wrong = [&](std::string_view allowed) {
      return fmt::format("column '{}': found {}, allowed {}", slot.name, field.type, allowed);
    };
    if (slot.field >= 0) {
      engine::Column& column = out.columns[static_cast<std::size_t>(slot.field)];
      if (slot.kind == engine::ColumnKind::number) {
        if (!is_number(field.kind))
          return wrong("integers, floats, Bool, Timestamp (the stream declares a number)");
        column.numbers.resize(rows);
        double* to = column.numbers.data();
        for (std::size_t batch = 0; batch < reader.batches(); ++batch) {
          numbers(field, reader.column(batch, f), to);
          to += reader.rows_of(batch);
        }
      } else {
        if (!is_text(field.kind)) return wrong("Utf8, LargeUtf8 (the stream declares text)");
        if (!taker.texts(f, false, column.texts, &column.missing)) return taker.reason();
      }
    }
    if (slot.entity || slot.id) {
      if (!is_text(field.kind) && !is_integer(field.kind)) return wrong("Utf8, LargeUtf8, integers");
      if (slot.entity && !taker.texts(f, true, out.entity, nullptr)) return taker.reason();
      if (slot.id && !taker.texts(f, true, out.id, nullptr)) return taker.reason();
    }
    if (slot.time) {
      if (!is_text(field.kind) && !is_integer(field.kind) && field.kind != Kind::timestamp)
        return wrong("Timestamp, integers (nanoseconds), Utf8 (ISO 8601)");
      if (!taker.times(f)) return taker.reason();
    }
  }
  out.count = rows;
  taker.settle_refusals();
  return {};
}

std::string records_from_arrow(const arrow::Reader& reader, const engine::Schema& schema,
                               engine::Records& out) {
  SchemaNames names;
  std::vector<std::size_t> scratch;
  names.set(schema);
  out.fit_columns(schema.fields.size());
  return records_from_arrow(reader, names, out, scratch);
}

}  // namespace lanner::host
