#include "engine/records/records.hpp"

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

double Records::number(std::size_t row, std::size_t field) const {
  if (dense.floats) return dense.floats[row * dense.width + field];
  if (dense.doubles) return dense.doubles[row * dense.width + field];
  return columns[field].numbers[row];
}

}  // namespace lanner::engine
