// ecod and copod against their definitions, counted row by row.
#include "engine/detectors/empirical_tails.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/detectors/detector.hpp"
#include "tests/engine/detectors/awkward_rows.hpp"
#include "tests/engine/detectors/scoring.hpp"

namespace lanner::engine {
namespace {

using testing::Random;
using testing::Table;

struct Counted {
  double left, right;
};

Counted counted(Table& training, std::size_t feature, float x) {
  double not_above = 1, not_below = 1;
  const double n = static_cast<double>(training.count());
  for (std::size_t i = 0; i < training.count(); ++i) {
    not_above += training.at(i, feature) <= x;
    not_below += training.at(i, feature) >= x;
  }
  return {-std::log(not_above / (n + 1)), -std::log(not_below / (n + 1))};
}

std::vector<float> column(Table& table, std::size_t feature) {
  std::vector<float> values;
  for (std::size_t i = 0; i < table.count(); ++i) values.push_back(table.at(i, feature));
  return values;
}

double ecod_penalty(Table& training, std::size_t feature, float x) {
  const Counted tails = counted(training, feature, x);
  return std::max(tails.left, tails.right);
}

double copod_penalty(Table& training, std::size_t feature, float x) {
  const Counted tails = counted(training, feature, x);
  const double skew = skewness(column(training, feature));
  const double chance = 2 * std::sqrt(6.0 / static_cast<double>(training.count()));
  const double longer = std::fabs(skew) < chance ? tails.left + tails.right
                        : skew < 0               ? tails.left
                                                 : tails.right;
  return std::max((tails.left + tails.right) / 2, longer);
}

// Continuous and skewed both ways, small integers with ties, a constant, and zeros of both signs.
Table training_rows(std::size_t count) {
  Random random(5);
  Table rows(6);
  rows.values.resize(count * 6);
  for (std::size_t i = 0; i < count; ++i) {
    rows.at(i, 0) = static_cast<float>(random.normal());
    rows.at(i, 1) = static_cast<float>(std::exp(random.normal()));
    rows.at(i, 2) = static_cast<float>(-std::exp(random.normal()));
    rows.at(i, 3) = static_cast<float>(random.below(4));
    rows.at(i, 4) = 7;
    rows.at(i, 5) = i % 3 == 0 ? -0.0f : i % 3 == 1 ? 0.0f : 1.0f;
  }
  return rows;
}

class Tails : public ::testing::TestWithParam<std::string_view> {};

TEST_P(Tails, EveryPenaltyIsTheDefinitionsWithinTheStatedStep) {
  const auto penalty = GetParam() == "ecod" ? ecod_penalty : copod_penalty;
  for (const std::size_t count : {std::size_t{1}, std::size_t{2}, std::size_t{50}, std::size_t{3000}}) {
    SCOPED_TRACE(count);
    Table training = training_rows(count);
    Table queries = training_rows(std::min<std::size_t>(count, 40));
    const std::size_t known = queries.count();
    queries.append(training_rows(200).rows());
    for (float extreme : {-1e30f, 1e30f, std::nextafter(7.0f, 8.0f), std::nextafter(7.0f, 6.0f), 2.5f}) {
      const Table row(6, std::vector<float>(6, extreme));
      queries.append(row.rows());
    }
    Table parts = testing::contributions(*testing::fitted(GetParam(), {}, training), queries);
    for (std::size_t i = 0; i < queries.count(); ++i)
      for (std::size_t j = 0; j < 6; ++j) {
        const double expected = penalty(training, j, queries.at(i, j));
        EXPECT_NEAR(parts.at(i, j), expected, step_tolerance / 2 + 1e-5)
            << (i < known ? "training row " : "new row ") << i << ", feature " << j;
      }
  }
}

TEST_P(Tails, WhatIsRememberedGrowsWithTheRangeOfTheLogarithmsNotWithTheRows) {
  const auto bytes = [&](std::size_t rows) {
    TensorWriter writer;
    testing::fitted(GetParam(), {}, testing::normal_rows(rows, 1, 3))->save(writer);
    return writer.bytes().size();
  };
  EXPECT_LT(bytes(100'000), 40'000u);
}

INSTANTIATE_TEST_SUITE_P(Both, Tails, ::testing::Values("ecod", "copod"),
                         [](const auto& info) { return std::string(info.param); });

TEST(EmpiricalTails, TheTopOfTheFloatRangeIsAValueLikeAnother) {
  constexpr float largest = std::numeric_limits<float>::max();
  const auto left_of = [](TailDepth depth) { return depth.left; };
  for (const std::vector<float>& sorted :
       {std::vector<float>{largest}, {-largest, largest}, {1, std::nextafter(largest, 0.0f)}}) {
    density::Histograms tables;
    tables.edge_begin = tables.penalty_begin = {0};
    append_steps(tables, sorted, left_of);
    const auto device = Device::cpu();
    EXPECT_NO_THROW(density::make_histograms(*device, tables));
  }
}

TEST(EmpiricalTails, SkewnessIsThatOfTheSample) {
  const std::vector<float> values{1, 2, 3, 10};
  // m2 = 12.5, m3 = 45: by hand.
  EXPECT_NEAR(skewness(values), 45 / std::pow(12.5, 1.5), 1e-12);
  EXPECT_EQ(skewness(std::vector<float>{4, 4, 4}), 0);
}

}  // namespace
}  // namespace lanner::engine
