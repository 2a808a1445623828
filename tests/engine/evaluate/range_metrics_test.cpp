#include "engine/evaluate/range_metrics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>
#include <vector>

#include "tests/engine/series/made_series.hpp"

namespace lanner::engine {
namespace {

// 200 rows, four events, two of them a row apart; scores that follow some of them three rows late.
struct Made {
  std::vector<int> labels = std::vector<int>(200);
  std::vector<float> scores;

  Made() {
    for (const auto& [begin, end] : {std::pair{30, 45}, {47, 48}, {110, 113}, {190, 200}})
      std::fill(labels.begin() + begin, labels.begin() + end, 1);
    Noise noise(8);
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const double level = static_cast<int>(noise.next()) / 4;
      scores.push_back(static_cast<float>(level + (i >= 3 && i < 150 && labels[i - 3] ? 300 : 0)));
    }
  }
};

// RangeAUC_volume of the authors' program (package vus 0.0.6), its labels softened to both sides alike as in
// its file utils/metrics.py; below 250 rows its thresholds are all there are.
TEST(VusPr, AgreesWithTheAuthorsProgram) {
  const Made made;
  EXPECT_NEAR(vus_pr(made.labels, made.scores, 0), 0.38069891306093184, 1e-12);
  EXPECT_NEAR(vus_pr(made.labels, made.scores, 1), 0.38069891306093184, 1e-12);
  EXPECT_NEAR(vus_pr(made.labels, made.scores, 5), 0.497090934796294, 1e-12);
  EXPECT_NEAR(vus_pr(made.labels, made.scores, 20), 0.6035442821393754, 1e-12);
}

TEST(VusPr, PerfectScoresAreOneWithoutABuffer) {
  const std::vector<int> labels{0, 0, 1, 1, 0, 0, 1, 0};
  const std::vector<float> scores{0, 0, 5, 5, 0, 0, 5, 0};
  EXPECT_DOUBLE_EQ(vus_pr(labels, scores, 0), 1);
}

TEST(VusPr, IsNothingWithoutEvents) {
  EXPECT_TRUE(std::isnan(vus_pr(std::vector<int>{0, 0}, std::vector<float>{1, 2}, 3)));
  EXPECT_THROW(vus_pr(std::vector<int>{0}, std::vector<float>{1, 2}, 3), std::invalid_argument);
}

}  // namespace
}  // namespace lanner::engine
