#include "engine/choose/choose.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/detectors/detector.hpp"

namespace lanner::engine {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;

RowsSummary plain_rows(std::size_t rows, std::size_t columns) {
  return {rows, rows, columns, 0, 0};
}

TEST(Choose, OrdinaryRowsAreTheEnsembles) {
  const Choice choice = choose(plain_rows(5000, 12), {});
  EXPECT_EQ(choice.detector, "ensemble");
  EXPECT_TRUE(choice.settings.empty());
  ASSERT_EQ(choice.reasons.size(), 2u);
  EXPECT_EQ(choice.reasons[0], "5000 rows of 12 features");
  EXPECT_THAT(choice.reasons[1],
              AllOf(StartsWith("ensemble, because it ranks best"), HasSubstr("s to fit (allowed 60)"),
                    HasSubstr("us an event (allowed 1000)")));
}

TEST(Choose, WhatTheRowsAreIsSaid) {
  EXPECT_EQ(choose({400, 300, 9, 2, 3}, {}).reasons[0],
            "400 rows of 9 features (3 of two values, 2 constant), 25 % of them repeated");
  EXPECT_EQ(choose({40, 40, 1, 0, 0}, {}).reasons[0], "40 rows of 1 feature");
  EXPECT_EQ(choose({20, 19, 5, 1, 0}, {}).reasons[0],
            "20 rows of 5 features (1 constant), 5 % of them repeated");
}

// As the time for an event shrinks: fewer rows to search among, then what searches none, then a look-up.
TEST(Choose, TheTimeOfAnEventIsKept) {
  const RowsSummary rows = plain_rows(20'000, 50);
  struct Step {
    double event_us_max;
    std::string detector, among;
  };
  for (const auto& [event_us_max, detector, among] :
       {Step{1000, "ensemble", ""}, Step{100, "ensemble", "3000"}, Step{30, "ensemble", "1000"},
        Step{5, "mahalanobis", ""}, Step{0.05, "histogram", ""}}) {
    const Choice choice = choose(rows, {.event_us_max = event_us_max});
    EXPECT_EQ(choice.detector, detector) << event_us_max;
    EXPECT_EQ(choice.settings.contains("rows") ? choice.settings.at("rows") : "", among) << event_us_max;
    EXPECT_LE(choice.cost.event_us, event_us_max);
  }
  EXPECT_THAT(
      choose(rows, {.event_us_max = 30}).reasons,
      ElementsAre(
          "20000 rows of 50 features",
          AllOf(StartsWith("ensemble (rows=1000), because the first of the order that keeps the budget"),
                HasSubstr("(allowed 30)")),
          AllOf(StartsWith("not ensemble: about "), HasSubstr("us an event (allowed 30)")),
          AllOf(StartsWith("not ensemble (rows=3000): about "), HasSubstr("us an event (allowed 30)"))));
}

TEST(Choose, WideRowsAreTheForestsWhereACovarianceTakesTooLong) {
  const Choice choice = choose(plain_rows(20'000, 800), {.event_us_max = 2});
  EXPECT_EQ(choice.detector, "isolation_forest");
  EXPECT_EQ(choose(plain_rows(20'000, 800), {.event_us_max = 0.5}).detector, "histogram");
  EXPECT_EQ(choose(plain_rows(20'000, 20), {.fit_s_max = 0.04, .event_us_max = 0.5}).detector, "copod");
}

TEST(Choose, TheTimeOfAFitIsKept) {
  const RowsSummary large = plain_rows(1'000'000, 30);
  const Choice by_default = choose(large, {});
  EXPECT_EQ(by_default.detector, "ensemble") << "which draws some of so many rows";
  EXPECT_LE(by_default.cost.fit_s, 60);
  EXPECT_EQ(choose(large, {.fit_s_max = 3}).settings.at("rows"), "3000");
  const Choice hasty = choose(large, {.fit_s_max = 0.5});
  EXPECT_EQ(hasty.detector, "isolation_forest");
  EXPECT_THAT(hasty.reasons, ::testing::Contains(AllOf(StartsWith("not mahalanobis: about "),
                                                       HasSubstr("s to fit (allowed 0.5)"))));
}

TEST(Choose, CalibrationIsPartOfTheFit) {
  const RowsSummary rows = plain_rows(9000, 20);
  const Choice once = choose(rows, {.fit_s_max = 10});
  EXPECT_EQ(once.detector, "ensemble");
  EXPECT_TRUE(once.settings.empty());
  EXPECT_EQ(choose(rows, {.fit_s_max = 10}, {.fits = 5}).settings.at("rows"), "3000");
  const Choice scoring = choose(rows, {.fit_s_max = 10}, {.rows_to_score = 1e6});
  EXPECT_EQ(scoring.detector, "mahalanobis");
  EXPECT_GT(scoring.cost.fit_s, choose(rows, {.fit_s_max = 0.5}).cost.fit_s);
}

TEST(Choose, FewRowsAreACovariancesWhichIsShrunk) {
  const Choice few = choose(plain_rows(9, 4), {});
  EXPECT_EQ(few.detector, "mahalanobis");
  EXPECT_THAT(few.settings, ElementsAre(Pair("covariance", "shrunk")));
  EXPECT_THAT(few.reasons[1], HasSubstr("fewer than 10 rows"));
  EXPECT_EQ(choose(plain_rows(10, 4), {}).detector, "ensemble");
}

// Neighbours are searched among distinct rows.
TEST(Choose, RepeatedRowsCostLess) {
  const TimeBudget budget{.event_us_max = 60};
  EXPECT_EQ(choose({10'000, 10'000, 20, 0, 0}, budget).settings.count("rows"), 1u);
  EXPECT_EQ(choose({10'000, 3'000, 20, 0, 0}, budget).settings.count("rows"), 0u);
}

TEST(Choose, WhereNothingKeepsTheBudgetTheSoonestIsTakenAndItIsSaid) {
  const Choice choice = choose(plain_rows(5000, 100), {.event_us_max = 0.001});
  EXPECT_EQ(choice.detector, "histogram");
  EXPECT_THAT(choice.reasons[1], HasSubstr("none keeps the budget"));
  EXPECT_GT(choice.cost.event_us, 0.001);
}

// Whatever is chosen is in the catalogue, with settings that it takes, and its reasons can be taken apart.
TEST(Choose, EveryChoiceCanBeFitted) {
  for (const std::size_t rows : {1, 5, 50, 5000, 3'000'000})
    for (const std::size_t columns : {1, 30, 3000})
      for (const std::size_t distinct : {std::size_t{1}, rows})
        for (const double fit_s_max : {0.001, 1.0, 60.0})
          for (const double event_us_max : {0.001, 1.0, 1000.0}) {
            const Choice choice = choose({rows, distinct, columns, 0, 0}, {fit_s_max, event_us_max});
            const Detector* detector = find_detector(choice.detector);
            ASSERT_NE(detector, nullptr) << choice.detector;
            EXPECT_NO_THROW(Settings::parse(detector->parameters, choice.settings));
            for (const std::string& reason : choice.reasons) EXPECT_THAT(reason, Not(HasSubstr(";")));
          }
}

TEST(Choose, TheTablesDefaultsAreTheBudgets) {
  const TimeBudget of_table = time_budget(Settings::parse(auto_parameters(), {})), of_struct;
  EXPECT_EQ(of_table.fit_s_max, of_struct.fit_s_max);
  EXPECT_EQ(of_table.event_us_max, of_struct.event_us_max);
}

}  // namespace
}  // namespace lanner::engine
