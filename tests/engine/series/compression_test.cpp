#include "engine/series/compression.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "engine/series/left_neighbours.hpp"

namespace lanner::engine {
namespace {

TEST(Compression, TheInverseHyperbolicSineIsThatOfTheLibrary) {
  for (double x = 1e-300; x < 1e300; x *= 1.7) {
    EXPECT_NEAR(inverse_hyperbolic_sine(x) / std::asinh(x), 1, 1e-15) << x;
    EXPECT_EQ(inverse_hyperbolic_sine(-x), -inverse_hyperbolic_sine(x));
  }
  EXPECT_EQ(inverse_hyperbolic_sine(0), 0);
}

TEST(Compression, TakesTheMedianAndTheDeviationFromIt) {
  const auto compression = Compression::learn(std::vector<double>{1, 2, 3, 4, 100});
  EXPECT_NEAR(compression(3), 0, 1e-15);
  EXPECT_NEAR(compression(10), std::asinh(7 / (2 * 1.4826)), 1e-15);
}

// Most values are equal: the deviation from the median is 0, and the standard deviation stands in.
TEST(Compression, FallsBackWhereMostValuesAreEqual) {
  const auto mostly = Compression::learn(std::vector<double>{5, 5, 5, 5, 10});
  EXPECT_NEAR(mostly(9), std::asinh(4 / (2 * 2.0)), 1e-15);
  const auto constant = Compression::learn(std::vector<double>(10, 5.0));
  EXPECT_NEAR(constant(7), std::asinh(1), 1e-15);
}

TEST(Compression, IsFiniteForEveryValueThatASeriesMayHave) {
  const auto narrow = Compression::learn(std::vector<double>{0, 5e-324, 1e-323, 1.5e-323});
  const auto wide = Compression::learn(std::vector<double>{-value_most, value_most, -value_most});
  for (const double value : {0.0, value_most, -value_most}) {
    EXPECT_TRUE(std::isfinite(narrow(value)));
    EXPECT_TRUE(std::isfinite(wide(value)));
  }
}

}  // namespace
}  // namespace lanner::engine
