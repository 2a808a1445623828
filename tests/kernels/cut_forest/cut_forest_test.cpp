#include "kernels/cut_forest/cut_forest.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/kernels/density/rows_of.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::cut_forest {
namespace {

constexpr float limit = 30;

// Coarse, so that values meet bounds and thresholds, or with so many digits that sums depend on their order;
// some tiny, or as far as can be. What standardisation does to them here is exact.
float mark(std::mt19937& random) {
  constexpr float special[] = {0.0f, -0.0f, 1e-40f, -1e-40f, limit, -limit};
  if (random() % 16 == 0) return special[random() % std::size(special)];
  if (random() % 2 == 0)
    return std::ldexp(static_cast<float>(static_cast<int>(random() % (1 << 23)) - (1 << 22)), -20);
  return static_cast<float>(static_cast<int>(random() % 33) - 16) / 4;
}

float share(std::mt19937& random) {
  constexpr float special[] = {0.0f, 1.0f};
  return random() % 8 == 0 ? special[random() % 2] : static_cast<float>(random() % 4096) / 4096;
}

class Grower {
 public:
  Grower(std::size_t width, std::size_t points, std::mt19937& random) : random_(random) {
    forest_.width = width;
    forest_.node_begin = {0};
    forest_.input.limit = limit;
    for (std::size_t j = 0; j < width; ++j) {
      forest_.input.shift.push_back(static_cast<float>(random() % 9) / 8);
      forest_.input.scale.push_back(std::ldexp(1.0f, static_cast<int>(random() % 3) - 1));
    }
    for (std::size_t i = 0; i < points * width; ++i) forest_.points.push_back(mark(random));
    forest_.scale = 0.75;
  }

  // Of up to that many of the points, drawn with replacement; `aside`: each cut takes one point off.
  void append_tree(std::size_t samples, bool aside = false) {
    std::vector<std::size_t> own;
    for (std::size_t i = 0; i < samples; ++i)
      own.push_back(random_() % (forest_.points.size() / forest_.width));
    nodes_ = {};
    leaves_ = 0;
    grow(own, aside);
    const auto inner = static_cast<std::uint32_t>(nodes_.size());
    for (const Node& node : nodes_) {
      forest_.feature.push_back(node.feature);
      forest_.threshold.push_back(node.threshold);
      for (const std::int64_t child : node.child)
        forest_.child.push_back(static_cast<std::uint32_t>(child < 0 ? inner - 1 - child : child));
      forest_.value.push_back(share(random_));
    }
    for (std::size_t i = 0; i < leaves_; ++i) {
      forest_.leaf_apart.push_back(share(random_));
      forest_.leaf_same.push_back(share(random_));
    }
    forest_.node_begin.push_back(static_cast<std::uint32_t>(forest_.nodes()));
  }
  CutForest take() { return std::move(forest_); }

 private:
  struct Node {
    std::uint32_t feature;
    float threshold;
    std::int64_t child[2];  ///< -1, -2, ...: leaves
  };
  float value(std::size_t point, std::size_t feature) const {
    return forest_.points[point * forest_.width + feature];
  }
  std::int64_t grow(const std::vector<std::size_t>& own, bool aside) {
    std::vector<std::uint32_t> varying;
    for (std::uint32_t j = 0; j < forest_.width; ++j)
      if (std::any_of(own.begin(), own.end(), [&](auto p) { return value(p, j) != value(own[0], j); }))
        varying.push_back(j);
    if (varying.empty()) {
      forest_.leaf_point.push_back(static_cast<std::uint32_t>(own[0]));
      return -static_cast<std::int64_t>(++leaves_);
    }
    const std::uint32_t feature = varying[random_() % varying.size()];
    std::vector<float> values;
    for (const std::size_t p : own) values.push_back(value(p, feature));
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    const float threshold = values[aside ? values.size() - 2 : random_() % (values.size() - 1)];
    std::vector<std::size_t> sides[2];
    for (const std::size_t p : own) sides[value(p, feature) > threshold].push_back(p);
    const std::size_t node = nodes_.size();
    nodes_.push_back({feature, threshold, {}});
    for (const int side : {0, 1}) {
      const std::int64_t child = grow(sides[side], aside);
      nodes_[node].child[side] = child;
    }
    return static_cast<std::int64_t>(node);
  }

  std::mt19937& random_;
  CutForest forest_;
  std::vector<Node> nodes_;
  std::size_t leaves_ = 0;
};

CutForest forest_of(std::size_t width, std::size_t trees, std::mt19937& random) {
  Grower grower(width, 60, random);
  for (std::size_t t = 0; t < trees; ++t) grower.append_tree(t % 5 == 0 ? 1 : 1 + random() % 80, t % 3 == 1);
  return grower.take();
}

// The definition, in other words than the kernel's: boxes from the points below a node, chains in a table.
class Definition {
 public:
  explicit Definition(const CutForest& forest) : forest_(forest) {
    for (std::size_t t = 0; t < forest.trees(); ++t) below_.push_back(points_below(t));
  }

  float score(const float* row) const {
    std::vector<float> y(forest_.width);
    for (std::size_t j = 0; j < y.size(); ++j)
      y[j] = std::clamp((row[j] - forest_.input.shift[j]) * forest_.input.scale[j], -limit, limit);
    std::int64_t total = 0;
    for (std::size_t t = 0; t < forest_.trees(); ++t) total += of_tree(t, y);
    const double trees = static_cast<double>(forest_.trees());
    return static_cast<float>(static_cast<double>(total) * (forest_.scale / (trees * 0x1p24)));
  }

 private:
  std::size_t inner(std::size_t t) const { return forest_.node_begin[t + 1] - forest_.node_begin[t]; }
  const float* point(std::size_t p) const { return &forest_.points[p * forest_.width]; }

  std::vector<std::vector<std::size_t>> points_below(std::size_t t) const {
    const std::size_t begin = forest_.node_begin[t], count = inner(t);
    std::vector<std::vector<std::size_t>> below(2 * count + 1);
    for (std::size_t leaf = 0; leaf <= count; ++leaf)
      below[count + leaf] = {forest_.leaf_point[begin + t + leaf]};
    for (std::size_t i = count; i-- > 0;)
      for (const int side : {0, 1}) {
        const auto& from = below[forest_.child[2 * (begin + i) + side]];
        below[i].insert(below[i].end(), from.begin(), from.end());
      }
    return below;
  }

  std::int64_t of_tree(std::size_t t, const std::vector<float>& y) const {
    const std::size_t begin = forest_.node_begin[t], count = inner(t);
    float rest = 1, sum = 0;
    std::size_t at = 0;
    while (at < count) {
      float chain[16] = {};
      double range = 0;
      for (std::size_t j = 0; j < y.size(); ++j) {
        float low = std::numeric_limits<float>::infinity(), high = -low;
        for (const std::size_t p : below_[t][at])
          low = std::min(low, point(p)[j]), high = std::max(high, point(p)[j]);
        range += static_cast<double>(high) - static_cast<double>(low);
        if (y[j] < low) chain[j % 16] += low - y[j];
        if (y[j] > high) chain[j % 16] += y[j] - high;
      }
      for (const std::size_t half : {8, 4, 2, 1})
        for (std::size_t c = 0; c < half; ++c) chain[c] += chain[c + half];
      const float p = chain[0] / (static_cast<float>(range) + chain[0]), w = rest * p;
      sum = std::fma(w, forest_.value[begin + at], sum);
      rest -= w;
      at = forest_.child[2 * (begin + at) + (y[forest_.feature[begin + at]] > forest_.threshold[begin + at])];
    }
    const std::size_t leaf = begin + t + at - count;
    const bool same = std::equal(y.begin(), y.end(), point(forest_.leaf_point[leaf]));
    sum = std::fma(rest, same ? forest_.leaf_same[leaf] : forest_.leaf_apart[leaf], sum);
    return std::llrint(sum * 0x1p24f);
  }

  const CutForest& forest_;
  std::vector<std::vector<std::vector<std::size_t>>> below_;
};

struct Drawn {
  std::vector<float> values;
  Rows rows;
  std::vector<float> scores;  ///< by the definition
};

// Points as they were before they were standardised, near ones, and far ones.
Drawn drawn(const CutForest& forest, std::size_t count, std::size_t stride, std::mt19937& random) {
  Drawn d;
  const std::size_t width = forest.width, points = forest.points.size() / width;
  // Exactly as long as the rows are: reading beyond the last row's width would be seen by a sanitizer.
  d.values.assign((count - 1) * stride + width, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t p = random() % points, changed = random() % 3;
    for (std::size_t j = 0; j < width; ++j)
      d.values[i * stride + j] = forest.points[p * width + j] / forest.input.scale[j] + forest.input.shift[j];
    if (changed == 1) d.values[i * stride + random() % width] = mark(random);
    if (changed == 2)
      for (std::size_t j = 0; j < width; ++j)
        d.values[i * stride + j] = mark(random) * (i % 7 == 0 ? 1e37f : 1);
  }
  d.rows = {d.values.data(), count, width, stride};
  const Definition definition(forest);
  for (std::size_t i = 0; i < count; ++i) d.scores.push_back(definition.score(d.rows.row(i)));
  return d;
}

std::vector<float> scores_on(Device& device, const ResidentCutForest& forest, Rows rows) {
  const tests::RowsOf on_device(device, rows);
  tests::OnDevice<float> scores(device, rows.count);
  auto workspace = device.array<std::byte>(forest.workspace_bytes());
  Stream stream = device.stream();
  separation(stream, forest, on_device.view(), workspace.span(), scores.span());
  return scores.read(stream);
}

class CutForestOnEveryTier : public ::testing::TestWithParam<CpuTier> {};
INSTANTIATE_TEST_SUITE_P(Tiers, CutForestOnEveryTier, ::testing::ValuesIn(available_cpu_tiers()),
                         [](const auto& tier) { return std::string(name(tier.param)); });

TEST_P(CutForestOnEveryTier, ScoresAreTheDefinitionWhateverWidthStrideBatchAndThreads) {
  std::mt19937 random(31);
  for (const std::size_t width : {1, 2, 7, 8, 9, 15, 16, 17, 33, 64, 300}) {
    const CutForest forest = forest_of(width, 12, random);
    const std::size_t count = width > 64 ? 70 : 300;
    const Drawn d = drawn(forest, count, width + random() % 3, random);
    ASSERT_GT(std::set<float>(d.scores.begin(), d.scores.end()).size(), 15u);
    for (const unsigned threads : {1u, 3u}) {
      const auto device = Device::cpu({GetParam(), threads});
      const auto resident = make_resident(*device, forest);
      ASSERT_EQ(scores_on(*device, *resident, d.rows), d.scores) << width << " features";
      for (const std::size_t rows : {1, 2, 7, 8, 9, 63, 64, 65}) {
        const std::size_t begin = random() % (count - rows + 1);
        const auto first = d.scores.begin() + static_cast<std::ptrdiff_t>(begin);
        ASSERT_EQ(scores_on(*device, *resident, d.rows.slice(begin, begin + rows)),
                  std::vector<float>(first, first + static_cast<std::ptrdiff_t>(rows)))
            << width << " features, " << rows << " rows";
      }
    }
  }
}

TEST_P(CutForestOnEveryTier, RowsOfMoreThanOneBlockHaveTheSameScores) {
  std::mt19937 random(38);
  struct Shape {
    std::size_t width, rows;
  };
  for (const auto [width, count] : {Shape{3, 1030}, Shape{100, 600}, Shape{1100, 70}}) {
    Grower grower(width, 20, random);
    for (int t = 0; t < 3; ++t) grower.append_tree(12);
    const CutForest forest = grower.take();
    const Drawn d = drawn(forest, count, width, random);
    const auto device = Device::cpu({GetParam(), 1});
    ASSERT_EQ(scores_on(*device, *make_resident(*device, forest), d.rows), d.scores) << width << " features";
  }
}

TEST_P(CutForestOnEveryTier, PartsAddUpToTheScoreAndFallToWhatLiesOutside) {
  std::mt19937 random(32);
  const auto device = Device::cpu({GetParam(), 2});
  for (const std::size_t width : {1, 5, 40}) {
    const CutForest forest = forest_of(width, 20, random);
    const Drawn d = drawn(forest, 100, width, random);
    const auto resident = make_resident(*device, forest);
    auto workspace = device->array<std::byte>(resident->workspace_bytes());
    std::vector<float> parts(100 * width);
    Stream stream = device->stream();
    for (const float base : {0.0f, 0.3f}) {
      attribution(stream, *resident, d.rows, workspace.span(), base, {parts.data(), 100, width, width});
      for (std::size_t i = 0; i < 100; ++i) {
        double sum = base, sizes = base;
        for (std::size_t j = 0; j < width; ++j) {
          sum += parts[i * width + j];
          sizes += std::fabs(parts[i * width + j]);
        }
        ASSERT_NEAR(sum, d.scores[i], 1e-6 * sizes) << i;
      }
    }
  }
  // One cut between (0, 0) and (1, 0). At (3, 1), E = 2 + 1 of 1 + 3: the root gives 3/4 of its value, 0.8,
  // by 2 to 1; the leaf the rest of 0.4, by as much.
  CutForest one;
  one.width = 2;
  one.input = {{0, 0}, {1, 1}, limit};
  one.node_begin = {0, 1};
  one.feature = {0};
  one.threshold = {0.5f};
  one.child = {1, 2};
  one.value = {0.8f};
  one.leaf_point = {0, 1};
  one.leaf_apart = {0.4f, 0.4f};
  one.leaf_same = {0, 0};
  one.points = {0, 0, 1, 0};
  const auto resident = make_resident(*device, one);
  auto workspace = device->array<std::byte>(resident->workspace_bytes());
  const std::vector<float> row = {3, 1};
  std::vector<float> parts(2);
  Stream stream = device->stream();
  attribution(stream, *resident, {row.data(), 1, 2, 2}, workspace.span(), 0, {parts.data(), 1, 2, 2});
  EXPECT_NEAR(parts[0], 0.7f * 2 / 3, 1e-6f);
  EXPECT_NEAR(parts[1], 0.7f / 3, 1e-6f);
  attribution(stream, *resident, {row.data(), 1, 2, 2}, workspace.span(), 0.4f, {parts.data(), 1, 2, 2});
  EXPECT_NEAR(parts[0], 0.3f * 2 / 3, 1e-6f);
  EXPECT_NEAR(parts[1], 0.3f / 3, 1e-6f);
  // At (1.5, 1): 1.5 of 2.5 at the root, whose value is 0.4 above the base; the leaves' is the base.
  const std::vector<float> other = {1.5f, 1};
  attribution(stream, *resident, {other.data(), 1, 2, 2}, workspace.span(), 0.4f, {parts.data(), 1, 2, 2});
  EXPECT_NEAR(parts[0], 0.6f * 0.4f * 0.5f / 1.5f, 1e-6f);
  EXPECT_NEAR(parts[1], 0.6f * 0.4f * 1 / 1.5f, 1e-6f);
}

TEST_P(CutForestOnEveryTier, NoRowsAreNoWork) {
  std::mt19937 random(33);
  const auto device = Device::cpu({GetParam(), 1});
  const auto resident = make_resident(*device, forest_of(3, 4, random));
  Stream stream = device->stream();
  EXPECT_NO_THROW(separation(stream, *resident, {nullptr, 0, 3, 3}, {}, {}));
}

TEST(CutForest, WhatDoesNotFitIsRefused) {
  std::mt19937 random(34);
  Grower grower(3, 40, random);
  for (int t = 0; t < 5; ++t) grower.append_tree(30);
  const CutForest forest = grower.take();
  ASSERT_NO_THROW(validate(forest));
  const auto refused = [&](const std::function<void(CutForest&)>& change) {
    CutForest changed = forest;
    change(changed);
    EXPECT_THROW(make_resident(*Device::cpu({CpuTier::scalar, 1}), changed), std::invalid_argument);
    EXPECT_THROW(validate(changed), std::invalid_argument);
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  refused([](CutForest& f) { f.width = 0; });
  refused([](CutForest& f) { f.input.shift.clear(), f.input.scale.clear(); });
  refused([](CutForest& f) { f.input.limit = 0x1p65f; });
  refused([](CutForest& f) { f.node_begin = {}; });
  refused([](CutForest& f) { f.node_begin[1] = f.node_begin[2] + 1; });
  refused([](CutForest& f) { f.node_begin.back() += 1; });
  refused([](CutForest& f) { f.feature[2] = 3; });
  refused([&](CutForest& f) { f.threshold[2] = nan; });
  refused([](CutForest& f) { f.threshold[0] = 100; });
  refused([](CutForest& f) { f.threshold[0] = -100; });
  refused([](CutForest& f) { f.child[0] = 0; });
  refused([](CutForest& f) { f.child[0] = f.child[1]; });
  refused([](CutForest& f) { f.child[1] = 1000; });
  refused([](CutForest& f) { f.child.pop_back(); });
  refused([](CutForest& f) { f.value[1] = 1.5f; });
  refused([&](CutForest& f) { f.leaf_same[1] = nan; });
  refused([](CutForest& f) { f.leaf_apart[1] = -0.1f; });
  refused([](CutForest& f) { f.leaf_point[0] = 40; });
  refused([](CutForest& f) { f.leaf_point.pop_back(); });
  refused([&](CutForest& f) { f.points[4] = nan; });
  refused([](CutForest& f) { f.points[4] = 2 * limit; });
  refused([](CutForest& f) { f.points.pop_back(); });
  refused([](CutForest& f) { f.scale = 0; });
}

TEST(CutForest, BoxesHaveABound) {
  // Two points of 2^18 features; each tree cuts once between them. 1024 such boxes are 2 GiB.
  CutForest forest;
  forest.width = std::size_t{1} << 18;
  forest.input = {std::vector<float>(forest.width), std::vector<float>(forest.width, 1), limit};
  forest.points.resize(2 * forest.width);
  forest.points[forest.width] = 1;
  forest.node_begin = {0};
  for (std::uint32_t t = 0; t < 1025; ++t) {
    forest.node_begin.push_back(t + 1);
    forest.feature.push_back(0);
    forest.threshold.push_back(0.5f);
    forest.child.insert(forest.child.end(), {1, 2});
    forest.value.push_back(1);
    forest.leaf_point.insert(forest.leaf_point.end(), {0, 1});
    forest.leaf_apart.insert(forest.leaf_apart.end(), {1, 1});
    forest.leaf_same.insert(forest.leaf_same.end(), {0, 0});
  }
  try {
    make_resident(*Device::cpu({CpuTier::scalar, 1}), forest);
    ADD_FAILURE() << "accepted";
  } catch (const std::invalid_argument& refused) {
    EXPECT_NE(std::string(refused.what()).find("more than 2 GiB"), std::string::npos) << refused.what();
  }
}

TEST(CutForest, RequestsThatDoNotFitAreRefused) {
  std::mt19937 random(35);
  const auto device = Device::cpu({CpuTier::scalar, 1});
  const auto resident = make_resident(*device, forest_of(3, 4, random));
  auto workspace = device->array<std::byte>(resident->workspace_bytes());
  const std::vector<float> values(8, 1.0f);
  std::vector<float> scores(2), parts(6);
  Stream stream = device->stream();
  const auto space = workspace.span();
  EXPECT_THROW(separation(stream, *resident, {values.data(), 2, 4, 4}, space, scores), std::invalid_argument);
  EXPECT_THROW(separation(stream, *resident, {values.data(), 2, 3, 3}, space, std::span(scores).first(1)),
               std::invalid_argument);
  EXPECT_THROW(separation(stream, *resident, {values.data(), 2, 3, 3}, space.first(space.size() - 1), scores),
               std::invalid_argument);
  EXPECT_THROW(attribution(stream, *resident, {values.data(), 2, 3, 3}, space, 0, {parts.data(), 1, 3, 3}),
               std::invalid_argument);
}

void same_bits_on_gpus(std::size_t width, std::size_t trees, std::size_t count, std::mt19937& random) {
  const CutForest forest = forest_of(width, trees, random);
  const Drawn d = drawn(forest, count, width + random() % 2, random);
  for (const auto& device : tests::gpus()) {
    SCOPED_TRACE(device->description());
    const auto resident = make_resident(*device, forest);
    EXPECT_EQ(scores_on(*device, *resident, d.rows), d.scores) << width << " features";
    EXPECT_EQ(scores_on(*device, *resident, d.rows.slice(3, 4))[0], d.scores[3]);
  }
}

TEST(CutForestOnGpus, ScoresAreTheDefinitionWhetherRowsStandInSharedMemoryOrNot) {
  std::mt19937 random(36);
  for (const std::size_t width : {1, 3, 8, 16, 17, 40, 128, 129, 150})
    same_bits_on_gpus(width, 6, 75, random);
}

TEST(CutForestOnGpus, ContributionsAreRefused) {
  std::mt19937 random(37);
  for (const auto& device : tests::gpus()) {
    const auto resident = make_resident(*device, forest_of(2, 3, random));
    Stream stream = device->stream();
    float parts[2];
    EXPECT_THROW(attribution(stream, *resident, {parts, 1, 2, 2}, {}, 0, {parts, 1, 2, 2}),
                 std::invalid_argument);
  }
}

}  // namespace
}  // namespace lanner::cut_forest
