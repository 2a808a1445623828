// What a model is calibrated on: rows that it was not fitted on, and nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/engine/model/models.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the detectors' own test rows

/// Everything that was learned but the calibration: the detector's tensors and the features' scales.
std::pair<std::vector<std::byte>, std::string> learned(const Model& model) {
  return {fitted_tensors(model), model.features().to_json()};
}

class HeldOut : public ::testing::TestWithParam<const char*> {};

// Which rows are held out is found from outside: those that can be changed without the fit noticing.
TEST_P(HeldOut, RowsAreNeitherFittedOnNorScaledBy) {
  // Nearest neighbours keep every row, so that each one leaves a trace.
  const FitOptions options =
      options_of("nearest_neighbours", {{"k", "2"}, {"calibration", "0.3"}, {"scale", GetParam()}}, 5);
  const Table training = normal_rows(40, 2, 1);
  const auto model = fit(training, options);
  const auto unchanged = learned(*model);
  Table all_changed = training;
  std::size_t held_out = 0;
  for (std::size_t row = 0; row < training.count(); ++row) {
    Table changed = training;
    changed.at(row, 0) += 1000;
    const auto refitted = fit(changed, options);
    if (learned(*refitted) == unchanged) {
      ++held_out;
      EXPECT_NE(refitted->calibration()->scores, model->calibration()->scores) << row;
      all_changed.at(row, 0) += 1000;
    } else {
      EXPECT_NE(fitted_tensors(*refitted), unchanged.first) << row;
    }
  }
  EXPECT_EQ(held_out, 12u);
  EXPECT_EQ(model->calibration()->scores.size(), 12u);
  EXPECT_TRUE(learned(*fit(all_changed, options)) == unchanged);
}

INSTANTIATE_TEST_SUITE_P(Scales, HeldOut, ::testing::Values("none", "standard", "robust", "minmax"),
                         [](const auto& info) { return info.param; });

TEST(Calibration, TheSeedChoosesWhichRowsAreHeldOut) {
  const Table training = normal_rows(100, 2, 2);
  const auto tensors = [&](std::uint64_t seed) {
    return fitted_tensors(*fit(training, options_of("nearest_neighbours", {}, seed)));
  };
  EXPECT_EQ(tensors(1), tensors(1));
  EXPECT_NE(tensors(1), tensors(2));
}

TEST(Calibration, AtLeastOneRowIsHeldOutAndOneIsLeft) {
  const auto calibrated_on = [](std::size_t rows, const char* calibration) {
    return fit(normal_rows(rows, 2, 3), options_of("histogram", {{"calibration", calibration}}))
        ->provenance()
        .at("rows_calibrated_on");
  };
  EXPECT_EQ(calibrated_on(2, "0.001"), "1");
  EXPECT_EQ(calibrated_on(10, "0.9"), "9");
  EXPECT_EQ(calibrated_on(2, "cross"), "2");
  EXPECT_EQ(calibrated_on(1, "none"), "0");
  EXPECT_THROW(calibrated_on(1, "0.5"), std::invalid_argument);
  EXPECT_THROW(calibrated_on(1, "cross"), std::invalid_argument);
}

TEST(Calibration, RefusedRowsAreNotHeldOutInPlaceOfGoodOnes) {
  Records records = records_of(normal_rows(100, 2, 4));
  for (std::uint32_t row = 0; row < 80; ++row) records.refused.push_back({row, "time: not a number"});
  const auto model = fit(records, options_of("nearest_neighbours", {{"calibration", "0.25"}}));
  EXPECT_EQ(model->provenance().at("rows_refused"), "80");
  EXPECT_EQ(model->provenance().at("rows_calibrated_on"), "5");
  EXPECT_EQ(model->provenance().at("rows_fitted_on"), "15");
}

/// The scores of rows by a model of the given others.
std::vector<float> scores_without(const Table& training, const std::vector<std::size_t>& left_out,
                                  const FitOptions& options) {
  Table rest(training.width), queries(training.width);
  for (std::size_t row = 0; row < training.count(); ++row) {
    const bool out = std::find(left_out.begin(), left_out.end(), row) != left_out.end();
    (out ? queries : rest).append(training.rows().slice(row, row + 1));
  }
  FitOptions whole = options;
  whole.settings["calibration"] = "none";
  return score(fit(rest, whole), queries.rows()).scores;
}

TEST(Calibration, CrossLeavesEachRowOut) {
  const Table training = normal_rows(40, 2, 5);
  const FitOptions options =
      options_of("nearest_neighbours", {{"k", "3"}, {"calibration", "cross"}, {"trim", "false"}});
  std::vector<float> expected;
  for (std::size_t row = 0; row < training.count(); ++row)
    expected.push_back(scores_without(training, {row}, options)[0]);
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(fit(training, options)->calibration()->scores, expected);
}

TEST(Calibration, CrossByFoldsScoresEveryRowUnseen) {
  // A histogram of two bins tells of every row alike, unless it hasn't seen any like it.
  Table training = normal_rows(50, 1, 6);
  const FitOptions options = options_of("histogram", {{"calibration", "cross"}, {"trim", "false"}});
  const auto model = fit(training, options);
  EXPECT_EQ(model->calibration()->scores.size(), 50u);
  // The fit is on all rows, and is that of no calibration at all.
  FitOptions none = options;
  none.settings["calibration"] = "none";
  EXPECT_EQ(fitted_tensors(*model), fitted_tensors(*fit(training, none)));
  // A row far from all others is scored by a fold that never saw it: higher than by the model that did.
  training.at(20, 0) = 1000;
  const auto shifted = fit(training, options);
  const Scored seen = score(shifted, training.rows());
  EXPECT_GT(shifted->calibration()->scores.back(), *std::max_element(seen.scores.begin(), seen.scores.end()));
}

TEST(Calibration, NoneMeansNoPValues) {
  const Table training = normal_rows(50, 2, 7), queries = queries_for(training, 8);
  const auto model = fit(training, options_of("nearest_neighbours", {{"calibration", "none"}}));
  EXPECT_FALSE(model->calibration().has_value());
  const Scored scored = score(model, queries.rows());
  for (std::size_t row = 0; row < queries.count(); ++row) {
    EXPECT_TRUE(std::isfinite(scored.scores[row]));
    EXPECT_EQ(scored.p_values[row], 1);
    EXPECT_EQ(scored.extrapolated[row], 0);
  }
}

TEST(Calibration, PValuesAreTheConformalOnes) {
  const Table training = normal_rows(200, 2, 9), queries = queries_for(training, 10);
  for (const char* calibration : {"0.4", "cross"}) {
    const auto model = fit(
        training, options_of("nearest_neighbours",
                             {{"calibration", calibration}, {"trim", "false"}, {"extrapolate", "false"}}));
    const std::vector<float>& known = model->calibration()->scores;
    const Scored scored = score(model, queries.rows());
    for (std::size_t row = 0; row < queries.count(); ++row) {
      const auto above =
          std::count_if(known.begin(), known.end(), [&](float other) { return other >= scored.scores[row]; });
      EXPECT_EQ(scored.p_values[row],
                (1.0 + static_cast<double>(above)) / (1.0 + static_cast<double>(known.size())));
      EXPECT_EQ(scored.extrapolated[row], 0);
    }
  }
}

TEST(Calibration, TrimAndExtrapolateAreHeeded) {
  // A tenth of the rows far away: anomalies that nobody marked.
  Table training = normal_rows(1000, 2, 11);
  for (std::size_t row = 0; row < 50; ++row) training.at(20 * row, 0) += 30 + 5 * static_cast<float>(row);
  const auto with = [&](const char* trim, const char* extrapolate) {
    return fit(
        training,
        options_of("nearest_neighbours",
                   {{"k", "5"}, {"calibration", "0.5"}, {"trim", trim}, {"extrapolate", extrapolate}}));
  };
  const auto trimmed = with("true", "true"), whole = with("false", "false");
  EXPECT_EQ(whole->calibration()->scores.size(), 500u);
  EXPECT_EQ(whole->provenance().at("rows_trimmed"), "0");
  EXPECT_FALSE(whole->calibration()->pareto.fitted);
  const auto count = static_cast<std::size_t>(std::stoul(trimmed->provenance().at("rows_trimmed")));
  EXPECT_GT(count, 10u);
  EXPECT_EQ(trimmed->calibration()->scores.size(), 500u - count);
  EXPECT_TRUE(trimmed->calibration()->pareto.fitted);
  const Table far(2, {1e4f, 0});
  EXPECT_EQ(score(trimmed, far.rows()).extrapolated[0], 1);
  EXPECT_LT(score(trimmed, far.rows()).p_values[0], score(whole, far.rows()).p_values[0]);
  EXPECT_EQ(score(whole, far.rows()).extrapolated[0], 0);
}

TEST(Calibration, WindowsSeeTheHeldOutRowsToo) {
  // One event a second of one customer: a window of ten seconds holds ten events, held out or not.
  Records records;
  records.count = 200;
  records.columns.resize(1);
  for (std::size_t i = 0; i < records.count; ++i) {
    records.columns[0].numbers.push_back(1);
    records.entity.push_back("customer");
    records.time.push_back(static_cast<std::int64_t>(i) * 1'000'000'000);
  }
  Schema schema = fields_of(1);
  schema.entity = "who";
  schema.time = "at";
  FitOptions options =
      options_of("nearest_neighbours", {{"k", "1"}, {"trim", "false"}, {"extrapolate", "false"}});
  FeatureSpec spec;
  spec.name = "per_ten_seconds";
  spec.kind = FeatureKind::count;
  spec.window_ns = 10'000'000'000;
  options.features = {spec};
  const auto device = Device::cpu();
  const auto model = Model::fit(*device, schema, records, options);
  EXPECT_EQ(model->provenance().at("rows_calibrated_on"), "40");
  const std::vector<float>& scores = model->calibration()->scores;
  EXPECT_GE(std::count(scores.begin(), scores.end(), 0.0f), 30)
      << "as many events in the window as the fit saw";
}

}  // namespace
}  // namespace lanner::engine
