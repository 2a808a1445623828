#include "engine/series/multivariate.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "tests/engine/series/made_series.hpp"

namespace lanner::engine {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

MultivariateParameters small_windows() {
  MultivariateParameters parameters;
  parameters.windows = {5, 30};
  return parameters;
}

std::shared_ptr<const MultivariateModel> model_of(const std::vector<double>& rows) {
  return std::make_shared<const MultivariateModel>(fit_multivariate(rows, 3, small_windows()));
}

TEST(RowWindows, MeansAndDeviationsByHand) {
  RowWindows windows(1, {2, 3}, 1);
  float row[5];
  const auto push = [&](double value) { windows.push({&value, 1}, row); };
  push(1);
  EXPECT_EQ(row[1], 1);
  EXPECT_EQ(row[3], 0);
  push(3);
  push(8);
  EXPECT_EQ(row[0], 8);
  EXPECT_FLOAT_EQ(row[1], 5.5);
  EXPECT_FLOAT_EQ(row[2], 4);
  EXPECT_FLOAT_EQ(row[3], 2.5);
  EXPECT_FLOAT_EQ(row[4], static_cast<float>(std::sqrt(26.0 / 3)));
  push(8);
  EXPECT_EQ(row[1], 8);
  EXPECT_EQ(row[3], 0) << "nothing is left of the rows before";
}

TEST(Multivariate, FindsMetricsThatNoLongerGoTogether) {
  const auto device = Device::cpu();
  MultivariateDetector detector(*device, model_of(machine(600, 3)));
  const std::vector<double> scores = detector.push_rows(machine(120, 4));
  const double quiet = *std::max_element(scores.begin() + 35, scores.begin() + 60);
  EXPECT_GT(*std::max_element(scores.begin() + 60, scores.end()), 1.5 * quiet);
}

TEST(Multivariate, OneByOneIsAsAllAtOnceToTheBit) {
  const auto device = Device::cpu();
  const auto model = model_of(machine(600, 3));
  const std::vector<double> rows = machine(300, 4);
  MultivariateDetector at_once(*device, model), singly(*device, model);
  const std::vector<double> scores = at_once.push_rows(rows);
  for (std::size_t i = 0; i < scores.size(); ++i)
    ASSERT_EQ(singly.push(std::span(rows).subspan(3 * i, 3)), scores[i]) << i;
}

TEST(Multivariate, ASnapshotGoesOnToTheBit) {
  const auto device = Device::cpu();
  const auto model = model_of(machine(600, 3));
  const std::vector<double> rows = machine(200, 4);
  MultivariateDetector whole(*device, model);
  const std::vector<double> scores = whole.push_rows(rows);
  for (const std::size_t cut : {1u, 2u, 29u, 30u, 77u, 130u}) {
    MultivariateDetector first(*device, model), second(*device, model);
    first.push_rows(std::span(rows).first(3 * cut));
    second.restore(first.snapshot());
    const std::vector<double> rest = second.push_rows(std::span(rows).subspan(3 * cut));
    EXPECT_TRUE(std::equal(rest.begin(), rest.end(), scores.begin() + static_cast<std::ptrdiff_t>(cut)))
        << cut;
    MultivariateDetector again(*device, model);
    again.restore(first.snapshot());
    std::vector<double> before(3), after(3);
    first.contributions(before);
    again.contributions(after);
    EXPECT_EQ(after, before) << cut;
  }
}

TEST(Multivariate, ContributionsAddUpToTheScore) {
  const auto device = Device::cpu();
  MultivariateParameters parameters = small_windows();
  parameters.smoothing = 20;  // more than are explained at a time
  MultivariateDetector detector(
      *device, std::make_shared<const MultivariateModel>(fit_multivariate(machine(600, 3), 3, parameters)));
  const std::vector<double> rows = machine(120, 4);
  double parts[3];
  for (std::size_t i = 0; i < 120; ++i) {
    const double score = detector.push(std::span(rows).subspan(3 * i, 3));
    detector.contributions(parts);
    EXPECT_NEAR(parts[0] + parts[1] + parts[2], score, 1e-5 * score) << i;
    for (const double part : parts) EXPECT_GE(part, 0) << i;
  }
}

TEST(Multivariate, ContributionsAreTheSplitOfTheDistanceByHand) {
  MultivariateParameters parameters;
  parameters.windows = {};
  parameters.neighbours = parameters.smoothing = 1;
  const std::vector<double> training{0, 0, 10, 10};
  const auto device = Device::cpu();
  MultivariateDetector detector(
      *device, std::make_shared<const MultivariateModel>(fit_multivariate(training, 2, parameters)));
  const double row[] = {3, 4};
  EXPECT_NEAR(detector.push(row), 0.5, 1e-6);
  double parts[2];
  detector.contributions(parts);
  EXPECT_NEAR(parts[0], 0.18, 1e-6);  // 0.5 * 9 / 25
  EXPECT_NEAR(parts[1], 0.32, 1e-6);
}

TEST(Multivariate, APlantedMetricRanksFirst) {
  constexpr std::size_t metrics = 6;
  const auto quiet = [](std::size_t rows, std::uint64_t seed) {
    Noise noise(seed);
    std::vector<double> values;
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < metrics; ++j)
        values.push_back(noise.next() + (j < 3 ? static_cast<double>(i % 50) * 40 : 0));
    return values;
  };
  const auto device = Device::cpu();
  const auto model = std::make_shared<const MultivariateModel>(fit_multivariate(quiet(1000, 5), metrics));
  std::vector<double> rows = quiet(3000, 6);
  // A lull, a burst or a level that stays, by turns, in one metric for twelve rows.
  std::vector<std::pair<std::size_t, std::size_t>> planted;
  for (std::size_t begin = 160; begin + 12 < 3000; begin += 140) {
    const std::size_t metric = planted.size() % metrics;
    for (std::size_t i = begin; i < begin + 12; ++i)
      rows[i * metrics + metric] = planted.size() % 3 == 0            ? -1500
                                   : i % 2 || planted.size() % 3 == 1 ? 5000
                                                                      : 4000;
    planted.emplace_back(begin + 11, metric);
  }
  MultivariateDetector detector(*device, model);
  std::size_t done = 0, first = 0;
  for (const auto& [row, metric] : planted) {
    detector.push_rows(std::span(rows).subspan(done * metrics, (row + 1 - done) * metrics));
    done = row + 1;
    std::vector<double> parts(metrics);
    detector.contributions(parts);
    first += static_cast<std::size_t>(std::ranges::max_element(parts) - parts.begin()) == metric;
  }
  EXPECT_GE(planted.size(), 20u);
  EXPECT_GE(10 * first, 9 * planted.size());
}

TEST(Multivariate, ContributionsNeedARowAndRoom) {
  const auto device = Device::cpu();
  MultivariateDetector detector(*device, model_of(machine(600, 3)));
  std::vector<double> parts(3);
  EXPECT_THROW(detector.contributions(parts), std::invalid_argument);
  detector.push(std::vector<double>{1, 2, 3});
  EXPECT_NO_THROW(detector.contributions(parts));
  parts.pop_back();
  EXPECT_THROW(detector.contributions(parts), std::invalid_argument);
}

TEST(Multivariate, ForeignSnapshotsAreRefused) {
  const auto device = Device::cpu();
  MultivariateDetector one(*device, model_of(machine(600, 3))), other(*device, model_of(machine(601, 3)));
  EXPECT_THROW(one.restore(other.snapshot()), std::invalid_argument);
  std::vector<std::byte> damaged = one.snapshot();
  damaged[20] ^= std::byte{1};
  EXPECT_THROW(one.restore(damaged), std::invalid_argument);
  EXPECT_THROW(one.restore({}), std::invalid_argument);
}

TEST(Multivariate, AMissingValueCountsAsTheLastOneThatWasThere) {
  const auto device = Device::cpu();
  const auto model = model_of(machine(600, 3));
  std::vector<double> gaps = machine(100, 4), filled = gaps;
  for (std::size_t row = 40; row < 45; ++row) {
    gaps[3 * row + 1] = row % 2 ? nan : -std::numeric_limits<double>::infinity();
    filled[3 * row + 1] = filled[3 * 39 + 1];
  }
  MultivariateDetector a(*device, model), b(*device, model);
  EXPECT_EQ(a.push_rows(gaps), b.push_rows(filled));
}

TEST(Multivariate, ValuesOutsideEveryRangeGiveFiniteScores) {
  std::vector<double> rows = machine(100, 3);
  rows[0] = 1e308;
  rows[3] = -1e308;
  const auto device = Device::cpu();
  MultivariateDetector detector(*device, model_of(rows));
  for (const double value : {1e308, -1e308, 0.0, nan}) {
    const double row[] = {value, value, value};
    EXPECT_TRUE(std::isfinite(detector.push(row))) << value;
  }
}

TEST(Multivariate, AConstantMetricDoesNoHarmUntilItMoves) {
  std::vector<double> rows = machine(400, 3);
  for (std::size_t i = 1; i < rows.size(); i += 3) rows[i] = 7;
  const auto device = Device::cpu();
  MultivariateDetector detector(*device, model_of(rows));
  const std::vector<double> scores = detector.push_rows(rows);
  EXPECT_LT(*std::max_element(scores.begin() + 40, scores.end()), 1);
  const double moved[] = {rows[0], 8, rows[2]};
  for (int i = 0; i < 4; ++i) detector.push(moved);
  EXPECT_GT(detector.push(moved), 1);
}

TEST(Multivariate, KeepsEvenlySpacedReferencesFromFirstToLast) {
  MultivariateParameters parameters = small_windows();
  parameters.references_max = 50;
  const MultivariateModel model = fit_multivariate(machine(1000, 3), 3, parameters);
  EXPECT_EQ(model.references.rows(), 50u);
  EXPECT_EQ(model.references.width, 15u);
}

TEST(Multivariate, WhatCannotBeLearnedFromIsRefused) {
  EXPECT_THROW(fit_multivariate({}, 3), std::invalid_argument);
  EXPECT_THROW(fit_multivariate(std::vector<double>(7), 3), std::invalid_argument);
  EXPECT_THROW(fit_multivariate(std::vector<double>{1, nan, 2, nan}, 2), std::invalid_argument);
  MultivariateParameters parameters;
  parameters.windows = {20, 5};
  EXPECT_THROW(fit_multivariate(std::vector<double>(9), 3, parameters), std::invalid_argument);
}

}  // namespace
}  // namespace lanner::engine
