#include "engine/choose/rows_summary.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/nearest/nearest.hpp"

namespace lanner::engine {
namespace {

// 1, 2, or 3 for more.
std::vector<std::uint8_t> values_of_columns(Rows rows) {
  struct Seen {
    float first = 0, second = 0;
    std::uint8_t values = 0;
  };
  std::vector<Seen> seen(rows.width);
  for (std::size_t i = 0; i < rows.count; ++i) {
    for (std::size_t j = 0; j < rows.width; ++j) {
      Seen& column = seen[j];
      const float value = rows.row(i)[j];
      if (column.values == 0) {
        column = {value, value, 1};
      } else if (column.values == 1 && value != column.first) {
        column.second = value;
        column.values = 2;
      } else if (column.values == 2 && value != column.first && value != column.second) {
        column.values = 3;
      }
    }
  }
  std::vector<std::uint8_t> values;
  for (const Seen& column : seen) values.push_back(column.values);
  return values;
}

}  // namespace

RowsSummary summary_of(Rows rows) {
  const std::vector<std::uint8_t> values = values_of_columns(rows);
  const auto columns_with = [&](int count) {
    return static_cast<std::size_t>(std::count(values.begin(), values.end(), count));
  };
  return {rows.count, nearest::distinct_rows(rows).distinct(), rows.width, columns_with(1), columns_with(2)};
}

}  // namespace lanner::engine
