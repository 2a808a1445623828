#include "kernels/oblique_forest/oblique_forest.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/arithmetic/elementary.hpp"
#include "kernels/forest/forest.hpp"
#include "tests/kernels/density/rows_of.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::oblique_forest {
namespace {

constexpr float limit = 8;

// With so many digits that sums depend on their order; some zero, tiny, or as far out as can be.
float mark(std::mt19937& random) {
  constexpr float special[] = {0.0f, -0.0f, 1e-40f, -1e-40f, limit, -limit};
  if (random() % 16 == 0) return special[random() % std::size(special)];
  return std::ldexp(static_cast<float>(static_cast<int>(random() % (1 << 23)) - (1 << 22)), -20);
}

// The definition's sum, in other words than the kernel's: chains in a table, added up by recursion.
float sum_of(const std::vector<float>& y, const ObliqueForest& forest, std::size_t cut) {
  std::vector<float> chain(16);
  for (std::size_t i = 0; i < forest.mixed; ++i) {
    const std::size_t at = cut * forest.mixed + i, f = forest.feature.empty() ? i : forest.feature[at];
    chain[i % 16] = std::fma(forest.weight[at], y[f], chain[i % 16]);
  }
  const std::function<float(std::size_t, std::size_t)> added = [&](std::size_t first, std::size_t step) {
    return step == 16 ? chain[first] : added(first, 2 * step) + added(first + step, 2 * step);
  };
  return added(0, 1);
}

std::vector<float> standardised(const ObliqueForest& forest, const float* row) {
  std::vector<float> y;
  for (const std::uint32_t j : forest.seen)
    y.push_back(std::clamp((row[j] - forest.input.shift[j]) * forest.input.scale[j], -limit, limit));
  return y;
}

struct Shape {
  std::size_t width, constants, mixed;  ///< mixed 0: all that cuts see
};

// Thresholds are the sums of points, so that each digit of a sum counts.
class Grower {
 public:
  Grower(Shape shape, std::mt19937& random) : random_(random) {
    forest_.width = shape.width;
    forest_.tree_begin = {0};
    forest_.input.limit = limit;
    for (std::uint32_t j = 0; j < shape.width; ++j) {
      forest_.input.shift.push_back(static_cast<float>(random() % 9) / 8);
      forest_.input.scale.push_back(std::ldexp(1.0f, static_cast<int>(random() % 3) - 1));
      if (j >= shape.constants) forest_.seen.push_back(j);  // the first are not seen
    }
    forest_.mixed = shape.mixed == 0 ? forest_.seen.size() : shape.mixed;
    forest_.unseen = 1.25;
    forest_.rate = 0.01;
    for (std::size_t i = 0; i < points * shape.width; ++i) rows_.push_back(mark(random));
    for (std::size_t i = 0; i < points; ++i)
      for (std::size_t j = 0; j < shape.constants; ++j) rows_[i * shape.width + j] = forest_.input.shift[j];
  }

  /// cuts: of the tree. aside: of each cut's sides one is a leaf.
  void append_tree(std::size_t cuts, bool aside = false) {
    const std::size_t count = forest_.mixed == 0 ? 1 : 2 * cuts + 1;
    std::vector<std::uint32_t> left(count);
    std::vector<std::size_t> open = {0};
    for (std::uint32_t next = 1; next < count; next += 2) {
      // The smallest of some numbers, so that children stand after their parents.
      const std::size_t chosen = aside ? open.size() - 1 : random_() % open.size();
      const std::size_t node = open[chosen];
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(chosen));
      left[node] = next;
      if (random_() % 2 && aside) {
        open = {next};
      } else {
        open.push_back(next);
        open.push_back(next + 1);
      }
    }
    for (const std::uint32_t child : left) {
      forest_.left.push_back(child);
      forest_.length.push_back(static_cast<float>(random_() % (1 << 22)) / static_cast<float>(forest::ticks));
      if (child != 0) append_cut();
    }
    forest_.tree_begin.push_back(static_cast<std::uint32_t>(forest_.nodes()));
  }
  ObliqueForest take() { return std::move(forest_); }
  const std::vector<float>& rows() const { return rows_; }
  static constexpr std::size_t points = 40;

 private:
  void append_cut() {
    const std::size_t seen = forest_.seen.size();
    std::vector<std::uint32_t> features(seen);
    for (std::uint32_t f = 0; f < seen; ++f) features[f] = f;
    std::shuffle(features.begin(), features.end(), random_);
    for (std::size_t i = 0; i < forest_.mixed; ++i) {
      if (forest_.mixed < seen) forest_.feature.push_back(features[i]);
      forest_.weight.push_back(mark(random_));
      forest_.centre.push_back(mark(random_));
    }
    const std::vector<float> y = standardised(forest_, &rows_[random_() % points * forest_.width]);
    forest_.threshold.push_back(sum_of(y, forest_, forest_.cuts()));
  }

  std::mt19937& random_;
  ObliqueForest forest_;
  std::vector<float> rows_;  ///< [points, width]
};

struct Drawn {
  ObliqueForest forest;
  std::vector<float> values;
  Rows rows;
  std::vector<double> lengths;  ///< by the definition
  std::vector<float> scores;
};

void walk_as_defined(Drawn& d) {
  const ObliqueForest& forest = d.forest;
  for (std::size_t r = 0; r < d.rows.count; ++r) {
    const std::vector<float> y = standardised(forest, d.rows.row(r));
    double length = 0;
    for (std::size_t t = 0, cuts = 0; t < forest.trees(); ++t) {
      const std::size_t begin = forest.tree_begin[t], end = forest.tree_begin[t + 1];
      std::vector<std::size_t> cut_of(end - begin);
      for (std::size_t i = begin; i < end; ++i)
        if (forest.left[i] != 0) cut_of[i - begin] = cuts++;
      std::size_t at = 0;
      while (forest.left[begin + at] != 0)
        at =
            forest.left[begin + at] + (sum_of(y, forest, cut_of[at]) <= forest.threshold[cut_of[at]] ? 0 : 1);
      length += static_cast<double>(forest.length[begin + at]);
    }
    for (std::size_t j = 0; j < forest.width; ++j)
      if (!std::binary_search(forest.seen.begin(), forest.seen.end(), j) &&
          d.rows.row(r)[j] != forest.input.shift[j])
        length -= forest.unseen;
    d.lengths.push_back(length);
    d.scores.push_back(static_cast<float>(lanner::exp(-forest.rate * std::max(length, 0.0))));
  }
}

// Points that thresholds go through, near ones, and far ones.
Drawn drawn(Shape shape, std::size_t trees, std::size_t count, std::size_t stride, std::mt19937& random) {
  Grower grower(shape, random);
  for (std::size_t t = 0; t < trees; ++t) grower.append_tree(t % 5 == 0 ? 0 : 1 + random() % 60, t % 3 == 1);
  Drawn d;
  const std::size_t width = shape.width;
  // Exactly as long as the rows are: reading beyond the last row's width would be seen by a sanitizer.
  d.values.assign((count - 1) * stride + width, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < count; ++i) {
    float* const row = &d.values[i * stride];
    std::copy_n(&grower.rows()[random() % Grower::points * width], width, row);
    const std::size_t changed = random() % 4;
    if (changed == 1) row[random() % width] = mark(random);
    if (changed == 2)
      for (std::size_t j = shape.constants; j < width; ++j) row[j] = mark(random) * (i % 7 == 0 ? 1e37f : 1);
  }
  d.forest = grower.take();
  d.rows = {d.values.data(), count, width, stride};
  walk_as_defined(d);
  return d;
}

std::vector<float> scores_on(Device& device, const ResidentObliqueForest& forest, Rows rows) {
  const tests::RowsOf on_device(device, rows);
  tests::OnDevice<float> scores(device, rows.count);
  auto workspace = device.array<std::byte>(forest.workspace_bytes());
  Stream stream = device.stream();
  isolation(stream, forest, on_device.view(), workspace.span(), scores.span());
  return scores.read(stream);
}

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all = {{1, 0, 0},   {2, 1, 0},    {7, 0, 0},  {8, 0, 0},    {9, 0, 0},
                                         {16, 0, 0},  {17, 2, 0},   {24, 0, 0}, {32, 0, 0},   {33, 0, 0},
                                         {64, 0, 0},  {300, 3, 0},  {5, 0, 1},  {9, 1, 7},    {30, 0, 2},
                                         {30, 3, 16}, {130, 0, 17}, {40, 0, 9}, {140, 2, 25}, {3, 3, 0}};
  return all;
}

std::string text(Shape shape) {
  return std::to_string(shape.width) + " features, " + std::to_string(shape.constants) +
         " of them constant, " + std::to_string(shape.mixed) + " mixed";
}

class ObliqueForestOnEveryTier : public ::testing::TestWithParam<CpuTier> {};
INSTANTIATE_TEST_SUITE_P(Tiers, ObliqueForestOnEveryTier, ::testing::ValuesIn(available_cpu_tiers()),
                         [](const auto& tier) { return std::string(name(tier.param)); });

TEST_P(ObliqueForestOnEveryTier, ScoresAreTheDefinitionWhateverShapeStrideBatchAndThreads) {
  std::mt19937 random(41);
  for (const Shape shape : shapes()) {
    SCOPED_TRACE(text(shape));
    const std::size_t count = shape.width > 64 ? 70 : 300;
    const Drawn d = drawn(shape, 12, count, shape.width + random() % 3, random);
    const std::size_t differing = std::set<float>(d.scores.begin(), d.scores.end()).size();
    ASSERT_GT(differing, shape.constants < shape.width ? 15u : 1u);
    for (const unsigned threads : {1u, 3u}) {
      const auto device = Device::cpu({GetParam(), threads});
      const auto resident = make_resident(*device, d.forest);
      ASSERT_EQ(scores_on(*device, *resident, d.rows), d.scores);
      for (const std::size_t rows : {1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65}) {
        const std::size_t begin = random() % (count - rows + 1);
        const auto first = d.scores.begin() + static_cast<std::ptrdiff_t>(begin);
        ASSERT_EQ(scores_on(*device, *resident, d.rows.slice(begin, begin + rows)),
                  std::vector<float>(first, first + static_cast<std::ptrdiff_t>(rows)))
            << rows << " rows";
      }
    }
  }
}

TEST_P(ObliqueForestOnEveryTier, RowsOfMoreThanOneBlockHaveTheSameScores) {
  std::mt19937 random(42);
  for (const auto& [shape, count] : {std::pair{Shape{3, 0, 0}, 1030},
                                     {Shape{100, 0, 0}, 600},
                                     {Shape{100, 0, 3}, 600},
                                     {Shape{1100, 0, 0}, 70}}) {
    const Drawn d = drawn(shape, 4, static_cast<std::size_t>(count), shape.width, random);
    const auto device = Device::cpu({GetParam(), 1});
    ASSERT_EQ(scores_on(*device, *make_resident(*device, d.forest), d.rows), d.scores) << text(shape);
  }
}

struct Attributed {
  std::vector<float> moved;
  std::vector<double> lengths;
};
Attributed attributed(Device& device, const ObliqueForest& forest, Rows rows) {
  const auto resident = make_resident(device, forest);
  auto workspace = device.array<std::byte>(resident->workspace_bytes());
  Attributed a{std::vector<float>(rows.count * rows.width, 777.0f), std::vector<double>(rows.count)};
  Stream stream = device.stream();
  attribution(stream, *resident, rows, workspace.span(), {a.moved.data(), rows.count, rows.width, rows.width},
              a.lengths);
  return a;
}

TEST_P(ObliqueForestOnEveryTier, WhatFeaturesMoveAddsUpToTheLengthLessTheRoots) {
  std::mt19937 random(43);
  const auto device = Device::cpu({GetParam(), 2});
  for (const Shape shape : shapes()) {
    SCOPED_TRACE(text(shape));
    const Drawn d = drawn(shape, 20, 60, shape.width, random);
    double roots = 0;
    for (std::size_t t = 0; t < d.forest.trees(); ++t) roots += d.forest.length[d.forest.tree_begin[t]];
    const Attributed a = attributed(*device, d.forest, d.rows);
    EXPECT_EQ(a.lengths, d.lengths);
    for (std::size_t i = 0; i < d.rows.count; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < shape.width; ++j) sum += static_cast<double>(a.moved[i * shape.width + j]);
      ASSERT_NEAR(sum, d.lengths[i] - roots, 1e-3) << "row " << i;
    }
  }
}

TEST_P(ObliqueForestOnEveryTier, AFeatureIsGivenItsShareOfWhatACutMoves) {
  // One cut, 2 y0 - y1 + 4 y2 <= 1, of a tree whose root expects 3; left gives 2, right 7. Column 1 is
  // constant.
  ObliqueForest one;
  one.width = 4;
  one.input = {{0, 5, 0, 0}, {1, 1, 1, 1}, limit};
  one.seen = {0, 2, 3};
  one.tree_begin = {0, 3};
  one.left = {1, 0, 0};
  one.length = {3, 2, 7};
  one.mixed = 3;
  one.weight = {2, -1, 4};
  one.centre = {0, 1, 0.5f};
  one.threshold = {1};
  one.unseen = 0.5;
  const auto device = Device::cpu({GetParam(), 1});
  const std::vector<float> rows = {
      3,  5, 2, 0,    // 4: right, which the three move by 6, -1 and -2
      3,  5, 0, 1,    // 10: right, by 6, 1 and 2
      -1, 6, 1, 0,    // -3: left, by -2, 0 and -2; column 1 takes 0.5 off
      0,  5, 1, 0.5f  // 1: left, and nothing moves
  };
  const Attributed a = attributed(*device, one, {rows.data(), 4, 4, 4});
  EXPECT_EQ(a.lengths, (std::vector<double>{7, 7, 1.5, 2}));
  const float third = -1.0f / 3;
  const float ninth = 4.0f / 9;
  const std::vector<float> want = {6 * ninth, 0,     ninth, 2 * ninth, 6 * ninth, 0, ninth, 2 * ninth,
                                   -0.5f,     -0.5f, 0,     -0.5f,     third,     0, third, third};
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(a.moved[i], want[i], 1e-6f) << i;
  // The same of some features, listed.
  ObliqueForest some = one;
  some.seen = {0, 1, 2, 3};
  some.feature = {0, 2, 3};
  some.unseen = 0;
  const Attributed b = attributed(*device, some, {rows.data(), 2, 4, 4});
  for (std::size_t i = 0; i < 8; ++i) EXPECT_NEAR(b.moved[i], want[i], 1e-6f) << i;
}

TEST_P(ObliqueForestOnEveryTier, NoRowsAreNoWork) {
  std::mt19937 random(44);
  const auto device = Device::cpu({GetParam(), 1});
  Grower grower({3, 0, 0}, random);
  grower.append_tree(4);
  const auto resident = make_resident(*device, grower.take());
  Stream stream = device->stream();
  EXPECT_NO_THROW(isolation(stream, *resident, {nullptr, 0, 3, 3}, {}, {}));
}

TEST_P(ObliqueForestOnEveryTier, GrowingPartsRowsBySumsOfTheSameBits) {
  std::mt19937 random(45);
  for (const Shape shape : shapes()) {
    SCOPED_TRACE(text(shape));
    const Drawn d = drawn(shape, 6, 30, shape.width, random);
    const ObliqueForest& f = d.forest;
    for (std::size_t cut = 0; cut < f.cuts(); ++cut)
      for (std::size_t i = 0; i < d.rows.count; ++i) {
        const std::vector<float> y = standardised(f, d.rows.row(i));
        ASSERT_EQ(projection(GetParam())(y.data(), f.feature.empty() ? nullptr : &f.feature[cut * f.mixed],
                                         &f.weight[cut * f.mixed], f.mixed),
                  sum_of(y, f, cut));
      }
  }
}

TEST(ObliqueForest, WhatDoesNotFitIsRefused) {
  std::mt19937 random(46);
  Grower grower({4, 1, 2}, random);
  for (int t = 0; t < 5; ++t) grower.append_tree(6);
  const ObliqueForest forest = grower.take();
  ASSERT_NO_THROW(validate(forest));
  const auto refused = [&](const std::function<void(ObliqueForest&)>& change) {
    ObliqueForest changed = forest;
    change(changed);
    EXPECT_THROW(make_resident(*Device::cpu({CpuTier::scalar, 1}), changed), std::invalid_argument);
    EXPECT_THROW(validate(changed), std::invalid_argument);
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  refused([](ObliqueForest& f) { f = {}; });
  refused([](ObliqueForest& f) { f.width = 0; });
  refused([](ObliqueForest& f) { f.input.shift.clear(), f.input.scale.clear(); });
  refused([](ObliqueForest& f) { f.input.limit = 0x1p65f; });
  refused([](ObliqueForest& f) { f.seen.back() = 4; });
  refused([](ObliqueForest& f) { f.seen[1] = f.seen[0]; });
  refused([](ObliqueForest& f) { f.seen.clear(); });
  refused([](ObliqueForest& f) { f.mixed = 0; });
  refused([](ObliqueForest& f) { f.mixed = 4; });
  refused([](ObliqueForest& f) { f.tree_begin = {}; });
  refused([](ObliqueForest& f) { f.tree_begin[1] = f.tree_begin[2]; });
  refused([](ObliqueForest& f) { f.tree_begin.back() += 1; });
  refused([](ObliqueForest& f) { f.left[0] = 0; });
  refused([](ObliqueForest& f) { f.left[0] = 0xFFFFFFFF; });
  refused([](ObliqueForest& f) { f.left[0] = 2; });
  refused([](ObliqueForest& f) { f.left.pop_back(); });
  refused([](ObliqueForest& f) { f.length[3] = 64.5f; });
  refused([](ObliqueForest& f) { f.length[3] = 0x1p-19f; });
  refused([&](ObliqueForest& f) { f.length[3] = nan; });
  refused([](ObliqueForest& f) { f.length.pop_back(); });
  refused([](ObliqueForest& f) { f.feature[5] = 3; });
  refused([](ObliqueForest& f) { f.feature.clear(); });
  refused([](ObliqueForest& f) { f.feature.pop_back(); });
  refused([](ObliqueForest& f) { f.weight[2] = 65; });
  refused([&](ObliqueForest& f) { f.weight[2] = nan; });
  refused([](ObliqueForest& f) { f.weight.pop_back(); });
  refused([](ObliqueForest& f) { f.centre[2] = 2 * limit; });
  refused([&](ObliqueForest& f) { f.centre[2] = nan; });
  refused([](ObliqueForest& f) { f.centre.pop_back(); });
  refused([](ObliqueForest& f) { f.threshold[1] = INFINITY; });
  refused([](ObliqueForest& f) { f.threshold.pop_back(); });
  refused([](ObliqueForest& f) { f.unseen = -1; });
  refused([](ObliqueForest& f) { f.unseen = 0x1p-19; });
  refused([](ObliqueForest& f) { f.unseen = 0x1p27; });
  refused([](ObliqueForest& f) { f.rate = 0; });
  refused([](ObliqueForest& f) { f.rate = 2; });
}

TEST(ObliqueForest, WeightsHaveABound) {
  // Each tree cuts once, by 2^18 features. 2048 such cuts are 2 GiB.
  ObliqueForest forest;
  forest.width = forest.mixed = std::size_t{1} << 18;
  forest.input = {std::vector<float>(forest.width), std::vector<float>(forest.width, 1), limit};
  for (std::uint32_t j = 0; j < forest.width; ++j) forest.seen.push_back(j);
  forest.tree_begin = {0};
  for (std::uint32_t t = 0; t < 2049; ++t) {
    forest.left.insert(forest.left.end(), {1, 0, 0});
    forest.length.insert(forest.length.end(), {1, 1, 1});
    forest.threshold.push_back(0);
    forest.tree_begin.push_back(3 * (t + 1));
  }
  try {
    validate(forest);
    ADD_FAILURE() << "accepted";
  } catch (const std::invalid_argument& refused) {
    EXPECT_NE(std::string(refused.what()).find("more than 2 GiB"), std::string::npos) << refused.what();
  }
}

TEST(ObliqueForest, RequestsThatDoNotFitAreRefused) {
  std::mt19937 random(47);
  const auto device = Device::cpu({CpuTier::scalar, 1});
  Grower grower({3, 0, 0}, random);
  grower.append_tree(4);
  const auto resident = make_resident(*device, grower.take());
  auto workspace = device->array<std::byte>(resident->workspace_bytes());
  const std::vector<float> values(8, 1.0f);
  std::vector<float> scores(2), parts(6);
  std::vector<double> lengths(2);
  Stream stream = device->stream();
  const auto space = workspace.span();
  EXPECT_THROW(isolation(stream, *resident, {values.data(), 2, 4, 4}, space, scores), std::invalid_argument);
  EXPECT_THROW(isolation(stream, *resident, {values.data(), 2, 3, 3}, space, std::span(scores).first(1)),
               std::invalid_argument);
  EXPECT_THROW(isolation(stream, *resident, {values.data(), 2, 3, 3}, space.first(space.size() - 1), scores),
               std::invalid_argument);
  EXPECT_THROW(
      attribution(stream, *resident, {values.data(), 2, 3, 3}, space, {parts.data(), 1, 3, 3}, lengths),
      std::invalid_argument);
  EXPECT_THROW(attribution(stream, *resident, {values.data(), 2, 3, 3}, space, {parts.data(), 2, 3, 3},
                           std::span(lengths).first(1)),
               std::invalid_argument);
}

TEST(ObliqueForestOnGpus, ScoresAreTheDefinitionWhetherRowsStandInSharedMemoryOrNot) {
  std::mt19937 random(48);
  for (const Shape shape : {Shape{1, 0, 0},
                            {3, 1, 0},
                            {8, 0, 0},
                            {16, 0, 0},
                            {17, 0, 0},
                            {40, 0, 0},
                            {128, 0, 0},
                            {129, 0, 0},
                            {30, 2, 3},
                            {60, 0, 20},
                            {140, 0, 5},
                            {2, 2, 0}}) {
    const Drawn d = drawn(shape, 6, 75, shape.width + random() % 2, random);
    for (const auto& device : tests::gpus()) {
      SCOPED_TRACE(text(shape) + " on " + device->description());
      const auto resident = make_resident(*device, d.forest);
      EXPECT_EQ(scores_on(*device, *resident, d.rows), d.scores);
      EXPECT_EQ(scores_on(*device, *resident, d.rows.slice(3, 4))[0], d.scores[3]);
    }
  }
}

TEST(ObliqueForestOnGpus, ContributionsAreRefused) {
  std::mt19937 random(49);
  Grower grower({2, 0, 0}, random);
  grower.append_tree(2);
  const ObliqueForest forest = grower.take();
  for (const auto& device : tests::gpus()) {
    const auto resident = make_resident(*device, forest);
    Stream stream = device->stream();
    float parts[2];
    double lengths[1];
    EXPECT_THROW(attribution(stream, *resident, {parts, 1, 2, 2}, {}, {parts, 1, 2, 2}, lengths),
                 std::invalid_argument);
  }
}

}  // namespace
}  // namespace lanner::oblique_forest
