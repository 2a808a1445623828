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

}  // namespace lanner::engine
