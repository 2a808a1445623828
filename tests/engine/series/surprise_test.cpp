#include "engine/series/surprise.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lanner::engine {
namespace {

TEST(Surprise, NothingSurprisesTheFirstTwentyValuesAndNothingThatIsNotPositive) {
  SurpriseHistogram histogram;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(histogram.update(i == 19 ? 1e9 : 1), 0) << i;
  EXPECT_EQ(histogram.update(0), 0);
  EXPECT_EQ(histogram.update(-5), 0);
  EXPECT_GT(histogram.update(1e12), 0);
}

// 99 values of 1 and then one of 10: bin 320 begins at 1, 336 at 10. All values are held, u is 0, the mean of
// the logarithms half a bin, so xi is one bin's width.
TEST(Surprise, BeyondTheTailsEdgeFollowsThePareto) {
  SurpriseHistogram histogram;
  for (int i = 0; i < 99; ++i) histogram.update(1.001);
  const double bin = std::log(10.0) / 16;
  EXPECT_NEAR(histogram.update(10), -std::log10(99.0 / 100) + std::log(10.0) / bin / std::log(10.0), 1e-9);
}

// Of 120 values, 20 lie above 100: those hold the tail, and a value below is as rare as the histogram says.
TEST(Surprise, BelowTheTailCountsWhatIsAbove) {
  SurpriseHistogram histogram;
  for (int i = 0; i < 100; ++i) histogram.update(1.001);
  for (int i = 0; i < 20; ++i) histogram.update(101);
  EXPECT_NEAR(histogram.update(1.001), -std::log10((20 + 50 + 1) / 121.0), 1e-12);
}

TEST(Surprise, ZerosMakeAPositiveValueRarer) {
  SurpriseHistogram few, many;
  for (int i = 0; i < 30; ++i) few.update(0);
  for (int i = 0; i < 3000; ++i) many.update(0);
  EXPECT_NEAR(few.update(1), -std::log10(1 / 31.0), 1e-12);
  EXPECT_NEAR(many.update(1), -std::log10(1 / 3001.0), 1e-12);
}

TEST(Surprise, RisesWithTheValue) {
  double before = 0;
  for (double value = 1e-30; value < 1e30; value *= 7) {
    SurpriseHistogram histogram;
    for (int i = 1; i <= 1000; ++i) histogram.update(i * 0.01);
    const double surprise = histogram.update(value);
    EXPECT_TRUE(std::isfinite(surprise));
    EXPECT_GE(surprise, before) << value;
    before = surprise;
  }
  EXPECT_GT(before, 10);
}

TEST(TailProbability, IsATenthForEachUnitAndNeverZeroForANumber) {
  EXPECT_EQ(tail_probability(0), 1);
  EXPECT_NEAR(tail_probability(1), 0.1, 1e-16);
  EXPECT_NEAR(tail_probability(2.5), std::pow(10, -2.5), 1e-17);
  EXPECT_GT(tail_probability(1e9), 0);
  EXPECT_EQ(tail_probability(std::numeric_limits<double>::infinity()), 0);
  double last = 1;
  for (double surprise = 0; surprise < 320; surprise += 0.01) {
    const double p = tail_probability(surprise);
    ASSERT_LE(p, last) << surprise;
    last = p;
  }
}

}  // namespace
}  // namespace lanner::engine
