#include "engine/calibrate/trim.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <vector>

#include "engine/calibrate/calibrate.hpp"
#include "tests/engine/calibrate/scores.hpp"

namespace lanner::engine {
namespace {

std::vector<float> sorted_draw(std::mt19937_64& random, const test::Distribution& distribution,
                               std::size_t count) {
  std::vector<float> scores(count);
  for (float& score : scores) score = static_cast<float>(distribution.upper_quantile(test::uniform(random)));
  std::sort(scores.begin(), scores.end());
  return scores;
}

TEST(Trim, CleanScoresAreRarelyTouched) {
  for (const auto& distribution : test::distributions)
    for (const std::size_t n : {100u, 1000u, 3000u}) {
      std::mt19937_64 random(n);
      const int runs = n == 3000 ? 20 : 60;
      std::size_t touched = 0, trimmed = 0;
      for (int run = 0; run < runs; ++run) {
        const Trim trim = suspected(sorted_draw(random, distribution, n));
        touched += trim.trimmed() > 0;
        trimmed += trim.trimmed();
      }
      // Seeded: what is asserted is the documented "rarely" (under 5 % of calibrations), with room for 60
      // draws.
      EXPECT_LE(touched, 5u) << distribution.name << ", n " << n;
      EXPECT_LE(static_cast<double>(trimmed) / runs, 1.0) << distribution.name << ", n " << n;
    }
}

TEST(Trim, ASeparatedGroupGoesAndNothingElse) {
  std::mt19937_64 random(3);
  for (const std::size_t anomalies : {2u, 10u, 50u, 100u}) {
    auto scores = sorted_draw(random, test::distributions[2], 1000);
    for (std::size_t i = 0; i < anomalies; ++i)
      scores.push_back(30 + static_cast<float>(test::uniform(random)));
    std::sort(scores.begin(), scores.end());
    const Trim trim = suspected(scores);
    EXPECT_EQ(trim.trimmed(), anomalies);
    EXPECT_LT(trim.expected, 0.1);
  }
}

TEST(Trim, OneFarScoreGoesAndOneNearStays) {
  std::mt19937_64 random(3);
  auto scores = sorted_draw(random, test::distributions[2], 1000);
  scores.push_back(100);
  EXPECT_EQ(suspected(scores).trimmed(), 1u);
  scores.back() = scores[999] + 1;
  EXPECT_EQ(suspected(scores).trimmed(), 0u);
}

TEST(Trim, WhereTheGroupsMeetTheExpectedCleanOnesAreKeptBack) {
  std::mt19937_64 random(5);
  auto scores = sorted_draw(random, test::distributions[2], 5000);
  for (int i = 0; i < 250; ++i) scores.push_back(7 + 10 * static_cast<float>(test::uniform(random)));
  std::sort(scores.begin(), scores.end());
  const Trim trim = suspected(scores);
  EXPECT_GT(trim.trimmed(), 150u);
  EXPECT_GE(trim.kept_back, 1u);
  EXPECT_GE(static_cast<double>(trim.kept_back), trim.expected - 0.1);
}

TEST(Trim, NeverMoreThanItsShareAndNeverFewScores) {
  std::mt19937_64 random(6);
  auto scores = sorted_draw(random, test::distributions[0], 1000);
  std::fill(scores.begin() + 700, scores.end(), 1000.0f);
  EXPECT_EQ(suspected(scores).trimmed(), 0u) << "three in ten are no contamination";
  auto few = sorted_draw(random, test::distributions[0], 99);
  few.back() = 1e30f;
  EXPECT_EQ(suspected(few).trimmed(), 0u);
}

TEST(Trim, AwkwardScoresAreSurvived) {
  constexpr float most = std::numeric_limits<float>::max(), least = std::numeric_limits<float>::denorm_min();
  std::vector<std::vector<float>> cases;
  cases.push_back(std::vector<float>(500, 3.0f));
  cases.push_back({});
  cases.push_back({1});
  std::vector<float> halves(500, 0.0f);
  std::fill(halves.begin() + 470, halves.end(), 1.0f);
  cases.push_back(halves);
  std::vector<float> extremes(500, -most);
  std::fill(extremes.begin() + 250, extremes.end(), most);
  cases.push_back(extremes);
  std::vector<float> small(500);
  for (std::size_t i = 0; i < small.size(); ++i) small[i] = static_cast<float>(i) * least;
  cases.push_back(small);
  std::vector<float> wide(500);
  for (std::size_t i = 0; i < wide.size(); ++i) wide[i] = std::exp2(static_cast<float>(i) / 2 - 125);
  cases.push_back(wide);
  for (auto& scores : cases) {
    const Trim trim = suspected(scores);
    EXPECT_LE(trim.suspects, scores.size() * 15 / 100);
    EXPECT_LE(trim.kept_back, trim.suspects);
    EXPECT_TRUE(std::isfinite(trim.expected));
    if (scores.empty()) continue;
    const auto calibration = calibrate(scores, {});
    EXPECT_FALSE(calibration.scores.empty());
    EXPECT_TRUE(std::is_sorted(calibration.scores.begin(), calibration.scores.end()));
    EXPECT_TRUE(std::isfinite(calibration.pareto.scale) && calibration.pareto.scale > 0);
  }
}

TEST(Calibrate, SortsReportsAndRefuses) {
  EXPECT_THROW(calibrate({}, {}), std::invalid_argument);
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_THROW(calibrate(std::vector<float>{1, infinity}, {}), std::invalid_argument);
  EXPECT_THROW(calibrate(std::vector<float>{1, std::nanf("")}, {}), std::invalid_argument);
  CalibrationReport report;
  const auto calibration = calibrate(std::vector<float>{3, -0.0f, 1, 2}, {}, &report);
  EXPECT_EQ(calibration.scores, (std::vector<float>{0, 1, 2, 3}));
  EXPECT_FALSE(std::signbit(calibration.scores[0]));
  EXPECT_FALSE(calibration.pareto.fitted);
  EXPECT_EQ(report.scores, 4u);
  EXPECT_EQ(report.trimmed, 0u);
  EXPECT_NE(report.tail.find("fewer than 100"), std::string::npos);
}

TEST(Calibrate, TrimmedScoresAreGoneAndCounted) {
  std::mt19937_64 random(8);
  auto scores = sorted_draw(random, test::distributions[2], 1000);
  for (int i = 0; i < 20; ++i) scores.push_back(50);
  std::shuffle(scores.begin(), scores.end(), random);
  CalibrationReport report;
  const auto calibration = calibrate(scores, {}, &report);
  EXPECT_EQ(report.trimmed, 20u);
  EXPECT_EQ(calibration.scores.size(), 1000u);
  EXPECT_LT(calibration.scores.back(), 50);
  EXPECT_EQ(calibrate(scores, {.trim = false}).scores.size(), 1020u);
}

}  // namespace
}  // namespace lanner::engine
