#include "engine/choose/rows_summary.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace lanner::engine {
namespace {

// Steele, Lea & Flood 2014 (SplitMix): two different rows share the 64 bits once in 10^19 pairs.
std::uint64_t mixed(std::uint64_t bits) {
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
  return bits ^ (bits >> 31);
}

std::size_t distinct_count(Rows rows) {
  std::vector<std::uint64_t> hashes(rows.count);
  for (std::size_t i = 0; i < rows.count; ++i) {
    std::uint64_t hash = 0;
    for (std::size_t j = 0; j < rows.width; ++j)
      hash = mixed(hash + 0x9e3779b97f4a7c15u + std::bit_cast<std::uint32_t>(rows.row(i)[j] + 0.0f));
    hashes[i] = hash;
  }
  std::sort(hashes.begin(), hashes.end());
  return static_cast<std::size_t>(std::unique(hashes.begin(), hashes.end()) - hashes.begin());
}

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
  return {rows.count, distinct_count(rows), rows.width, columns_with(1), columns_with(2)};
}

}  // namespace lanner::engine
