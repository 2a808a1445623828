#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "engine/detectors/isolation_forest/grow.hpp"
#include "engine/detectors/isolation_forest/import.hpp"
#include "tests/engine/detectors/every_device.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the tests' own folder
using isolation_forest::expected_length;
using isolation_forest::ForeignForest;
using isolation_forest::import_forest;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr float most = std::numeric_limits<float>::max();
constexpr float least = std::numeric_limits<float>::denorm_min();
constexpr double infinity = std::numeric_limits<double>::infinity();

// Owns what a ForeignForest views.
struct Arrays {
  std::size_t width = 1, samples = 4;
  double average_length = 0;
  std::vector<std::int64_t> begin = {0}, left, right, feature;
  std::vector<double> threshold, rows, length;

  ForeignForest view() const {
    return {width, samples, average_length, begin, left, right, feature, threshold, rows, length};
  }
  std::size_t nodes() const { return left.size(); }
  void end_tree() { begin.push_back(static_cast<std::int64_t>(nodes())); }
};

// Two leaves, told apart by their lengths.
Arrays one_split(double threshold) {
  Arrays arrays;
  arrays.left = {1, -1, -1};
  arrays.right = {2, -1, -1};
  arrays.feature = {0, 0, 0};
  arrays.threshold = {threshold, 0, 0};
  arrays.length = {0, 1, 5};
  arrays.end_tree();
  return arrays;
}

// Trees of any shape, their nodes in random order but for the root, their leaves of 1 to 30 rows.
Arrays random_forest(std::size_t width, std::size_t trees, std::size_t splits, std::uint64_t seed) {
  Random random(seed);
  Arrays arrays;
  arrays.width = width;
  arrays.samples = 300;
  for (std::size_t t = 0; t < trees; ++t) {
    const std::size_t nodes = 2 * splits + 1;
    std::vector<std::size_t> number(nodes);
    std::iota(number.begin(), number.end(), std::size_t{0});
    for (std::size_t i = nodes - 1; i > 1; --i) std::swap(number[i], number[1 + random.below(i)]);
    const std::size_t begin = arrays.nodes();
    for (auto* children : {&arrays.left, &arrays.right}) children->resize(begin + nodes, -1);
    arrays.feature.resize(begin + nodes, -2);
    arrays.threshold.resize(begin + nodes, -2);
    arrays.rows.resize(begin + nodes);
    std::vector<std::size_t> leaves = {0};
    for (std::size_t s = 0; s < splits; ++s) {
      const std::size_t chosen = random.below(leaves.size()), at = begin + leaves[chosen];
      arrays.left[at] = static_cast<std::int64_t>(number[2 * s + 1]);
      arrays.right[at] = static_cast<std::int64_t>(number[2 * s + 2]);
      arrays.feature[at] = static_cast<std::int64_t>(random.below(width));
      arrays.threshold[at] = random.normal();
      leaves[chosen] = number[2 * s + 1];
      leaves.push_back(number[2 * s + 2]);
    }
    for (const std::size_t leaf : leaves)
      arrays.rows[begin + leaf] = static_cast<double>(1 + random.below(30));
    arrays.end_tree();
  }
  return arrays;
}

// The path's length, by the arrays themselves.
double length_of(const Arrays& arrays, std::size_t tree, const float* row) {
  const auto begin = static_cast<std::size_t>(arrays.begin[tree]);
  std::size_t at = begin;
  for (double depth = 0;; ++depth) {
    if (arrays.left[at] < 0)
      return arrays.length.empty() ? depth + expected_length(static_cast<std::size_t>(arrays.rows[at]))
                                   : arrays.length[at];
    const bool left = static_cast<double>(row[arrays.feature[at]]) <= arrays.threshold[at];
    at = begin + static_cast<std::size_t>(left ? arrays.left[at] : arrays.right[at]);
  }
}

double score_of(const Arrays& arrays, const float* row) {
  const std::size_t trees = arrays.begin.size() - 1;
  double length = 0;
  for (std::size_t t = 0; t < trees; ++t) length += length_of(arrays, t, row) / static_cast<double>(trees);
  return std::exp2(-length / expected_length(arrays.samples));
}

TEST(IsolationForestImport, GoesLeftJustWhereAFloat32IsAtMostTheFloat64) {
  std::vector<double> thresholds = {0.0,      -0.0,      1e-60, -1e-60, 1e300,   -1e300,
                                    infinity, -infinity, 0.1,   -0.1,   1e10 / 3};
  Table rows(1, {0.0f, -0.0f, most, -most, least, -least, 1e-40f, -1e-40f, 0.1f, -0.1f});
  for (const float near : {1.0f, -1.0f, 0.3f, -7e8f, least, -least, 3 * least, 1e-40f, most, -most}) {
    const auto exact = static_cast<double>(near);
    thresholds.insert(thresholds.end(),
                      {exact, std::nextafter(exact, infinity), std::nextafter(exact, -infinity),
                       exact * (1 + 0x1p-25), exact * (1 - 0x1p-25)});
    for (const float x : {near, std::nextafter(near, most), std::nextafter(near, -most)})
      rows.values.push_back(x);
  }
  std::size_t left = 0;
  for (const double threshold : thresholds) {
    const auto found = scores(*import_forest(one_split(threshold).view()).fitted, rows);
    for (std::size_t i = 0; i < rows.count(); ++i) {
      const bool goes_left = static_cast<double>(rows.values[i]) <= threshold;
      left += goes_left;
      EXPECT_EQ(found[i] > 0.4f, goes_left) << rows.values[i] << " and " << threshold;
    }
  }
  EXPECT_GT(left, thresholds.size() * rows.count() / 4);
}

TEST(IsolationForestImport, ScoresAreThoseOfTheArraysInAnyOrderOfNodes) {
  for (const std::size_t splits : {0u, 1u, 9u, 200u}) {
    Arrays arrays = random_forest(4, 30, splits, splits + 1);
    const Table queries = normal_rows(300, 4, 2, 1.5);
    const auto check = [&] {
      const auto found = scores(*import_forest(arrays.view()).fitted, queries);
      for (std::size_t i = 0; i < queries.count(); ++i)
        EXPECT_NEAR(static_cast<double>(found[i]) / score_of(arrays, queries.rows().row(i)), 1, 3e-7)
            << splits;
    };
    check();
    // Lengths of its own, and no rows.
    Random random(3);
    for (std::size_t i = 0; i < arrays.nodes(); ++i) arrays.length.push_back(64 * random.uniform());
    arrays.rows.clear();
    check();
  }
}

TEST(IsolationForestImport, HasTheSameBitsOnEveryDeviceAndWhenSavedAndLoaded) {
  for (const std::size_t splits : {9u, 500u}) {
    const Arrays arrays = random_forest(5, 40, splits, 7);
    Table queries = normal_rows(200, 5, 8);
    queries.append(queries_for(queries, 9).rows());
    expect_same_everywhere("isolation_forest", *import_forest(arrays.view()).fitted, queries);
  }
}

TEST(IsolationForestImport, ExplanationsStartAtTheMeanOverTheRowsOfTheLeaves) {
  // Root: 6 rows go left, 2 right; there 1 and 1.
  Arrays arrays;
  arrays.width = 2;
  arrays.samples = 8;
  arrays.left = {4, -1, 1, -1, -1};
  arrays.right = {2, -1, 3, -1, -1};
  arrays.feature = {0, 0, 1, 0, 0};
  arrays.threshold = {10, 0, 20, 0, 0};
  arrays.rows = {0, 1, 0, 1, 6};
  arrays.length = {0, 2, 0, 3, 4};
  arrays.end_tree();
  const Table query(2, {11, 30});
  const auto expected = [](double length) { return std::exp2(-length / expected_length(8)); };
  const auto device = Device::cpu();
  const auto check = [&](double root, double right) {
    const auto fitted = import_forest(arrays.view()).fitted;
    EXPECT_NEAR(fitted->resident(*device)->base(), expected(root), 1e-6);
    const Table parts = contributions(*fitted, query);
    const double slope = (expected(3) - expected(root)) / (3 - root);
    EXPECT_NEAR(parts.values[0], (right - root) * slope, 1e-5);
    EXPECT_NEAR(parts.values[1], (3 - right) * slope, 1e-5);
  };
  check((6 * 4 + 2 + 3) / 8.0, 2.5);
  arrays.rows.clear();  // each side as likely
  check((4 + 2.5) / 2, 2.5);
}

TEST(IsolationForestImport, FindsTheRowsOfATreeByTheirAverageLength) {
  Arrays arrays = one_split(0);
  arrays.samples = 0;
  for (const std::size_t samples : {2u, 3u, 256u, 5000u, 1'000'000u}) {
    // As a float32, which Treelite keeps.
    arrays.average_length = static_cast<double>(static_cast<float>(expected_length(samples)));
    const auto settings = import_forest(arrays.view()).settings;
    EXPECT_EQ(settings.at("trees"), "1");
    if (samples <= 5000)
      EXPECT_EQ(settings.at("samples"), std::to_string(samples));
    else
      EXPECT_NEAR(std::stod(settings.at("samples")), 1e6, 5);
  }
  for (const double none : {0.0, -1.0, 0.5, 1.1, 100.0, infinity, std::nan("")}) {
    arrays.average_length = none;
    EXPECT_THAT([&] { import_forest(arrays.view()); },
                ThrowsMessage<std::invalid_argument>(HasSubstr("average_length: found")));
  }
}

TEST(IsolationForestImport, RefusesWhatIsNoForest) {
  const Arrays good = random_forest(3, 4, 5, 1);
  EXPECT_NO_THROW(import_forest(good.view()));
  const auto refused = [&](const std::function<void(Arrays&)>& damage, const std::string& text) {
    Arrays bad = good;
    damage(bad);
    EXPECT_THAT([&] { import_forest(bad.view()); }, ThrowsMessage<std::invalid_argument>(HasSubstr(text)));
  };
  const auto root = static_cast<std::size_t>(good.begin[2]);
  const auto leaf =
      root + static_cast<std::size_t>(std::find(good.left.begin() + good.begin[2], good.left.end(), -1) -
                                      good.left.begin() - good.begin[2]);
  const auto at_leaf = "tree 2, node " + std::to_string(leaf - root);
  refused([&](Arrays& a) { a.left[root] = 0; },
          "tree 2, node 0: found the child 0, which is reached already");
  refused([&](Arrays& a) { a.left[root] = a.right[root]; }, "which is reached already");
  refused([&](Arrays& a) { a.left[root] = 11; },
          "tree 2, node 0: found the child 11, allowed numbers below 11");
  refused([&](Arrays& a) { a.left[root] = -1; }, "tree 2, node 0: found the child -1");
  refused([&](Arrays& a) { a.right[root] = std::numeric_limits<std::int64_t>::min(); },
          "found the child -9223372036854775808");
  refused(
      [&](Arrays& a) {
        a.left[root] = a.right[root] = -1;
        a.rows[root] = 1;
      },
      "tree 2: found 10 nodes that no branch leads to");
  refused([&](Arrays& a) { a.feature[root] = 3; }, "tree 2, node 0: found feature 3, allowed 0 to 2");
  refused([&](Arrays& a) { a.feature[root] = -2; }, "found feature -2");
  refused([&](Arrays& a) { a.threshold[root] = std::nan(""); },
          "tree 2, node 0: found a threshold that is no number");
  for (const double rows : {0.0, -1.0, 2.5, infinity, std::nan("")})
    refused([&](Arrays& a) { a.rows[leaf] = rows; }, at_leaf + ": found");
  refused([&](Arrays& a) { a.rows.clear(); }, "neither rows nor lengths");
  for (const double length : {-1e-9, 64.1, infinity, std::nan("")})
    refused(
        [&](Arrays& a) {
          a.length.assign(a.nodes(), 1);
          a.length[leaf] = length;
        },
        at_leaf + ": found the length");
  refused([](Arrays& a) { a.begin[1] = a.begin[2]; }, "tree_begin: found trees that do not divide the nodes");
  refused([](Arrays& a) { a.begin.back() += 1; }, "tree_begin");
  refused([](Arrays& a) { a.begin.front() = -1; }, "tree_begin");
  refused([](Arrays& a) { a.begin.clear(); }, "tree_begin: found no tree");
  refused([](Arrays& a) { a.right.pop_back(); }, "right: found 43 values, allowed one a node: 44");
  refused([](Arrays& a) { a.feature.pop_back(); }, "feature: found 43 values");
  refused([](Arrays& a) { a.threshold.push_back(0); }, "threshold: found 45 values");
  refused([](Arrays& a) { a.rows.pop_back(); }, "rows: found 43 values");
  refused([](Arrays& a) { a.length = {1}; }, "length: found 1 values");
  refused([](Arrays& a) { a.samples = 1; }, "samples: found 1, allowed 2 to 2^30");
  refused([](Arrays& a) { a.width = 0; }, "width: found 0 features");
  refused([](Arrays& a) { a.width = std::size_t{1} << 40; }, "width");
}

TEST(IsolationForestImport, DamagedArraysNeverDoHarm) {
  const Arrays good = random_forest(3, 4, 6, 2);
  const Table queries(3, {0, 0, 0, -3e38f, 1, 3e38f});
  constexpr std::int64_t numbers[] = {
      -2, -1, 0, 1, 12, 13, std::int64_t{1} << 32, std::numeric_limits<std::int64_t>::max()};
  const double values[] = {0, -1, 0.5, 1e300, -infinity, infinity, std::nan("")};
  Random random(6);
  std::size_t taken = 0, refused = 0;
  for (int i = 0; i < 2000; ++i) {
    Arrays bad = good;
    std::vector<std::int64_t>* const integers[] = {&bad.begin, &bad.left, &bad.right, &bad.feature};
    std::vector<double>* const doubles[] = {&bad.threshold, &bad.rows};
    for (std::size_t times = 1 + random.below(3); times > 0; --times) {
      const std::size_t array = random.below(6);
      if (array < 4) {
        auto& changed = *integers[array];
        changed[random.below(changed.size())] = numbers[random.below(std::size(numbers))];
      } else {
        auto& changed = *doubles[array - 4];
        changed[random.below(changed.size())] = values[random.below(std::size(values))];
      }
    }
    try {
      for (const float score : scores(*import_forest(bad.view()).fitted, queries))
        ASSERT_TRUE(score >= 0 && score <= 1) << "change " << i;
      ++taken;
    } catch (const std::invalid_argument&) {
      ++refused;
    }
  }
  EXPECT_GT(taken, 200u);
  EXPECT_GT(refused, 200u);
}

TEST(IsolationForestImport, ATreeDeeperThanLengthsReachIsRefused) {
  Arrays arrays;
  constexpr std::int64_t depth = 70;
  arrays.left.assign(2 * depth + 1, -1);
  arrays.right.assign(arrays.nodes(), -1);
  for (std::int64_t i = 0; i < depth; ++i) {
    arrays.left[static_cast<std::size_t>(2 * i)] = 2 * i + 1;
    arrays.right[static_cast<std::size_t>(2 * i)] = 2 * i + 2;
  }
  arrays.feature.assign(arrays.nodes(), 0);
  arrays.threshold.assign(arrays.nodes(), 0);
  arrays.rows.assign(arrays.nodes(), 1);
  arrays.end_tree();
  EXPECT_THAT([&] { import_forest(arrays.view()); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("found the length 65, allowed 0 to 64")));
  arrays.length.assign(arrays.nodes(), 3);
  EXPECT_EQ(scores(*import_forest(arrays.view()).fitted, Table(1, {0})).size(), 1u);
}

}  // namespace
}  // namespace lanner::engine
