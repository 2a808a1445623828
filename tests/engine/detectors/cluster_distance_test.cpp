#include "engine/detectors/cluster_distance/cluster_distance.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/engine/detectors/scoring.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the tests' own folder
using ::testing::ElementsAre;

// Rows of one feature, each value so many times: with a cluster for every value, its centre is the value.
Table repeated(std::initializer_list<std::pair<float, int>> values) {
  Table table(1);
  for (const auto& [value, times] : values)
    table.values.insert(table.values.end(), static_cast<std::size_t>(times), value);
  return table;
}

std::vector<float> at(const Table& training, const std::map<std::string, std::string>& given,
                      std::vector<float> where) {
  return scores(*fitted("cluster_distance", given, training), Table(1, std::move(where)));
}

TEST(ClusterDistance, IsToTheMeanOfTheNearestLargeCluster) {
  const Table left = normal_rows(600, 2, 1, 1, -20), right = normal_rows(380, 2, 2, 1, 20);
  const Table small = normal_rows(20, 2, 3, 0.1, 200);
  Table training(2);
  double means[2][2] = {};
  for (const Table* part : {&left, &small, &right}) training.append(part->rows());
  for (int j = 0; j < 2; ++j) {
    for (std::size_t i = 0; i < 600; ++i) means[0][j] += left.rows().row(i)[j] / 600.0;
    for (std::size_t i = 0; i < 380; ++i) means[1][j] += right.rows().row(i)[j] / 380.0;
  }
  const Table queries(2, {-20, -19, 23, 17, 0, 1, 200, 200});
  const std::vector<float> found =
      scores(*fitted("cluster_distance", {{"clusters", "3"}}, training), queries);
  for (std::size_t i = 0; i < 4; ++i) {
    const float* q = queries.rows().row(i);
    double nearest = 1e9;
    for (const auto& mean : means) nearest = std::min(nearest, std::hypot(q[0] - mean[0], q[1] - mean[1]));
    EXPECT_NEAR(found[i], nearest, 1e-5 * nearest) << i;
  }
  EXPECT_GT(found[3], 250) << "a small cluster is no place to be";
}

TEST(ClusterDistance, LargeClustersHoldAlphaOfTheRowsAndThenUpToADropByBeta) {
  const Table training = repeated({{0, 47}, {10, 45}, {20, 40}, {30, 8}});
  const std::vector<float> values = {0, 10, 20, 30};
  // Two hold 92 of 140; the third is much like the second, and five times the fourth.
  EXPECT_THAT(at(training, {{"alpha", "0.65"}}, values), ElementsAre(0, 0, 0, 10));
  EXPECT_THAT(at(training, {{"alpha", "0.65"}, {"beta", "1"}}, values), ElementsAre(0, 0, 10, 20));
  EXPECT_THAT(at(training, {{"alpha", "0.65"}, {"beta", "6"}}, values), ElementsAre(0, 0, 10, 20))
      << "no drop by six: alpha alone";
  EXPECT_THAT(at(training, {{"alpha", "0.5"}, {"beta", "1"}}, values), ElementsAre(0, 0, 10, 20))
      << "one holds fewer than half";
  EXPECT_THAT(at(training, {{"alpha", "1"}}, values), ElementsAre(0, 0, 0, 0));
}

TEST(ClusterDistance, FewerValuesThanClustersAreTheCentres) {
  const Table training = repeated({{1, 4}, {3, 3}, {9, 3}});
  EXPECT_THAT(at(training, {{"clusters", "100"}, {"alpha", "1"}}, {1, 3, 9, 7}), ElementsAre(0, 0, 0, 2));
  EXPECT_THAT(at(Table(1, {2}), {}, {2, 5}), ElementsAre(0, 3));
}

TEST(ClusterDistance, OneClusterIsTheMeanWhateverTheOffset) {
  EXPECT_THAT(at(repeated({{16777214.0f, 1}, {16777216.0f, 1}}), {{"clusters", "1"}}, {16777215.0f}),
              ElementsAre(0));
}

TEST(ClusterDistance, SeparateClustersAreAllFound) {
  // Nine on a grid: a start in each is no matter of luck.
  Table training(2);
  for (int x = 0; x < 3; ++x)
    for (int y = 0; y < 3; ++y) {
      Table part = normal_rows(100, 2, static_cast<std::uint64_t>(3 * x + y), 0.1);
      for (std::size_t i = 0; i < 100; ++i) {
        part.at(i, 0) += static_cast<float>(100 * x);
        part.at(i, 1) += static_cast<float>(100 * y);
      }
      training.append(part.rows());
    }
  const auto model = fitted("cluster_distance", {{"clusters", "9"}, {"alpha", "1"}}, training);
  for (const float score : scores(*model, training)) ASSERT_LT(score, 1);
}

}  // namespace
}  // namespace lanner::engine
