#include "kernels/nearest/cells.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "tests/kernels/nearest/made_rows.hpp"

namespace lanner {
namespace {

using nearest::Cells;

// How many rows stand in cells whose boxes a query's tenth neighbour doesn't exclude.
std::size_t rows_in_reach(const nearest::ReferenceSet& set, const Cells& cells, const float* query) {
  const auto squared = [&](std::size_t j, float value) {
    const double d = static_cast<double>(value) - static_cast<double>(query[j]);
    return d * d;
  };
  std::vector<double> distance;
  for (std::size_t row = 0; row < set.distinct(); ++row) {
    double sum = 0;
    for (std::size_t j = 0; j < set.width; ++j) sum += squared(j, set.values[row * set.width + j]);
    distance.push_back(sum);
  }
  std::nth_element(distance.begin(), distance.begin() + 9, distance.end());
  std::size_t found = 0;
  for (std::size_t cell = 0; cell < cells.count(); ++cell) {
    const auto rows = cells.rows(cell);
    double away = 0;
    for (std::size_t j = 0; j < set.width; ++j) {
      float low = set.values[rows[0] * set.width + j], high = low;
      for (std::uint32_t row : rows) {
        low = std::min(low, set.values[row * set.width + j]);
        high = std::max(high, set.values[row * set.width + j]);
      }
      away += squared(j, std::clamp(query[j], low, high));
    }
    if (away <= distance[9]) found += rows.size();
  }
  return found;
}

// By `fitted_cells` and by `halved`.
std::pair<double, double> mean_rows_in_reach(const test::MadeRows& rows) {
  const nearest::ReferenceSet set = nearest::distinct_rows(rows);
  const Cells fitted = nearest::fitted_cells(set, 64), plain = nearest::halved(set, 64);
  double by_fitted = 0, by_plain = 0;
  constexpr std::size_t queries = 20;
  for (std::size_t i = 0; i < queries; ++i) {
    const float* query = rows.row(i * 17 + 1);
    by_fitted += static_cast<double>(rows_in_reach(set, fitted, query)) / queries;
    by_plain += static_cast<double>(rows_in_reach(set, plain, query)) / queries;
  }
  return {by_fitted, by_plain};
}

class EveryKindInCells : public testing::TestWithParam<std::pair<const char*, test::Maker>> {};

TEST_P(EveryKindInCells, HoldEveryRowOnce) {
  std::mt19937 random(3);
  for (std::size_t n : {1, 2, 63, 64, 257, 1000, 5000})
    for (std::size_t width : {1, 3, 20}) {
      const nearest::ReferenceSet set = nearest::distinct_rows(GetParam().second(n, width, random));
      for (const Cells& cells : {nearest::halved(set, 64), nearest::fitted_cells(set, 64)}) {
        std::vector<std::uint32_t> rows = cells.order, all(set.distinct());
        std::sort(rows.begin(), rows.end());
        std::iota(all.begin(), all.end(), 0u);
        ASSERT_EQ(rows, all);
        ASSERT_EQ(cells.begins.front(), 0u);
        for (std::size_t cell = 0; cell < cells.count(); ++cell) {
          ASSERT_GE(cells.rows(cell).size(), 1u);
          ASSERT_LE(cells.rows(cell).size(), nearest::cell_rows_max);
        }
      }
      const Cells cells = nearest::halved(set, 64);
      for (std::size_t begin : cells.begins) ASSERT_EQ(begin % 64, 0u);
    }
}

INSTANTIATE_TEST_SUITE_P(Made, EveryKindInCells,
                         testing::Values(std::pair{"normal", &test::made_normal},
                                         std::pair{"clusters", &test::made_clusters},
                                         std::pair{"low_rank_clusters", &test::made_low_rank_clusters},
                                         std::pair{"small_integers", &test::made_small_integers},
                                         std::pair{"same", &test::made_same},
                                         std::pair{"repeated", &test::made_repeated}),
                         [](const auto& info) { return info.param.first; });

TEST(Cells, AFewStraysDoNotWidenEveryBox) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  test::MadeRows rows = test::made_normal(8192, 8, random);
  for (std::size_t i = 0; i < rows.count; ++i) {
    const bool stray = random() % 50 == 0;
    for (std::size_t j = 0; j < rows.width; ++j) rows.row(i)[j] *= stray ? 10 : j < 3 ? 1 : 0.01f;
  }
  const auto [fitted, plain] = mean_rows_in_reach(rows);
  EXPECT_LT(fitted, 0.7 * plain);
}

TEST(Cells, ClustersThatHalvingCutsThroughStayWhole) {
  std::mt19937 random(11);
  const test::MadeRows centres = test::made_normal(20, 32, random);
  test::MadeRows rows = test::made_normal(8192, 32, random);
  for (std::size_t i = 0; i < rows.count; ++i) {
    const float* centre = centres.row(random() % 20);
    for (std::size_t j = 0; j < rows.width; ++j) rows.row(i)[j] += 3 * centre[j];
  }
  const auto [fitted, plain] = mean_rows_in_reach(rows);
  EXPECT_LT(fitted, 0.5 * plain);
}

TEST(Cells, AreTheSameEveryTime) {
  std::mt19937 random(13);
  const nearest::ReferenceSet set = nearest::distinct_rows(test::made_low_rank_clusters(4000, 16, random));
  const Cells once = nearest::fitted_cells(set, 64), again = nearest::fitted_cells(set, 64);
  EXPECT_EQ(once.order, again.order);
  EXPECT_EQ(once.begins, again.begins);
}

}  // namespace
}  // namespace lanner
