#include "engine/series/left_neighbours.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/engine/series/made_series.hpp"

namespace lanner::engine {
namespace {

// Every vector kept, every distance taken: the definition itself.
class AllVectors {
 public:
  AllVectors(const BlockShape& shape, std::size_t held_max) : shape_(shape), held_max_(held_max) {}

  LeftNeighbours::Step push(double value) {
    block_.push_back(value);
    if (block_.size() < shape_.rows) return {};
    const auto [low, high] = std::minmax_element(block_.begin(), block_.end());
    lows_.push_back(*low);
    highs_.push_back(*high);
    block_.clear();
    LeftNeighbours::Step step{true, {}};
    if (lows_.size() < shape_.blocks) return step;
    const auto last = -static_cast<std::ptrdiff_t>(shape_.blocks);
    std::vector<double> vector(lows_.end() + last, lows_.end());
    if (shape_.extremes) vector.insert(vector.end(), highs_.end() + last, highs_.end());
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t v = 0; v < vectors_.size(); ++v) {
      if (v + held_max_ < vectors_.size() || v + shape_.blocks > vectors_.size()) continue;
      double sum = 0;
      for (std::size_t i = 0; i < vector.size(); ++i)
        sum += (vector[i] - vectors_[v][i]) * (vector[i] - vectors_[v][i]);
      least = std::min(least, sum);
    }
    if (std::isfinite(least)) step.distance = std::sqrt(least);
    vectors_.push_back(std::move(vector));
    return step;
  }

 private:
  BlockShape shape_;
  std::size_t held_max_;
  std::vector<double> block_, lows_, highs_;
  std::vector<std::vector<double>> vectors_;
};

class LeftNeighboursOf : public ::testing::TestWithParam<BlockShape> {};

// Longer than what is held and what is dropped at once, so that both come into play several times.
TEST_P(LeftNeighboursOf, AreTheNearestOfAllVectorsToTheBit) {
  constexpr std::size_t held_max = 40;
  LeftNeighbours neighbours(GetParam(), held_max);
  AllVectors all(GetParam(), held_max);
  Noise noise(11);
  for (int i = 0; i < 4000; ++i) {
    const double value = noise.next() / 7;
    const auto found = neighbours.push(value), wanted = all.push(value);
    ASSERT_EQ(found.completed, wanted.completed) << i;
    ASSERT_EQ(found.distance, wanted.distance) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, LeftNeighboursOf,
                         ::testing::Values(BlockShape{1, 8, false}, BlockShape{1, 8, true},
                                           BlockShape{3, 8, true}, BlockShape{4, 4, true},
                                           BlockShape{1, 1, false}));

TEST(LeftNeighbours, RepeatsAreAtDistanceZero) {
  LeftNeighbours neighbours({1, 8, false}, 1024);
  for (int i = 0; i < 500; ++i) {
    const auto step = neighbours.push(i % 20 < 10);
    EXPECT_TRUE(step.completed);
    EXPECT_EQ(step.distance.has_value(), i >= 15);
    if (i >= 27) {
      EXPECT_EQ(*step.distance, 0) << i;
    }
  }
}

TEST(LeftNeighbours, TheLargestValuesGiveFiniteDistances) {
  LeftNeighbours neighbours({2, 8, true}, 64);
  for (int i = 0; i < 200; ++i) {
    const auto step = neighbours.push(i % 3 == 0 ? value_most : -value_most);
    if (step.distance) {
      EXPECT_TRUE(std::isfinite(*step.distance));
    }
  }
}

}  // namespace
}  // namespace lanner::engine
