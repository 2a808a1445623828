#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/detectors/extended_isolation_forest/grow.hpp"
#include "engine/detectors/extended_isolation_forest/model.hpp"
#include "engine/detectors/isolation_forest/grow.hpp"
#include "tests/engine/detectors/scoring.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the tests' own folder
using extended_isolation_forest::grow;
using extended_isolation_forest::Growing;
using extended_isolation_forest::Grown;
using isolation_forest::expected_length;
using oblique_forest::ObliqueForest;

const auto projection = oblique_forest::projection(CpuTier::scalar);

Grown grown(const Table& rows, const Growing& growing, unsigned threads = 1) {
  const auto device = Device::cpu({CpuTier::scalar, threads});
  return grow(*device, rows.rows(), growing, {});
}

std::vector<std::byte> saved(const Grown& grown) {
  TensorWriter writer;
  extended_isolation_forest::Model(std::make_shared<const Grown>(grown)).save(writer);
  return writer.bytes();
}

struct Node {
  std::size_t number, depth;
  std::size_t left = 0;  ///< 0: a leaf
  std::size_t cut = 0;
};
// Of one tree, by number.
std::vector<Node> nodes_of(const ObliqueForest& f, std::size_t t) {
  std::size_t cuts = 0;
  for (std::size_t i = 0; i < f.tree_begin[t]; ++i) cuts += f.left[i] != 0;
  std::vector<Node> nodes;
  for (std::size_t i = 0; i < f.tree_begin[t + 1] - f.tree_begin[t]; ++i) nodes.push_back({i, 0});
  for (Node& node : nodes) {
    node.left = f.left[f.tree_begin[t] + node.number];
    if (node.left == 0) continue;
    node.cut = cuts++;
    nodes[node.left].depth = nodes[node.left + 1].depth = node.depth + 1;
  }
  return nodes;
}

TEST(ExtendedIsolationForest, TreesAreWhatTheDefinitionSays) {
  Table training = normal_rows(700, 5, 1);
  for (std::size_t i = 0; i < 700; ++i) training.at(i, 3) = 2;                                  // a constant
  for (std::size_t i = 0; i < 700; ++i) training.at(i, 4) = static_cast<float>(i % 2) * 1e30f;  // two values
  for (const std::size_t samples : {2u, 100u, 256u, 700u}) {
    const Grown all = grown(training, {20, samples, samples == 100 ? 2u : 0u, 3});
    EXPECT_EQ(all.samples, samples);
    const ObliqueForest& f = all.forest;
    EXPECT_THAT(f.seen, ::testing::ElementsAre(0u, 1u, 2u, 4u));
    EXPECT_EQ(f.mixed, samples == 100 ? 2u : 4u);
    const auto levels = static_cast<std::size_t>(std::ceil(std::log2(static_cast<double>(samples))));
    for (std::size_t t = 0; t < f.trees(); ++t) {
      const std::vector<Node> nodes = nodes_of(f, t);
      for (const Node& node : nodes) {
        ASSERT_LE(node.depth, levels);
        if (node.left != 0) continue;
        const double beyond = f.length[f.tree_begin[t] + node.number] - static_cast<double>(node.depth);
        ASSERT_TRUE(beyond == 0 || node.depth == levels) << "rows differ, and none is drawn twice";
        std::size_t rows = 1;
        while (rows <= samples && std::fabs(expected_length(rows) - beyond) > 0x1p-18) ++rows;
        ASSERT_LE(rows, samples) << "no number of rows gives " << beyond;
      }
    }
  }
}

// Walks every training row down, and compares what is stored of each node with the rows that come there.
TEST(ExtendedIsolationForest, NodesAreWhatTheirRowsMakeThem) {
  const Table training = normal_rows(128, 6, 2);
  for (const std::size_t mixed : {0u, 1u, 3u}) {
    const ObliqueForest f = grown(training, {30, 128, mixed, 4}).forest;  // every row is in every tree
    const std::size_t k = f.mixed;
    std::size_t empty = 0;
    for (std::size_t t = 0; t < f.trees(); ++t) {
      const std::vector<Node> nodes = nodes_of(f, t);
      std::vector<std::vector<std::vector<float>>> rows(nodes.size());
      for (std::size_t i = 0; i < 128; ++i) {
        rows[0].emplace_back();
        for (std::size_t j = 0; j < 6; ++j)
          rows[0].back().push_back(
              std::clamp((training.rows().row(i)[j] - f.input.shift[j]) * f.input.scale[j], -f.input.limit,
                         f.input.limit));
      }
      for (const Node& node : nodes) {
        const double here = static_cast<double>(rows[node.number].size());
        if (node.left == 0) {
          const double want =
              static_cast<double>(node.depth) + (here > 0 ? expected_length(rows[node.number].size()) : 0);
          ASSERT_NEAR(f.length[f.tree_begin[t] + node.number], want, 0x1p-18);
          empty += rows[node.number].empty();
          continue;
        }
        const float* weight = &f.weight[node.cut * k];
        double least = 0, most = 0;
        std::set<std::uint32_t> features;
        for (std::size_t i = 0; i < k; ++i) {
          const std::uint32_t j =
              f.feature.empty() ? static_cast<std::uint32_t>(i) : f.feature[node.cut * k + i];
          features.insert(j);
          double low = 1e9, high = -1e9, sum = 0;
          for (const auto& y : rows[node.number]) {
            low = std::min<double>(low, y[j]), high = std::max<double>(high, y[j]), sum += y[j];
          }
          ASSERT_NE(weight[i], 0) << "all features vary where no two rows are equal";
          least += weight[i] * (weight[i] > 0 ? low : high);
          most += weight[i] * (weight[i] > 0 ? high : low);
          ASSERT_NEAR(f.centre[node.cut * k + i], sum / here, 1e-5);
        }
        ASSERT_EQ(features.size(), k);
        ASSERT_GE(f.threshold[node.cut], least - 1e-4) << "the hyperplane goes through the box";
        ASSERT_LE(f.threshold[node.cut], most + 1e-4);
        for (const auto& y : rows[node.number]) {
          const float sum =
              projection(y.data(), f.feature.empty() ? nullptr : &f.feature[node.cut * k], weight, k);
          rows[node.left + (sum <= f.threshold[node.cut] ? 0 : 1)].push_back(y);
        }
      }
    }
    EXPECT_EQ(empty > 0, k > 1) << "a hyperplane of several features through the box can miss all rows";
  }
}

TEST(ExtendedIsolationForest, NormalsPointAnywhereAndPointsLieAnywhereInTheBox) {
  const Table training = normal_rows(2000, 4, 5);
  const ObliqueForest f = grown(training, {3000, 2, 0, 6}).forest;  // one cut between two rows
  const double cuts = static_cast<double>(f.cuts());
  ASSERT_EQ(cuts, 3000);
  for (std::size_t a = 0; a < 4; ++a)
    for (std::size_t b = 0; b <= a; ++b) {
      double mean = 0, product = 0;
      for (std::size_t c = 0; c < f.cuts(); ++c) {
        mean += static_cast<double>(f.weight[4 * c + a]) / cuts;
        product += static_cast<double>(f.weight[4 * c + a]) * static_cast<double>(f.weight[4 * c + b]) / cuts;
      }
      EXPECT_NEAR(mean, 0, 4 / std::sqrt(cuts));
      EXPECT_NEAR(product, a == b ? 1 : 0, 4 * std::sqrt(2 / cuts));
    }
  // By a single feature the threshold is the point's place between the two rows: centre -+ half their
  // distance.
  const ObliqueForest one = grown(training, {3000, 256, 1, 7}).forest;
  std::vector<double> roots(4);
  for (std::size_t t = 0, c = 0; t < one.trees(); ++t) {
    ++roots[one.feature[c]];
    for (std::size_t i = one.tree_begin[t]; i < one.tree_begin[t + 1]; ++i) c += one.left[i] != 0;
  }
  for (const double count : roots) EXPECT_NEAR(count, 750, 4 * std::sqrt(3000 * 0.25 * 0.75));
  Table line(1);
  for (int i = 0; i < 2; ++i) line.values.push_back(static_cast<float>(i));
  const ObliqueForest two = grown(line, {3000, 2, 0, 8}).forest;
  double mean = 0, squares = 0;
  for (std::size_t c = 0; c < two.cuts(); ++c) {
    // The median is 0, the mean difference from it a half: 0 and 1 become 0 and 2.
    const double place = static_cast<double>(two.threshold[c]) / static_cast<double>(two.weight[c]) / 2;
    EXPECT_GE(place, -1e-6);
    EXPECT_LE(place, 1 + 1e-6);
    mean += place / 3000;
    squares += place * place / 3000;
  }
  EXPECT_NEAR(mean, 0.5, 4 * std::sqrt(1.0 / 12 / 3000));
  EXPECT_NEAR(squares, 1.0 / 3, 0.025);
}

// What cuts along the axes can't tell: between two clusters at (0, 10) and (10, 0) they make (0, 0) and (10,
// 10) look like one (Hariri et al. 2021, section 2).
TEST(ExtendedIsolationForest, SeesNoGhostsOfClusters) {
  Table training = normal_rows(500, 2, 9), other = normal_rows(500, 2, 10), ghosts = normal_rows(100, 2, 11);
  for (std::size_t i = 0; i < 500; ++i) training.at(i, 1) += 10, other.at(i, 0) += 10;
  training.append(other.rows());
  for (std::size_t i = 0; i < 50; ++i) ghosts.at(i, 0) += 10, ghosts.at(i, 1) += 10;
  // The share of training rows that score below the mean ghost.
  const auto below = [&](std::string_view detector) {
    const auto model = fitted(detector, {}, training);
    const std::vector<float> usual = scores(*model, training), ghost = scores(*model, ghosts);
    double mean = 0;
    for (const float s : ghost) mean += static_cast<double>(s) / 100;
    return static_cast<double>(std::count_if(usual.begin(), usual.end(),
                                             [&](float s) { return static_cast<double>(s) < mean; })) /
           1000;
  };
  EXPECT_GT(below("extended_isolation_forest"), 0.99);
  EXPECT_GT(below("extended_isolation_forest"), below("isolation_forest") + 0.01);
}

TEST(ExtendedIsolationForest, ScoresAreTwoToTheMinusMeanLengthOverThatExpected) {
  const Table training = normal_rows(500, 6, 12), queries = normal_rows(100, 6, 13, 1.5);
  const Grown all = grown(training, {40, 100, 0, 14});
  const ObliqueForest& f = all.forest;
  const std::vector<float> found =
      scores(extended_isolation_forest::Model(std::make_shared<const Grown>(all)), queries);
  for (std::size_t i = 0; i < queries.count(); ++i) {
    std::vector<float> y;
    for (std::size_t j = 0; j < 6; ++j)
      y.push_back(std::clamp((queries.rows().row(i)[j] - f.input.shift[j]) * f.input.scale[j], -f.input.limit,
                             f.input.limit));
    double sum = 0;
    for (std::size_t t = 0; t < f.trees(); ++t) {
      const std::vector<Node> nodes = nodes_of(f, t);
      std::size_t at = 0;
      while (nodes[at].left != 0)
        at = nodes[at].left +
             (projection(y.data(), nullptr, &f.weight[6 * nodes[at].cut], 6) <= f.threshold[nodes[at].cut]
                  ? 0
                  : 1);
      sum += static_cast<double>(f.length[f.tree_begin[t] + at]);
    }
    const double c = 2 * (std::log(99.0) + 0.5772156649) - 2 * 99.0 / 100;
    ASSERT_NEAR(found[i], std::exp2(-sum / 40 / c), 1e-6);
  }
}

TEST(ExtendedIsolationForest, TheSeedAloneDecides) {
  const Table training = normal_rows(600, 4, 15);
  for (const Growing growing : {Growing{150, 256, 0, 1}, Growing{70, 600, 2, 1}}) {
    const auto expected = saved(grown(training, growing));
    for (const unsigned threads : {2u, 5u}) EXPECT_EQ(saved(grown(training, growing, threads)), expected);
    Growing other = growing;
    other.seed = 2;
    EXPECT_NE(saved(grown(training, other)), expected);
  }
}

TEST(ExtendedIsolationForest, ALevelOfAllFeaturesIsFull) {
  const Table training = normal_rows(300, 5, 16);
  const auto bytes = [&](const std::string& level) {
    TensorWriter writer;
    fitted("extended_isolation_forest", {{"extension_level", level}}, training)->save(writer);
    return writer.bytes();
  };
  EXPECT_EQ(bytes("4"), bytes("full"));
  EXPECT_EQ(bytes("1000"), bytes("full"));
  EXPECT_LT(bytes("1").size(), bytes("full").size());
}

TEST(ExtendedIsolationForest, UnitsDoNotMatter) {
  const Table training = normal_rows(400, 4, 17), queries = normal_rows(50, 4, 18, 2);
  Table scaled = training, same = queries;
  for (std::size_t j = 0; j < 4; ++j) {
    const float unit = std::ldexp(1.0f, 5 * static_cast<int>(j) - 7);  // exact
    for (std::size_t i = 0; i < 400; ++i) scaled.at(i, j) *= unit;
    for (std::size_t i = 0; i < 50; ++i) same.at(i, j) *= unit;
  }
  EXPECT_EQ(scores(*fitted("extended_isolation_forest", {}, scaled), same),
            scores(*fitted("extended_isolation_forest", {}, training), queries));
}

TEST(ExtendedIsolationForest, AnUnseenValueOfAConstantTakesItsShareOff) {
  Table training = normal_rows(300, 4, 19);
  for (std::size_t i = 0; i < 300; ++i) training.at(i, 1) = training.at(i, 2) = 5;
  const Table queries(4, {0, 5, 5, 0, 0, 6, 5, 0, 0, 6, 4, 0});
  const auto model = fitted("extended_isolation_forest", {}, training);
  const auto found = scores(*model, queries);
  const float fourth = std::exp2(0.25f);
  EXPECT_FLOAT_EQ(found[1], found[0] * fourth);
  EXPECT_FLOAT_EQ(found[2], found[0] * fourth * fourth);
  const Table parts = contributions(*model, queries);
  EXPECT_EQ(parts.rows().row(0)[1], 0);
  EXPECT_GT(parts.rows().row(1)[1], 0.05f);
  EXPECT_EQ(parts.rows().row(1)[2], 0);
}

TEST(ExtendedIsolationForest, TreesWhoseWeightsCouldTakeMoreThanTwoGigabytesAreRefused) {
  const Table training = normal_rows(2, 6000, 20);
  try {
    fitted("extended_isolation_forest", {{"trees", "100000"}, {"samples", "2"}}, training);
    ADD_FAILURE() << "accepted";
  } catch (const std::invalid_argument& refused) {
    EXPECT_THAT(refused.what(), ::testing::HasSubstr("found 100000 trees of 2 rows"));
    EXPECT_THAT(refused.what(), ::testing::HasSubstr("allowed 89478 in all"));
  }
}

}  // namespace
}  // namespace lanner::engine
