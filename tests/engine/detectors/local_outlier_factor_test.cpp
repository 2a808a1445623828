#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/engine/detectors/scoring.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the tests' own folder

// The definition, written from the paper, for rows that are all distinct.
std::vector<double> factors_by_definition(const Table& training, const Table& queries, std::size_t k) {
  const std::size_t n = training.count(), width = training.width;
  struct Near {
    double distance;
    std::size_t row;
    bool operator<(const Near& other) const {
      return distance != other.distance ? distance < other.distance : row < other.row;
    }
  };
  const auto nearest = [&](const float* x, std::size_t self) {
    std::vector<Near> all;
    for (std::size_t r = 0; r < n; ++r) {
      if (r == self) continue;
      double s = 0;
      for (std::size_t j = 0; j < width; ++j)
        s += std::pow(static_cast<double>(x[j]) - training.rows().row(r)[j], 2);
      all.push_back({std::sqrt(s), r});
    }
    std::sort(all.begin(), all.end());
    all.resize(k);
    return all;
  };
  std::vector<std::vector<Near>> neighbours;
  for (std::size_t i = 0; i < n; ++i) neighbours.push_back(nearest(training.rows().row(i), i));
  const auto density = [&](const std::vector<Near>& of) {
    double sum = 0;
    for (const Near& near : of) sum += std::max(neighbours[near.row].back().distance, near.distance);
    return static_cast<double>(of.size()) / sum;
  };
  std::vector<double> factors;
  for (std::size_t q = 0; q < queries.count(); ++q) {
    const auto of = nearest(queries.rows().row(q), n);
    double sum = 0;
    for (const Near& near : of) sum += density(neighbours[near.row]);
    factors.push_back(sum / static_cast<double>(k) / density(of));
  }
  return factors;
}

TEST(LocalOutlierFactor, IsThePapersOnDistinctRows) {
  const Table training = normal_rows(150, 3, 1), queries = normal_rows(40, 3, 2, 2);
  for (std::size_t k : {1u, 5u, 20u}) {
    const auto found = scores(*fitted("local_outlier_factor", {{"k", std::to_string(k)}}, training), queries);
    const auto expected = factors_by_definition(training, queries, k);
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-5 * expected[i]);
  }
}

// Where many rows are equal, the usual arithmetic divides by zero and rows beside a heap of duplicates get
// factors of 1e7 and more.
TEST(LocalOutlierFactor, DuplicatesDoNotBlowUpFactors) {
  Table training = normal_rows(200, 2, 3);
  for (int i = 0; i < 100; ++i) training.append(Table(2, {0.5f, 0.5f}).rows());
  const auto model = fitted("local_outlier_factor", {{"k", "20"}}, training);
  const auto factors = scores(*model, Table(2, {0.5f, 0.5f, 0.5f, 0.51f, 0.6f, 0.6f, 12, 12}));
  for (int i = 0; i < 3; ++i) {
    EXPECT_GT(factors[i], 0.2f);
    EXPECT_LT(factors[i], 3);
  }
  EXPECT_GT(factors[3], 5);
  EXPECT_LT(factors[3], 1000);
  for (float factor : leave_one_out(*model)) EXPECT_LT(factor, 10);
}

TEST(LocalOutlierFactor, DuplicatingEveryRowChangesLittle) {
  const Table training = normal_rows(200, 3, 4), queries = normal_rows(30, 3, 5);
  Table tripled = training;
  tripled.append(training.rows());
  tripled.append(training.rows());
  const auto once = scores(*fitted("local_outlier_factor", {}, training), queries);
  const auto thrice = scores(*fitted("local_outlier_factor", {}, tripled), queries);
  for (std::size_t i = 0; i < once.size(); ++i) EXPECT_NEAR(thrice[i], once[i], 0.1 * once[i]);
}

TEST(LocalOutlierFactor, ASparseRowBesideADenseClusterStandsOut) {
  // The dense cluster's neighbour at distance 1 is local: a global distance would not single it out.
  Table training = normal_rows(100, 2, 6, 0.05);
  training.append(normal_rows(100, 2, 7, 2, 20).rows());
  const auto factors = scores(*fitted("local_outlier_factor", {}, training), Table(2, {1, 0, 21, 21}));
  EXPECT_GT(factors[0], 5);
  EXPECT_LT(factors[1], 1.5f);
}

TEST(LocalOutlierFactor, LeftOutRowsAreNotTheirOwnNeighbours) {
  const Table training = normal_rows(60, 2, 8);
  const auto left_out = leave_one_out(*fitted("local_outlier_factor", {{"k", "5"}}, training));
  // The paper's factors of the training rows: each row's neighbours are the others.
  const auto of_others = [&] {
    std::vector<double> factors;
    for (std::size_t i = 0; i < training.count(); ++i) {
      Table row(2);
      row.append(training.rows().slice(i, i + 1));
      factors.push_back(factors_by_definition(without(training, i), row, 5)[0]);
    }
    return factors;
  }();
  // Fitting without the row changes its neighbours' densities too, so the two agree but roughly.
  for (std::size_t i = 0; i < left_out.size(); ++i)
    EXPECT_NEAR(left_out[i], of_others[i], 0.5 * of_others[i]);
}

TEST(LocalOutlierFactor, ASingleDistinctRowScoresByDistance) {
  const Table training(1, {3, 3, 3});
  const auto model = fitted("local_outlier_factor", {}, training);
  EXPECT_THAT(scores(*model, Table(1, {3, 5})), ::testing::ElementsAre(1, 3));
  EXPECT_THAT(leave_one_out(*model), ::testing::ElementsAre(1, 1, 1));
}

}  // namespace
}  // namespace lanner::engine
