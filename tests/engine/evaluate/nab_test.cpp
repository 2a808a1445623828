#include "engine/evaluate/nab.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace lanner::engine {
namespace {

const NabProfile standard = nab_profiles()[0];
constexpr double infinity = std::numeric_limits<double>::infinity();

double sigma(double y) {
  return 2 / (1 + std::exp(5 * y)) - 1;
}

// 200 rows, probation 30.
NabSeries two_windows() {
  return {"two", 200, {{50, 59}, {120, 139}}};
}

std::vector<double> flags(const NabSeries& series, std::initializer_list<std::size_t> rows) {
  std::vector<double> scores(series.rows);
  for (const std::size_t row : rows) scores[row] = 1;
  return scores;
}

NabScore score_of(std::initializer_list<std::size_t> rows, const NabProfile& profile = standard) {
  return nab_score(two_windows(), flags(two_windows(), rows), 1, profile);
}

TEST(Nab, NothingFlaggedIsZeroAndTheFirstRowsAloneAreAHundred) {
  for (const NabProfile& profile : nab_profiles()) {
    EXPECT_DOUBLE_EQ(score_of({}, profile).normalised(), 0) << profile.name;
    EXPECT_DOUBLE_EQ(score_of({50, 120}, profile).normalised(), 100) << profile.name;
  }
  EXPECT_DOUBLE_EQ(score_of({}, nab_profiles()[2]).raw, -4);
}

TEST(Nab, ARowIsWorthLessTheLaterItComes) {
  EXPECT_NEAR(score_of({59}).raw, sigma(-0.1) / sigma(-1) - 1, 1e-14);
  EXPECT_NEAR(score_of({139}).raw, sigma(-0.05) / sigma(-1) - 1, 1e-14);
  EXPECT_NEAR(score_of({139}).raw, 0.12435300177159619 / 0.9866142981514303 - 1, 1e-12);
}

TEST(Nab, TheBestRowOfAWindowCounts) {
  const NabScore score = score_of({59, 52, 55});
  EXPECT_NEAR(score.raw, sigma(-0.8) / sigma(-1) - 1, 1e-14);
  EXPECT_EQ(score.found, 1u);
  EXPECT_EQ(score.windows, 2u);
  EXPECT_EQ(score.false_positives, 0u);
}

TEST(Nab, RowsOutsideCostMoreTheFurtherFromTheWindowBefore) {
  EXPECT_NEAR(score_of({40}).raw, -2 - 0.11, 1e-14) << "no window before";
  EXPECT_NEAR(score_of({63}).raw, -2 + 0.11 * sigma(4 / 9.0), 1e-14);
  EXPECT_NEAR(score_of({86}).raw, -2 - 0.11, 1e-14) << "three widths after";
  EXPECT_NEAR(score_of({145}).raw, -2 + 0.11 * sigma(6 / 19.0), 1e-14);
  EXPECT_EQ(score_of({40, 63, 145}).false_positives, 3u);
}

TEST(Nab, TheProbationCountsForNothing) {
  EXPECT_EQ(nab_probation(200), 30u);
  EXPECT_EQ(nab_probation(4032), 604u);
  EXPECT_EQ(nab_probation(5000), 750u);
  EXPECT_EQ(nab_probation(22'695), 750u);
  EXPECT_EQ(score_of({0, 29}).raw, -2);
  EXPECT_NEAR(score_of({30}).raw, -2.11, 1e-14);

  const NabSeries early{"early", 200, {{10, 29}, {100, 109}}};
  EXPECT_EQ(nab_score(early, flags(early, {12}), 1, standard).windows, 1u);
  const NabSeries astride{"astride", 200, {{10, 39}}};
  EXPECT_EQ(nab_score(astride, flags(astride, {12}), 1, standard).found, 0u);
  EXPECT_NEAR(nab_score(astride, flags(astride, {30}), 1, standard).raw, sigma(-10 / 30.0) / sigma(-1),
              1e-14);
}

TEST(Nab, AWindowOfOneRowIsFollowedByTheFullCost) {
  const NabSeries series{"narrow", 200, {{60, 60}}};
  EXPECT_NEAR(nab_score(series, flags(series, {60, 61}), 1, standard).raw, 1 - 0.11, 1e-14);
}

TEST(Nab, SeriesAddUp) {
  NabScore sum = score_of({50, 120});
  sum += score_of({});
  EXPECT_DOUBLE_EQ(sum.normalised(), 50);
  const NabSeries quiet{"quiet", 200, {}};
  const NabScore none = nab_score(quiet, flags(quiet, {}), 1, standard);
  EXPECT_TRUE(std::isnan(none.normalised()));
  EXPECT_FALSE(std::signbit(none.raw));
}

TEST(Nab, TheThresholdIsTheBestForAllSeriesTogether) {
  const NabSeries series = two_windows();
  // 0.9 finds a window, 0.6 costs rows elsewhere, 0.5 finds the other and is worth that, 0.1 is everywhere.
  std::vector<double> one(200, 0.1), other(200, 0.1);
  one[50] = 0.9;
  one[80] = one[81] = 0.6;
  one[120] = 0.5;
  other[50] = 0.9;
  other[170] = 0.6;
  const std::vector<NabSeries> corpus{series, series};
  EXPECT_EQ(nab_optimised_threshold(corpus, std::vector<std::vector<double>>{one, other}, standard), 0.5);
  // Nothing worth flagging.
  one.assign(200, 0.1);
  one[40] = 0.9;
  EXPECT_EQ(nab_optimised_threshold(std::vector<NabSeries>{{"none", 200, {}}},
                                    std::vector<std::vector<double>>{one}, standard),
            infinity);
}

TEST(Nab, WindowsThatOverlapOrLieOutsideAreRefused) {
  for (const auto& windows : {std::vector<NabWindow>{{50, 60}, {60, 70}}, {{50, 40}}, {{190, 200}}}) {
    const NabSeries series{"bad", 200, windows};
    EXPECT_THROW(nab_score(series, flags(series, {}), 1, standard), std::invalid_argument);
  }
  EXPECT_THROW(nab_score(two_windows(), std::vector<double>(199), 1, standard), std::invalid_argument);
}

}  // namespace
}  // namespace lanner::engine
