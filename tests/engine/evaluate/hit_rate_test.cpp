#include "engine/evaluate/hit_rate.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace lanner::engine {
namespace {

using Listed = std::vector<std::size_t>;

TEST(HitRate, CountsListedMetricsAmongTheLargest) {
  const std::vector<double> contributions{5, 1, 4, 0.5, 3, 2};  // ranks: 0, 2, 4, 5, 1, 3
  EXPECT_DOUBLE_EQ(hit_rate(contributions, Listed{0, 2}, 1), 1);
  EXPECT_DOUBLE_EQ(hit_rate(contributions, Listed{0, 4}, 1), 0.5);
  EXPECT_DOUBLE_EQ(hit_rate(contributions, Listed{0, 4}, 1.5), 1);
  EXPECT_DOUBLE_EQ(hit_rate(contributions, Listed{1, 3}, 1.5), 0);
  EXPECT_DOUBLE_EQ(hit_rate(contributions, Listed{0, 1, 2, 3, 4, 5}, 1.5), 1) << "no more than there are";
  EXPECT_DOUBLE_EQ(hit_rate(contributions, Listed{0}, 1.5), 1) << "floor(1.5) is 1";
  EXPECT_DOUBLE_EQ(hit_rate(contributions, Listed{2}, 1.5), 0);
}

TEST(HitRate, TiesForTheLastPlaceAreDrawnEvenly) {
  const std::vector<double> contributions{9, 0, 0, 0, 0};
  EXPECT_DOUBLE_EQ(hit_rate(contributions, Listed{0, 4}, 1), (1 + 0.25) / 2);
  EXPECT_DOUBLE_EQ(hit_rate(contributions, Listed{1, 2}, 1), 0.5 / 2);
  EXPECT_DOUBLE_EQ(hit_rate(std::vector<double>(4), Listed{3}, 1), 0.25);
}

TEST(HitRate, RandomIsTheMeanOverAllRankings) {
  for (const double share : {1.0, 1.5}) {
    const Listed listed{0, 3, 4};
    std::vector<double> ranking(6);
    std::iota(ranking.begin(), ranking.end(), 0.0);
    double sum = 0, rankings = 0;
    do {
      sum += hit_rate(ranking, listed, share);
      ++rankings;
    } while (std::next_permutation(ranking.begin(), ranking.end()));
    EXPECT_EQ(rankings, 720);
    EXPECT_NEAR(random_hit_rate(6, 3, share), sum / rankings, 1e-12) << share;
  }
}

TEST(HitRate, WhatCannotBeListedIsRefused) {
  const std::vector<double> contributions{1, 2};
  EXPECT_THROW(hit_rate(contributions, Listed{}, 1), std::invalid_argument);
  EXPECT_THROW(hit_rate(contributions, Listed{2}, 1), std::invalid_argument);
  EXPECT_THROW(hit_rate(contributions, Listed{1, 1}, 1), std::invalid_argument);
}

}  // namespace
}  // namespace lanner::engine
