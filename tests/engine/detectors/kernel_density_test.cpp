#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "tests/engine/detectors/scoring.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the tests' own folder

double minus_log_density(const Table& training, const float* x, double h) {
  const double n = static_cast<double>(training.count()), d = static_cast<double>(training.width);
  double sum = 0;
  for (std::size_t r = 0; r < training.count(); ++r) {
    double s = 0;
    for (std::size_t j = 0; j < training.width; ++j)
      s += std::pow(static_cast<double>(x[j]) - training.rows().row(r)[j], 2);
    sum += std::exp(-s / (2 * h * h));
  }
  return -std::log(sum / n) + d / 2 * std::log(2 * std::numbers::pi * h * h);
}

// The rules, as the papers have them, on the mean of the population deviations.
double mean_deviation(const Table& table) {
  double total = 0;
  for (std::size_t j = 0; j < table.width; ++j) {
    double mean = 0, squares = 0;
    for (std::size_t i = 0; i < table.count(); ++i) mean += table.rows().row(i)[j];
    mean /= static_cast<double>(table.count());
    for (std::size_t i = 0; i < table.count(); ++i) squares += std::pow(table.rows().row(i)[j] - mean, 2);
    total += std::sqrt(squares / static_cast<double>(table.count()));
  }
  return total / static_cast<double>(table.width);
}

double median_distance(const Table& table) {
  std::vector<double> distances;
  for (std::size_t a = 0; a < table.count(); ++a)
    for (std::size_t b = 0; b < a; ++b) {
      double squares = 0;
      for (std::size_t j = 0; j < table.width; ++j)
        squares += std::pow(table.rows().row(a)[j] - table.rows().row(b)[j], 2);
      distances.push_back(std::sqrt(squares));
    }
  std::sort(distances.begin(), distances.end());
  return distances[distances.size() / 2];
}

TEST(KernelDensity, IsMinusTheLogDensity) {
  Table training = normal_rows(120, 3, 1);
  training.append(training.rows().slice(0, 10));
  const Table queries = normal_rows(30, 3, 2, 1.5);
  const double n = 130, d = 3, deviation = mean_deviation(training);
  const std::pair<std::string, double> rules[] = {
      {"median", median_distance(training) / 2},
      {"scott", std::pow(n, -1 / (d + 4)) * deviation},
      {"silverman", std::pow(n * (d + 2) / 4, -1 / (d + 4)) * deviation},
      {"0.25", 0.25},
  };
  for (const auto& [bandwidth, h] : rules) {
    const auto found = scores(*fitted("kernel_density", {{"bandwidth", bandwidth}}, training), queries);
    for (std::size_t i = 0; i < found.size(); ++i)
      EXPECT_NEAR(found[i], minus_log_density(training, queries.rows().row(i), h), 2e-4) << bandwidth;
  }
}

TEST(KernelDensity, TheMedianDistanceOfManyRowsIsThatOfSome) {
  const Table training = normal_rows(3000, 4, 8);
  const Table query(4, {2, 0, 0, 0});
  const double found = scores(*fitted("kernel_density", {}, training), query)[0];
  const double h = median_distance(training) / 2;
  const auto at = [&](double times) { return minus_log_density(training, query.rows().row(0), h * times); };
  EXPECT_GT(found, std::min(at(0.95), at(1.05)));
  EXPECT_LT(found, std::max(at(0.95), at(1.05)));
}

TEST(KernelDensity, WhereMostRowsAreTheSameTheirDeviationSetsTheBandwidth) {
  Table training(2);
  for (int i = 0; i < 40; ++i) training.append(Table(2, {1, 2}).rows());
  training.append(normal_rows(5, 2, 9).rows());
  const Table query(2, {0, 0});
  EXPECT_EQ(scores(*fitted("kernel_density", {}, training), query)[0],
            scores(*fitted("kernel_density", {{"bandwidth", "scott"}}, training), query)[0]);
}

TEST(KernelDensity, FarRowsKeepTheirOrder) {
  // Where every kernel underflows in the usual arithmetic, the score still grows with the distance.
  const Table training = normal_rows(50, 2, 3);
  const auto found =
      scores(*fitted("kernel_density", {}, training), Table(2, {50, 0, 500, 0, 5000, 0, 5e9f, 0}));
  for (std::size_t i = 1; i < found.size(); ++i) EXPECT_GT(found[i], found[i - 1]);
}

TEST(KernelDensity, LeavingOneOutIsFittingWithoutIt) {
  Table training = normal_rows(40, 2, 4);
  training.append(training.rows().slice(0, 3));
  const std::map<std::string, std::string> given = {{"bandwidth", "0.4"}};
  const auto left_out = leave_one_out(*fitted("kernel_density", given, training));
  for (std::size_t i = 0; i < training.count(); ++i) {
    Table row(2);
    row.append(training.rows().slice(i, i + 1));
    EXPECT_NEAR(left_out[i], scores(*fitted("kernel_density", given, without(training, i)), row)[0], 1e-4)
        << i;
  }
  EXPECT_THAT(leave_one_out(*fitted("kernel_density", {}, Table(2, {1, 2}))), ::testing::IsEmpty());
}

TEST(KernelDensity, ContributionsFollowTheDistanceToTheMass) {
  const Table training(2, {0, 0});
  const auto parts =
      contributions(*fitted("kernel_density", {{"bandwidth", "1"}}, training), Table(2, {1, 3}));
  EXPECT_NEAR(parts.values[0], 0.5, 1e-5);
  EXPECT_NEAR(parts.values[1], 4.5, 1e-5);
}

}  // namespace
}  // namespace lanner::engine
