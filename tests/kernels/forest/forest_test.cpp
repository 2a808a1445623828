#include "kernels/forest/forest.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/arithmetic/elementary.hpp"
#include "tests/kernels/density/rows_of.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::forest {
namespace {

constexpr float largest = std::numeric_limits<float>::max();
constexpr float least = std::numeric_limits<float>::denorm_min();

struct Shape {
  std::size_t inner;   ///< inner nodes
  std::size_t levels;  ///< of them at most
};

// Where thresholds lie and values fall: on each other, as often as not.
constexpr float marks[] = {0.0f,  -0.0f, least, -least, 1e-40f,  1.0f,
                           -1.0f, 2.5f,  1e30f, -1e30f, largest, -largest};

float mark(std::mt19937& random) {
  const std::size_t drawn = random() % (2 * std::size(marks));
  if (drawn < std::size(marks)) return marks[drawn];
  return static_cast<float>(static_cast<int>(random() % 41) - 20) / 4;
}

float length(std::mt19937& random) {
  switch (random() % 16) {
    case 0:
      return length_max;
    case 1:
      return -length_max;
    case 2:
      return 0x1p-18f;
    default:
      return static_cast<float>(random() % 20 * 65536 + random() % 65536) * 0x1p-17f;
  }
}

void append_tree(Forest& forest, Shape shape, std::mt19937& random) {
  const std::size_t begin = forest.nodes();
  std::vector<std::size_t> level;
  const auto append = [&](std::size_t own_level) {
    forest.left.push_back(0);
    forest.feature.push_back(0);
    forest.threshold.push_back(0);
    forest.length.push_back(length(random));
    level.push_back(own_level);
  };
  append(0);
  std::vector<std::size_t> leaves = {0};
  for (std::size_t i = 0; i < shape.inner && !leaves.empty(); ++i) {
    const std::size_t chosen = random() % leaves.size(), node = leaves[chosen];
    leaves.erase(leaves.begin() + static_cast<std::ptrdiff_t>(chosen));
    forest.left[begin + node] = static_cast<std::uint32_t>(level.size());
    forest.feature[begin + node] = static_cast<std::uint32_t>(random() % forest.width);
    forest.threshold[begin + node] = mark(random);
    for (int child = 0; child < 2; ++child) {
      append(level[node] + 1);
      if (level.back() < shape.levels) leaves.push_back(level.size() - 1);
    }
  }
  forest.tree_begin.push_back(static_cast<std::uint32_t>(forest.nodes()));
}

// Each inner node's left child is a leaf, or its right one.
void append_chain(Forest& forest, std::size_t inner, std::mt19937& random) {
  for (std::size_t i = 0; i < 2 * inner + 1; ++i) {
    forest.left.push_back(0);
    forest.feature.push_back(0);
    forest.threshold.push_back(0);
    forest.length.push_back(length(random));
  }
  const std::size_t begin = forest.nodes() - 2 * inner - 1;
  for (std::size_t i = 0, node = 0; i < inner; ++i, node = 2 * i - random() % 2) {
    forest.left[begin + node] = static_cast<std::uint32_t>(2 * i + 1);
    forest.feature[begin + node] = static_cast<std::uint32_t>(random() % forest.width);
    forest.threshold[begin + node] = mark(random);
  }
  forest.tree_begin.push_back(static_cast<std::uint32_t>(forest.nodes()));
}

Forest of_width(std::size_t width, double rate = 0.002) {
  Forest forest;
  forest.width = width;
  forest.tree_begin = {0};
  forest.rate = rate;
  return forest;
}

void add_constants(Forest& forest, std::size_t count, std::mt19937& random) {
  forest.unseen = 3.25;
  for (std::size_t c = 0; c < std::min(count, forest.width); ++c) {
    forest.constant_feature.push_back(static_cast<std::uint32_t>(forest.width - 1 - c));
    forest.constant_value.push_back(mark(random));
  }
}

// Trees of up to eight levels, lone leaves among them.
Forest shallow(std::size_t width, std::size_t trees, std::mt19937& random) {
  Forest forest = of_width(width);
  for (std::size_t t = 0; t < trees; ++t) append_tree(forest, {random() % 100, 1 + random() % 8}, random);
  add_constants(forest, 3, random);
  return forest;
}

// Deep trees too, some of them too large for a GPU's shared memory.
Forest deep(std::size_t width, std::size_t trees, std::mt19937& random) {
  Forest forest = of_width(width);
  for (std::size_t t = 0; t < trees; ++t) {
    if (t % 3 == 0) append_tree(forest, {random() % 100, 20}, random);
    if (t % 3 == 1) append_chain(forest, random() % 70, random);
    if (t % 3 == 2) append_tree(forest, {t % 2 ? std::size_t{700} : 40, 12}, random);
  }
  return forest;
}

// The definition, in other words than the kernel's: a recursion, and whole numbers.
float score_of(const Forest& forest, const float* row) {
  std::int64_t sum = 0;
  for (std::size_t t = 0; t < forest.trees(); ++t) {
    const std::size_t begin = forest.tree_begin[t];
    const std::function<float(std::size_t)> walk = [&](std::size_t node) -> float {
      const std::size_t left = forest.left[begin + node];
      if (left == 0) return forest.length[begin + node];
      return row[forest.feature[begin + node]] <= forest.threshold[begin + node] ? walk(left)
                                                                                 : walk(left + 1);
    };
    sum += std::llround(static_cast<double>(walk(0)) * ticks);
  }
  for (std::size_t c = 0; c < forest.constants(); ++c)
    if (row[forest.constant_feature[c]] != forest.constant_value[c])
      sum -= std::llround(forest.unseen * ticks);
  return static_cast<float>(
      lanner::exp(-(forest.rate * (static_cast<double>(std::max<std::int64_t>(sum, 0)) / ticks))));
}

struct Drawn {
  std::vector<float> values;
  Rows rows;
  std::vector<float> scores;  ///< by the definition
};

Drawn drawn(const Forest& forest, std::size_t count, std::size_t stride, std::mt19937& random) {
  Drawn d;
  // Exactly as long as the rows are: reading beyond the last row's width would be seen by a sanitizer.
  d.values.assign((count - 1) * stride + forest.width, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = 0; j < forest.width; ++j) {
      const float x = mark(random);
      const float beside[] = {x, x, std::nextafter(x, largest), std::nextafter(x, -largest)};
      d.values[i * stride + j] = beside[random() % 4];
    }
  for (std::size_t c = 0; c < forest.constants(); ++c)
    for (std::size_t i = 0; i < count; ++i)
      if (random() % 3) d.values[i * stride + forest.constant_feature[c]] = forest.constant_value[c];
  d.rows = {d.values.data(), count, forest.width, stride};
  for (std::size_t i = 0; i < count; ++i) d.scores.push_back(score_of(forest, d.rows.row(i)));
  return d;
}

std::vector<float> scores_on(Device& device, const ResidentForest& forest, Rows rows) {
  const tests::RowsOf on_device(device, rows);
  tests::OnDevice<float> scores(device, rows.count);
  auto workspace = device.array<std::byte>(forest.workspace_bytes());
  Stream stream = device.stream();
  isolation(stream, forest, on_device.view(), workspace.span(), scores.span());
  return scores.read(stream);
}

std::vector<float> scores_on(Device& device, const Forest& forest, Rows rows) {
  return scores_on(device, *make_resident(device, forest), rows);
}

class ForestOnEveryTier : public ::testing::TestWithParam<CpuTier> {};
INSTANTIATE_TEST_SUITE_P(Tiers, ForestOnEveryTier, ::testing::ValuesIn(available_cpu_tiers()),
                         [](const auto& tier) { return std::string(name(tier.param)); });

TEST_P(ForestOnEveryTier, ScoresAreTheDefinitionWhateverWidthStrideBatchAndThreads) {
  std::mt19937 random(21);
  for (const std::size_t width : {1, 2, 7, 8, 9, 31, 64, 1555})
    for (const Forest& forest : {shallow(width, 1 + random() % 150, random), deep(width, 30, random)}) {
      const std::size_t count = width > 100 ? 300 : 1200;
      const Drawn d = drawn(forest, count, width + random() % 3, random);
      for (const unsigned threads : {1u, 3u}) {
        const auto device = Device::cpu({GetParam(), threads});
        const auto resident = make_resident(*device, forest);
        ASSERT_EQ(scores_on(*device, *resident, d.rows), d.scores) << width << " features";
        for (const std::size_t rows :
             {1, 5, 6, 7, 31, 32, 33, 63, 64, 65, 66, 127, 128, 129, 133, 134, 255, 256, 257, 300}) {
          const std::size_t begin = random() % (count - rows + 1);
          const auto first = d.scores.begin() + static_cast<std::ptrdiff_t>(begin);
          ASSERT_EQ(scores_on(*device, *resident, d.rows.slice(begin, begin + rows)),
                    std::vector<float>(first, first + static_cast<std::ptrdiff_t>(rows)))
              << width << " features, " << rows << " rows";
        }
      }
    }
}

TEST_P(ForestOnEveryTier, AnyDepthWillDo) {
  std::mt19937 random(22);
  const auto device = Device::cpu({GetParam(), 1});
  for (std::size_t levels = 0; levels <= 12; ++levels) {
    Forest forest = of_width(3);
    for (int t = 0; t < 5; ++t)
      append_tree(forest, {std::size_t{1} << std::min<std::size_t>(levels, 9), levels}, random);
    if (levels == 8)  // as many nodes as eight levels hold
      append_tree(forest, {255, 8}, random);
    const Drawn d = drawn(forest, 300, 3, random);
    ASSERT_EQ(scores_on(*device, forest, d.rows), d.scores) << levels;
  }
  Forest chain = of_width(2);
  append_chain(chain, 3000, random);
  const Drawn d = drawn(chain, 100, 2, random);
  EXPECT_EQ(scores_on(*device, chain, d.rows), d.scores);
}

// Sums of 32 bits hold those of 64 trees.
TEST_P(ForestOnEveryTier, TheLongestLengthsOfManyTreesAdd) {
  const auto device = Device::cpu({GetParam(), 1});
  for (const std::size_t trees : {63, 64, 65, 1000})
    for (const float sign : {1.0f, -1.0f}) {
      Forest forest = of_width(1, 1e-5);
      for (std::size_t t = 0; t < trees; ++t) {
        forest.left.push_back(0);
        forest.feature.push_back(0);
        forest.threshold.push_back(0);
        forest.length.push_back(sign * length_max);
        forest.tree_begin.push_back(static_cast<std::uint32_t>(forest.nodes()));
      }
      const std::vector<float> row(20, 1.0f);
      EXPECT_EQ(scores_on(*device, forest, {row.data(), 20, 1, 1}),
                std::vector<float>(20, score_of(forest, row.data())));
    }
}

TEST_P(ForestOnEveryTier, NoRowsAreNoWork) {
  std::mt19937 random(23);
  const auto device = Device::cpu({GetParam(), 2});
  EXPECT_TRUE(scores_on(*device, shallow(2, 3, random), {nullptr, 0, 2, 2}).empty());
}

void expect_on_gpus(const Forest& forest, std::size_t count, std::size_t stride, std::mt19937& random) {
  const Drawn d = drawn(forest, count, stride, random);
  for (const auto& device : tests::gpus())
    ASSERT_EQ(scores_on(*device, forest, d.rows), d.scores)
        << forest.width << " features, " << count << " rows on " << device->description();
}

TEST(ForestOnGpus, ScoresAreTheDefinitionWhateverWidthStrideAndBatch) {
  std::mt19937 random(24);
  for (const std::size_t width : {1, 7, 8, 9, 31, 32, 33, 1555})
    for (const std::size_t count : {1, 2, 127, 128, 129}) {
      if (width > 100 && count > 2 && count != 129) continue;
      expect_on_gpus(shallow(width, 1 + random() % 40, random), count, width + random() % 3, random);
    }
}

// Groups of trees that take turns in shared memory, and trees that don't fit there, in every order.
TEST(ForestOnGpus, TreesOfAnySizeServe) {
  std::mt19937 random(25);
  const Shape small{30, 8}, half{500, 14}, most{671, 12}, over{672, 12}, huge{1500, 16};
  for (const auto& shapes : std::vector<std::vector<Shape>>{{half, half, half},
                                                            {most, small, most, small},
                                                            {over},
                                                            {huge, huge, small},
                                                            {small, huge, over, half, small, huge}}) {
    Forest forest = of_width(5);
    for (const Shape shape : shapes) append_tree(forest, shape, random);
    add_constants(forest, 2, random);
    expect_on_gpus(forest, 140, 5, random);
  }
  expect_on_gpus(deep(6, 40, random), 140, 7, random);
}

// More tiles than blocks of threads.
TEST(ForestOnGpus, ABlockServesSeveralTiles) {
  std::mt19937 random(26);
  expect_on_gpus(shallow(4, 30, random), 4'300, 4, random);
  expect_on_gpus(shallow(40, 6, random), 4'300, 40, random);
}

TEST(ForestOnGpus, NoRowsAreNoWork) {
  std::mt19937 random(27);
  const Forest forest = shallow(3, 4, random);
  for (const auto& device : tests::gpus())
    EXPECT_TRUE(scores_on(*device, forest, {nullptr, 0, 3, 3}).empty());
}

TEST(Forest, AScoreIsTwoToMinusTheMeanLengthOverThatExpected) {
  Forest forest = of_width(1);
  for (const float leaf : {3.0f, 5.0f}) {
    const std::size_t begin = forest.nodes();
    for (int i = 0; i < 3; ++i) {
      forest.left.push_back(0);
      forest.feature.push_back(0);
      forest.threshold.push_back(0);
      forest.length.push_back(i == 1 ? 1.0f : leaf);
    }
    forest.left[begin] = 1;
    forest.threshold[begin] = 2;
    forest.tree_begin.push_back(static_cast<std::uint32_t>(forest.nodes()));
  }
  forest.rate = std::log(2.0) / (2 * 4);
  forest.constant_feature = {0};
  forest.constant_value = {2};
  forest.unseen = 1;
  const std::vector<float> rows{2, std::nextafter(2.0f, 3.0f)};
  const auto device = Device::cpu({CpuTier::scalar, 1});
  const auto scores = scores_on(*device, forest, {rows.data(), 2, 1, 1});
  EXPECT_FLOAT_EQ(scores[0], static_cast<float>(std::exp2(-1.0 / 4)));
  EXPECT_FLOAT_EQ(scores[1], static_cast<float>(std::exp2(-(8.0 - 1) / 2 / 4)));
}

TEST(Forest, RefusesWhatDoesNotFit) {
  std::mt19937 random(28);
  const auto device = Device::cpu({available_cpu_tiers().back(), 1});
  const auto resident = make_resident(*device, shallow(2, 3, random));
  std::vector<float> values(6), scores(3);
  std::vector<std::byte> workspace(resident->workspace_bytes());
  Stream stream = device->stream();
  const Rows rows{values.data(), 3, 2, 2};
  EXPECT_NO_THROW(isolation(stream, *resident, rows, workspace, scores));
  EXPECT_THROW(isolation(stream, *resident, {values.data(), 6, 1, 1}, workspace, scores),
               std::invalid_argument);
  EXPECT_THROW(isolation(stream, *resident, rows, workspace, std::span(scores).first(2)),
               std::invalid_argument);
  EXPECT_THROW(isolation(stream, *resident, rows, std::span(workspace).first(workspace.size() - 1), scores),
               std::invalid_argument);
}

TEST(Forest, RefusesWhatIsNoForest) {
  const auto device = Device::cpu({CpuTier::scalar, 1});
  Forest good = of_width(2);
  good.tree_begin = {0, 5, 6};
  good.left = {1, 0, 3, 0, 0, 0};
  good.feature = {0, 0, 1, 0, 0, 0};
  good.threshold = {1, 0, 2, 0, 0, 0};
  good.length = {2, 1, 2.5f, 2, 3, 1};
  good.constant_feature = {1};
  good.constant_value = {7};
  good.unseen = 0.5;
  EXPECT_EQ(make_resident(*device, good)->width(), 2u);
  const auto refused = [&](const auto& change) {
    Forest bad = good;
    change(bad);
    EXPECT_THROW(make_resident(*device, bad), std::invalid_argument);
  };
  refused([](Forest& f) { f = {}; });
  refused([](Forest& f) { f.width = 0; });
  refused([](Forest& f) { f.width = std::size_t{1} << 31; });
  refused([](Forest& f) { f.tree_begin = {}; });
  refused([](Forest& f) { f.tree_begin = {0}; });
  refused([](Forest& f) { f.tree_begin = {0, 6}; });  // a node without a parent
  refused([](Forest& f) { f.tree_begin = {0, 5, 5, 6}; });
  refused([](Forest& f) { f.tree_begin = {0, 5, 7}; });
  refused([](Forest& f) { f.tree_begin = {1, 5, 6}; });
  refused([](Forest& f) { f.tree_begin = {0, 6, 5, 6}; });
  refused([](Forest& f) { f.left.pop_back(); });
  refused([](Forest& f) { f.feature.pop_back(); });
  refused([](Forest& f) { f.threshold.push_back(0); });
  refused([](Forest& f) { f.length.pop_back(); });
  refused([](Forest& f) { f.left[2] = 2; });  // itself
  refused([](Forest& f) { f.left[2] = 1; });  // upwards
  refused([](Forest& f) { f.left[2] = 4; });  // the right child is another tree's
  refused([](Forest& f) { f.left[2] = 0xFFFFFFFF; });
  refused([](Forest& f) { f.left = {1, 2, 3, 0, 0, 0}; });  // two parents
  refused([](Forest& f) { f.left[5] = 1; });
  refused([](Forest& f) { f.feature[2] = 2; });
  refused([](Forest& f) { f.feature[1] = 1; });  // a leaf has none
  refused([](Forest& f) { f.threshold[0] = INFINITY; });
  refused([](Forest& f) { f.threshold[0] = NAN; });
  refused([](Forest& f) { f.length[1] = 64.5f; });
  refused([](Forest& f) { f.length[1] = NAN; });
  refused([](Forest& f) { f.length[1] = 0x1p-19f; });
  refused([](Forest& f) { f.constant_feature = {2}; });
  refused([](Forest& f) { f.constant_value = {INFINITY}; });
  refused([](Forest& f) { f.constant_value = {1, 2}; });
  refused([](Forest& f) { f.constant_feature = {1, 1, 1}, f.constant_value = {1, 1, 1}; });
  refused([](Forest& f) { f.unseen = -1; });
  refused([](Forest& f) { f.unseen = 0x1p-19; });
  refused([](Forest& f) { f.unseen = 0x1p27; });
  refused([](Forest& f) { f.unseen = NAN; });
  refused([](Forest& f) { f.rate = 0; });
  refused([](Forest& f) { f.rate = 2; });
  refused([](Forest& f) { f.rate = NAN; });
}

}  // namespace
}  // namespace lanner::forest
