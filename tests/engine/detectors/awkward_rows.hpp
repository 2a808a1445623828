// Training and query rows that detectors must survive, from ordinary to absurd.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/rows.hpp"

namespace lanner::engine::testing {

/// Owned rows, tightly packed.
struct Table {
  std::size_t width = 0;
  std::vector<float> values;

  Table() = default;
  explicit Table(std::size_t columns) : width(columns) {}
  Table(std::size_t columns, std::vector<float> numbers) : width(columns), values(std::move(numbers)) {}

  std::size_t count() const { return width == 0 ? 0 : values.size() / width; }
  Rows rows() const { return {values.data(), count(), width, width}; }
  void append(Rows more) {
    std::vector<float> added;  // first: they may be rows of this table, whose memory moves as it grows
    for (std::size_t i = 0; i < more.count; ++i) added.insert(added.end(), more.row(i), more.row(i) + width);
    values.insert(values.end(), added.begin(), added.end());
  }
  float& at(std::size_t row, std::size_t column) { return values[row * width + column]; }
};

struct AwkwardCase {
  std::string name;
  Table training, queries;
};

/// The standard distributions' outputs differ between standard libraries; these don't.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(engine_() % n); }
  /// Sum of twelve uniforms less 6: normal enough.
  double normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += uniform();
    return sum;
  }

 private:
  std::mt19937_64 engine_;
};

inline Table normal_rows(std::size_t count, std::size_t width, std::uint64_t seed, double scale = 1,
                         double shift = 0) {
  Random random(seed);
  Table table(width);
  for (std::size_t i = 0; i < count * width; ++i)
    table.values.push_back(static_cast<float>(shift + scale * random.normal()));
  return table;
}

/// Some training rows, rows near them, far from them, and of extreme values.
inline Table queries_for(const Table& training, std::uint64_t seed) {
  constexpr float largest = std::numeric_limits<float>::max();
  constexpr float least = std::numeric_limits<float>::denorm_min();
  Random random(seed);
  Table queries(training.width);
  const Rows rows = training.rows();
  const std::size_t width = training.width;
  for (std::size_t i = 0; i < std::min<std::size_t>(rows.count, 12); ++i)
    queries.append(rows.slice(i, i + 1));
  for (int i = 0; i < 20; ++i) {
    const float* like = rows.row(random.below(rows.count));
    const double step = i % 4 == 0 ? 1e-3 : i % 4 == 1 ? 1 : i % 4 == 2 ? 50 : 0;
    for (std::size_t j = 0; j < width; ++j)
      queries.values.push_back(
          static_cast<float>(like[j] * (1 + 1e-3 * step * random.normal()) + step * random.normal()));
    if (step == 0) queries.at(queries.count() - 1, random.below(width)) += 3;
  }
  for (float value : {0.0f, -0.0f, 1.0f, least, -least, 1e-30f, 1e30f, -1e30f, largest, -largest})
    queries.values.insert(queries.values.end(), width, value);
  queries.append(rows.slice(0, 1));
  queries.at(queries.count() - 1, width - 1) = largest;
  for (float& value : queries.values)
    if (!(value >= -largest && value <= largest)) value = largest;
  return queries;
}

inline std::vector<AwkwardCase> awkward_cases() {
  std::vector<AwkwardCase> cases;
  const auto add = [&](std::string name, Table training) {
    Table queries = queries_for(training, cases.size() + 100);
    cases.push_back({std::move(name), std::move(training), std::move(queries)});
  };
  add("ordinary", normal_rows(300, 7, 1));
  add("one_row", normal_rows(1, 3, 2));
  add("two_rows", normal_rows(2, 5, 3));
  add("one_column", normal_rows(80, 1, 4));
  add("one_value", Table(1, {4.5f}));
  add("wide", normal_rows(30, 1555, 5));
  add("more_columns_than_rows", normal_rows(5, 40, 6));

  Table constant = normal_rows(100, 6, 7);
  for (std::size_t i = 0; i < 100; ++i) {
    constant.at(i, 1) = 0;
    constant.at(i, 3) = 5;
    constant.at(i, 5) = -1e6f;
  }
  add("constant_columns", constant);
  add("all_constant", Table(3, std::vector<float>(60, 7)));
  add("all_zero", Table(4, std::vector<float>(80, 0)));

  Table duplicates(4);
  const Table few = normal_rows(5, 4, 8);
  Random random(9);
  for (int i = 0; i < 200; ++i) {
    const std::size_t row = random.below(5);
    duplicates.append(few.rows().slice(row, row + 1));
  }
  add("mostly_duplicates", duplicates);

  Table grid(3);
  for (int i = 0; i < 216; ++i) {
    const float row[] = {static_cast<float>(i % 6), static_cast<float>(i / 6 % 6),
                         static_cast<float>(i / 36)};
    grid.values.insert(grid.values.end(), row, row + 3);
  }
  add("ties", grid);

  Table binary(10);
  for (int i = 0; i < 1500; ++i) binary.values.push_back(random.uniform() < 0.15 ? 1 : 0);
  add("binary", binary);

  Table denormal(4);
  for (int i = 0; i < 400; ++i)
    denormal.values.push_back(std::numeric_limits<float>::denorm_min() *
                              static_cast<float>(random.below(1000)));
  add("denormals", denormal);
  add("tiny", normal_rows(60, 5, 10, 1e-30));
  add("large_1e30", normal_rows(60, 5, 11, 1e30));
  add("huge_1e38", normal_rows(60, 5, 12, 5e37));
  add("large_offset", normal_rows(120, 3, 13, 1e-3, 1e4));

  Table scales = normal_rows(150, 5, 14);
  for (std::size_t i = 0; i < 150; ++i) {
    scales.at(i, 0) *= 1e-20f;
    scales.at(i, 2) *= 1e12f;
    scales.at(i, 4) *= 1e36f;
  }
  add("mixed_scales", scales);
  return cases;
}

}  // namespace lanner::engine::testing
