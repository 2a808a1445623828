#include "engine/detectors/half_space_trees/half_space_trees.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/engine/detectors/scoring.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the tests' own folder

// What was saved, walked by nothing of the engine's.
struct Saved {
  std::vector<std::uint32_t> tree_begin, left, feature;
  std::vector<float> threshold, length;

  explicit Saved(const Fitted& fitted) {
    TensorWriter writer;
    fitted.save(writer);
    const std::vector<std::byte> bytes = writer.bytes();
    const TensorReader reader(bytes);
    tree_begin = reader.unsigned_integers("tree_begin");
    left = reader.unsigned_integers("left");
    feature = reader.unsigned_integers("feature");
    threshold = reader.floats("threshold");
    length = reader.floats("length");
  }
  std::size_t trees() const { return tree_begin.size() - 1; }
  /// Calls `visit` with every node on the row's way, and its level.
  template <class Visit>
  void walk(std::size_t tree, const float* row, Visit visit) const {
    std::size_t node = tree_begin[tree], level = 0;
    visit(node, level);
    while (left[node] != 0) {
      node = tree_begin[tree] + left[node] + (row[feature[node]] > threshold[node] ? 1 : 0);
      visit(node, ++level);
    }
  }
  /// How many of the rows come by each node.
  std::vector<std::size_t> counts(const Table& rows) const {
    std::vector<std::size_t> counts(left.size());
    for (std::size_t t = 0; t < trees(); ++t)
      for (std::size_t i = 0; i < rows.count(); ++i)
        walk(t, rows.rows().row(i), [&](std::size_t node, std::size_t) { ++counts[node]; });
    return counts;
  }
};

TEST(HalfSpaceTrees, NodesSplitUntilTheyHoldFewRowsOrAreDeep) {
  const Table training = normal_rows(400, 3, 1);
  const Saved saved(*fitted("half_space_trees", {{"depth", "6"}, {"trees", "30"}}, training));
  const std::vector<std::size_t> counts = saved.counts(training);
  std::size_t shallow_leaves = 0, deepest = 0;
  ASSERT_EQ(saved.trees(), 30u);
  for (std::size_t t = 0; t < saved.trees(); ++t)
    for (std::size_t i = 0; i < training.count(); ++i)
      saved.walk(t, training.rows().row(i), [&](std::size_t node, std::size_t level) {
        deepest = std::max(deepest, level);
        if (saved.left[node] != 0) {
          ASSERT_GT(counts[node], 40u);
          return;
        }
        shallow_leaves += level < 6;
        ASSERT_TRUE(level == 6 || counts[node] <= 40u);
      });
  EXPECT_EQ(deepest, 6u);
  EXPECT_GT(shallow_leaves, 0u);
}

TEST(HalfSpaceTrees, ARootsMiddleIsAPointOfTheRangeAndItsHalvesAreHalved) {
  // The point s of [a, b] = [0, 1] is drawn evenly; the root's halves are then split a quarter of its range
  // off.
  Table training = normal_rows(500, 1, 2);
  const auto [least, most] = std::minmax_element(training.values.begin(), training.values.end());
  const float low = *least, high = *most;
  for (float& value : training.values) value = (value - low) / (high - low);
  const Saved saved(*fitted("half_space_trees", {{"trees", "400"}}, training));
  double sum = 0;
  for (std::size_t t = 0; t < 400; ++t) {
    const std::size_t root = saved.tree_begin[t];
    const double s = saved.threshold[root];
    ASSERT_GE(s, 0);
    ASSERT_LE(s, 1);
    sum += s;
    for (const std::size_t side : {0u, 1u}) {
      const std::size_t child = root + saved.left[root] + side;
      if (saved.left[child] == 0) continue;
      const double away = std::max(s, 1 - s);  // half of m = 2 max(s, 1 - s)
      EXPECT_NEAR(saved.threshold[child], side == 0 ? s - away : s + away, 1e-6);
    }
  }
  EXPECT_NEAR(sum / 400, 0.5, 5 / std::sqrt(12.0 * 400));
}

TEST(HalfSpaceTrees, LengthsAreMassesOnOneScale) {
  const Table training = normal_rows(300, 4, 3);
  const Saved saved(*fitted("half_space_trees", {{"trees", "20"}}, training));
  const std::vector<std::size_t> counts = saved.counts(training);
  std::vector<double> mass(counts.size());
  for (std::size_t t = 0; t < saved.trees(); ++t)
    for (std::size_t i = 0; i < training.count(); ++i)
      saved.walk(t, training.rows().row(i), [&](std::size_t node, std::size_t level) {
        mass[node] = static_cast<double>(counts[node]) * std::exp2(static_cast<double>(level)) / 300;
      });
  double largest = 0;
  for (std::size_t node = 0; node < mass.size(); ++node)
    if (saved.left[node] == 0) largest = std::max(largest, mass[node]);
  for (std::size_t node = 0; node < mass.size(); ++node)
    if (saved.left[node] == 0) {
      EXPECT_NEAR(saved.length[node], 64 * mass[node] / largest, 0x1p-19) << node;
    }
  // Of a root, as of any inner node: the mean over its rows.
  for (std::size_t t = 0; t < saved.trees(); ++t) {
    double sum = 0;
    for (std::size_t i = 0; i < training.count(); ++i) {
      std::size_t leaf = 0;
      saved.walk(t, training.rows().row(i), [&](std::size_t node, std::size_t) { leaf = node; });
      sum += saved.length[leaf];
    }
    EXPECT_NEAR(saved.length[saved.tree_begin[t]], sum / 300, 0x1p-19);
  }
}

TEST(HalfSpaceTrees, RowsAreInTheOrderOfTheirSumsOfMass) {
  const Table training = normal_rows(500, 5, 4), queries = normal_rows(200, 5, 5, 1.5);
  const auto model = fitted("half_space_trees", {{"trees", "50"}}, training);
  const Saved saved(*model);
  const std::vector<std::size_t> counts = saved.counts(training);
  const std::vector<float> found = scores(*model, queries);
  double at_roots = 0, largest = 0;
  for (std::size_t t = 0; t < 50; ++t) at_roots += saved.length[saved.tree_begin[t]];
  std::vector<double> sums(200), lengths(200);
  for (std::size_t t = 0; t < 50; ++t) {
    const auto mass = [&](const float* row) {
      double last = 0;
      saved.walk(t, row, [&](std::size_t node, std::size_t level) {
        last = static_cast<double>(counts[node]) * std::exp2(static_cast<double>(level));
      });
      return last;
    };
    for (std::size_t i = 0; i < 500; ++i) largest = std::max(largest, mass(training.rows().row(i)));
    for (std::size_t i = 0; i < 200; ++i) {
      sums[i] += mass(queries.rows().row(i));
      saved.walk(t, queries.rows().row(i), [&](std::size_t node, std::size_t) {
        if (saved.left[node] == 0) lengths[i] += saved.length[node];
      });
    }
  }
  for (std::size_t i = 0; i < 200; ++i)
    EXPECT_NEAR(found[i], std::exp2(-10 * lengths[i] / at_roots), 1e-6) << "a half: a tenth of the average";
  // What rounding 50 lengths can move, and a few of float32's spacings.
  const double least = 50 * 0x1p-18 * largest / 64 + 1e-6 * largest;
  std::size_t compared = 0;
  for (std::size_t i = 0; i < 200; ++i)
    for (std::size_t k = 0; k < 200; ++k)
      if (sums[i] > sums[k] + least) {
        ++compared;
        ASSERT_LE(found[i], found[k]) << i << " " << k;
      }
  EXPECT_GT(compared, 19'000u);
}

TEST(HalfSpaceTrees, FarOutsideTheScoreIsNearlyOneAndInTheMiddleNearlyZero) {
  const auto model = fitted("half_space_trees", {}, normal_rows(400, 2, 6));
  const std::vector<float> found = scores(*model, Table(2, {1e6f, -1e6f, 0, 0}));
  EXPECT_GT(found[0], 0.95f);
  EXPECT_LT(found[1], 0.01f);
}

}  // namespace
}  // namespace lanner::engine
