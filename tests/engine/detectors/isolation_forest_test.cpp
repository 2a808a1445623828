#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>
#include <vector>

#include "engine/detectors/forests.hpp"
#include "engine/detectors/isolation_forest/grow.hpp"
#include "engine/detectors/isolation_forest/model.hpp"
#include "tests/engine/detectors/scoring.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the tests' own folder
using forest::Forest;
using isolation_forest::expected_length;
using isolation_forest::grow;
using isolation_forest::Growing;
using isolation_forest::Grown;

Grown grown(const Table& rows, const Growing& growing, unsigned threads = 1) {
  const auto device = Device::cpu({CpuTier::scalar, threads});
  return grow(*device, rows.rows(), growing, {});
}

std::vector<float> scores_of(const Grown& grown, const Table& queries) {
  return scores(isolation_forest::Model(std::make_shared<const Grown>(grown)), queries);
}

std::vector<std::byte> saved(const Grown& grown) {
  TensorWriter writer;
  isolation_forest::Model(std::make_shared<const Grown>(grown)).save(writer);
  return writer.bytes();
}

TEST(IsolationForest, ExpectedLengthsAreThoseOfARandomSearch) {
  EXPECT_EQ(expected_length(1), 0);
  EXPECT_EQ(expected_length(2), 1);
  // 2 H(n - 1) - 2 (n - 1) / n, of which the definition's logarithm is the usual estimate.
  for (const std::size_t n : {3u, 10u, 256u, 100'000u}) {
    double harmonic = 0;
    for (std::size_t i = 1; i < n; ++i) harmonic += 1 / static_cast<double>(i);
    const double rows = static_cast<double>(n);
    EXPECT_NEAR(expected_length(n), 2 * harmonic - 2 * (rows - 1) / rows, 1.1 / (rows - 1)) << n;
  }
  EXPECT_NEAR(expected_length(256), 10.244770920119, 1e-9);  // scikit-learn 1.9: _average_path_length
}

// Follows the tree as grown, with the rows that come to each node.
TEST(IsolationForest, TreesAreWhatTheDefinitionSays) {
  Table training = normal_rows(700, 5, 1);
  for (std::size_t i = 0; i < 700; ++i) training.at(i, 3) = 2;                                  // a constant
  for (std::size_t i = 0; i < 700; ++i) training.at(i, 4) = static_cast<float>(i % 2) * 1e30f;  // two values
  for (const std::size_t samples : {2u, 100u, 256u, 700u}) {
    const Grown all = grown(training, {20, samples, 0, 3});
    EXPECT_EQ(all.samples, samples);
    const Forest& f = all.forest;
    const auto levels = static_cast<std::size_t>(std::ceil(std::log2(static_cast<double>(samples))));
    for (std::size_t t = 0; t < f.trees(); ++t) {
      const std::size_t begin = f.tree_begin[t];
      std::size_t deepest = 0;
      // The rows a node stands for, told by a leaf's length.
      const std::function<double(std::size_t, std::size_t, double&)> rows_of =
          [&](std::size_t node, std::size_t depth, double& total) -> double {
        deepest = std::max(deepest, depth);
        const std::size_t at = begin + node;
        if (f.left[at] != 0) {
          EXPECT_NE(f.feature[at], 3u);
          double below = 0;
          const double rows =
              rows_of(f.left[at], depth + 1, below) + rows_of(f.left[at] + 1, depth + 1, below);
          EXPECT_NEAR(f.length[at], below / rows, 1e-5);
          total += below;
          return rows;
        }
        const double beyond = static_cast<double>(f.length[at]) - static_cast<double>(depth);
        std::size_t rows = 1;
        while (rows <= samples && std::fabs(expected_length(rows) - beyond) > 0x1p-18) ++rows;
        EXPECT_LE(rows, samples) << "no number of rows gives " << beyond;
        EXPECT_TRUE(rows == 1 || depth == levels) << "rows differ, and none is drawn twice";
        total += static_cast<double>(rows) * static_cast<double>(f.length[at]);
        return static_cast<double>(rows);
      };
      double total = 0;
      EXPECT_EQ(rows_of(0, 0, total), static_cast<double>(samples));
      EXPECT_LE(deepest, levels);
    }
    EXPECT_THAT(f.constant_feature, ::testing::ElementsAre(3u));
    EXPECT_THAT(f.constant_value, ::testing::ElementsAre(2.0f));
  }
}

TEST(IsolationForest, ScoresAreTheNaiveRecursionsMean) {
  const Table training = normal_rows(500, 6, 4), queries = normal_rows(200, 6, 5, 1.5);
  const Grown all = grown(training, {100, 256, 0, 6});
  const Forest& f = all.forest;
  const auto found = scores_of(all, queries);
  for (std::size_t i = 0; i < queries.count(); ++i) {
    double mean = 0;
    for (std::size_t t = 0; t < f.trees(); ++t) {
      std::size_t node = 0;
      while (f.left[f.tree_begin[t] + node] != 0) {
        const std::size_t at = f.tree_begin[t] + node;
        node = f.left[at] + (queries.rows().row(i)[f.feature[at]] <= f.threshold[at] ? 0 : 1);
      }
      mean += f.length[f.tree_begin[t] + node] / 100.0;
    }
    EXPECT_FLOAT_EQ(found[i], static_cast<float>(std::exp2(-mean / expected_length(256))));
  }
}

TEST(IsolationForest, TheSeedAloneDecides) {
  const Table training = normal_rows(600, 4, 7);
  for (const Growing growing : {Growing{150, 256, 0, 1}, Growing{70, 600, 2, 1}}) {
    const auto expected = saved(grown(training, growing));
    for (const unsigned threads : {2u, 5u}) EXPECT_EQ(saved(grown(training, growing, threads)), expected);
    Growing other = growing;
    other.seed = 2;
    EXPECT_NE(saved(grown(training, other)), expected);
  }
}

TEST(IsolationForest, SplitsAreEvenlySpreadOverFeaturesAndRanges) {
  const Table training = normal_rows(2000, 4, 8);
  const Forest f = grown(training, {2000, 256, 0, 9}).forest;
  std::vector<double> roots(4), low(4);
  for (std::size_t t = 0; t < f.trees(); ++t) {
    ++roots[f.feature[f.tree_begin[t]]];
    low[f.feature[f.tree_begin[t]]] += f.threshold[f.tree_begin[t]] < 0;
  }
  for (std::size_t j = 0; j < 4; ++j) {
    EXPECT_NEAR(roots[j], 500, 4 * std::sqrt(2000 * 0.25 * 0.75)) << j;
    EXPECT_NEAR(low[j] / roots[j], 0.5, 0.1) << j;
  }
}

TEST(IsolationForest, ATreeSplitsTheFeaturesThatItDrew) {
  const Table training = normal_rows(300, 6, 10);
  const Forest f = grown(training, {60, 256, 2, 11}).forest;
  std::set<std::uint32_t> ever;
  for (std::size_t t = 0; t < f.trees(); ++t) {
    std::set<std::uint32_t> own;
    for (std::size_t at = f.tree_begin[t]; at < f.tree_begin[t + 1]; ++at)
      if (f.left[at] != 0) own.insert(f.feature[at]);
    EXPECT_EQ(own.size(), 2u);
    ever.insert(own.begin(), own.end());
  }
  EXPECT_EQ(ever.size(), 6u);
}

TEST(IsolationForest, ThresholdsPartNeighbouringFloatsAndTheWholeRange) {
  constexpr float most = std::numeric_limits<float>::max();
  for (const auto& [least, largest] : std::vector<std::pair<float, float>>{
           {1, std::nextafter(1.0f, 2.0f)}, {-most, most}, {0, 1e-45f}, {-1e-45f, 0}}) {
    const Forest f = grown(Table(1, {least, largest}), {50, 2, 0, 13}).forest;
    for (std::size_t t = 0; t < f.trees(); ++t) {
      ASSERT_EQ(f.tree_begin[t + 1] - f.tree_begin[t], 3u);
      EXPECT_LE(least, f.threshold[f.tree_begin[t]]);
      EXPECT_LT(f.threshold[f.tree_begin[t]], largest);
    }
  }
}

TEST(IsolationForest, FindsWhatLiesApart) {
  Table training = normal_rows(1000, 5, 14), apart = normal_rows(20, 5, 15, 1, 4);
  training.append(apart.rows());
  const auto found = scores(*fitted("isolation_forest", {}, training), training);
  int below = 0;
  for (std::size_t i = 0; i < 1000; ++i)
    for (std::size_t k = 1000; k < 1020; ++k) below += found[i] < found[k];
  EXPECT_GT(below, 20'000 * 0.98);
  const double mean = std::accumulate(found.begin(), found.begin() + 1000, 0.0) / 1000;
  EXPECT_NEAR(mean, 0.45, 0.05);
}

TEST(IsolationForest, AnUnseenValueOfAConstantTakesItsShareOff) {
  Table training = normal_rows(300, 4, 16);
  for (std::size_t i = 0; i < 300; ++i) training.at(i, 1) = training.at(i, 2) = 5;
  Table queries(4, {0, 5, 5, 0, 0, 6, 5, 0, 0, 4, 5, 0, 0, 6, 6, 0});
  const auto model = fitted("isolation_forest", {}, training);
  const auto found = scores(*model, queries);
  const float fourth = std::exp2(0.25f);
  EXPECT_FLOAT_EQ(found[1], found[0] * fourth);
  EXPECT_FLOAT_EQ(found[2], found[0] * fourth);
  EXPECT_FLOAT_EQ(found[3], found[0] * fourth * fourth);
  const Table parts = contributions(*model, queries), usual = contributions(*model, queries);
  EXPECT_EQ(parts.rows().row(0)[1], 0);
  EXPECT_GT(parts.rows().row(1)[1], 0.05f);
  EXPECT_EQ(parts.rows().row(1)[2], 0);
  // However many are unseen, a score is at most 1.
  const auto all = fitted("isolation_forest", {}, Table(50, std::vector<float>(5000, 1)));
  EXPECT_EQ(scores(*all, Table(50, std::vector<float>(50, 2)))[0], 1);
  EXPECT_NEAR(scores(*all, Table(50, std::vector<float>(50, 1)))[0], 0.5, 1e-6);
}

TEST(IsolationForest, ContributionsAreWhatTheSplitsMove) {
  // One tree, two splits: the first on feature 0, then on feature 1 of the left side.
  Grown one;
  one.samples = 4;
  Forest& f = one.forest;
  f.width = 3;
  f.tree_begin = {0, 5};
  f.left = {1, 3, 0, 0, 0};
  f.feature = {0, 1, 0, 0, 0};
  f.threshold = {10, 20, 0, 0, 0};
  f.length = {1.5f, 2, 1, 2.5f, 1.75f};
  isolation_forest::set_scale(f, 4);
  const isolation_forest::Model model(std::make_shared<const Grown>(one));
  const Table queries(3, {5, 15, 0, 5, 25, 0, 50, 0, 0});
  const Table parts = contributions(model, queries);
  const auto score = [&](double length) { return std::exp2(-length / expected_length(4)); };
  const double slope[] = {score(2.5) - score(1.5), (score(1.75) - score(1.5)) / 0.25,
                          (score(1) - score(1.5)) / -0.5};
  const double moved[3][3] = {{0.5, 0.5, 0}, {0.5, -0.25, 0}, {-0.5, 0, 0}};
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j)
      EXPECT_NEAR(parts.rows().row(i)[j], moved[i][j] * slope[i], 1e-6) << i << " " << j;
  const auto device = Device::cpu();
  EXPECT_FLOAT_EQ(model.resident(*device)->base(), static_cast<float>(score(1.5)));
}

}  // namespace
}  // namespace lanner::engine
