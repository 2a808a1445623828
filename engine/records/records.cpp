#include "engine/records/records.hpp"

#include <utility>

namespace lanner::engine {

void Records::clear() {
  count = 0;
  dense = {};
  for (Column& column : columns) {
    column.numbers.clear();
    column.texts.clear();
    column.missing.clear();
  }
  entity.clear();
  id.clear();
  time.clear();
  refused.clear();
}

void Records::fit_columns(std::size_t count) {
  while (columns.size() > count) {
    spare.push_back(std::move(columns.back()));
    columns.pop_back();
  }
  while (columns.size() < count) {
    if (spare.empty()) {
      columns.emplace_back();
    } else {
      columns.push_back(std::move(spare.back()));
      spare.pop_back();
    }
  }
  for (Column& column : columns) {
    column.numbers.clear();
    column.texts.clear();
    column.missing.clear();
  }
}

double Records::number(std::size_t row, std::size_t field) const {
  if (dense.floats) return dense.floats[row * dense.width + field];
  if (dense.doubles) return dense.doubles[row * dense.width + field];
  return columns[field].numbers[row];
}

void Records::append_row(const Records& from, std::size_t row, std::span<const FieldSpec> fields) {
  for (std::size_t f = 0; f < fields.size(); ++f) {
    Column& column = columns[f];
    if (fields[f].kind == ColumnKind::number) {
      column.numbers.push_back(from.number(row, f));
    } else {
      column.texts.push_back(from.columns[f].texts[row]);
      column.missing.push_back(from.columns[f].missing[row]);
    }
  }
  if (!from.entity.empty()) entity.push_back(from.entity[row]);
  if (!from.time.empty()) time.push_back(from.time[row]);
  ++count;
}

bool valid_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned first = byte(i);
    const std::size_t length = first < 0x80   ? 1
                               : first < 0xC2 ? 0
                               : first < 0xE0 ? 2
                               : first < 0xF0 ? 3
                               : first < 0xF5 ? 4
                                              : 0;
    if (length == 0 || length > text.size() - i) return false;
    for (std::size_t k = 1; k < length; ++k) {
      if ((byte(i + k) & 0xC0) != 0x80) return false;
    }
    if (length == 3) {
      if (first == 0xE0 && byte(i + 1) < 0xA0) return false;
      if (first == 0xED && byte(i + 1) > 0x9F) return false;
    } else if (length == 4) {
      if (first == 0xF0 && byte(i + 1) < 0x90) return false;
      if (first == 0xF4 && byte(i + 1) > 0x8F) return false;
    }
    i += length;
  }
  return true;
}

}  // namespace lanner::engine
