// A model from its fit to its file and back: the same scores, the same hash, and what it says of itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "tests/engine/model/models.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the detectors' own test rows
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "lanner-model-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path_); }
  std::filesystem::path operator/(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

class EveryDetector : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryDetector, WhatIsSavedLoadsToTheSameScoresAndPValues) {
  const Folder folder;
  const Table training = normal_rows(120, 3, 1), queries = queries_for(training, 2);
  for (const char* calibration : {"0.2", "cross", "none"}) {
    SCOPED_TRACE(calibration);
    const auto model =
        fit(training, options_of(GetParam(), {{"calibration", calibration}, {"scale", "robust"}}));
    const auto path = folder / "x.lanner";
    model->save(path);
    const Scored expected = score(model, queries.rows());
    for (const auto& loaded : {Model::load(path), Model::from_bytes(model->bytes())}) {
      EXPECT_TRUE(score(loaded, queries.rows()) == expected);
      EXPECT_EQ(loaded->bytes(), model->bytes());
      EXPECT_EQ(loaded->hash(), model->hash());
      EXPECT_EQ(loaded->name(), model->name());
      EXPECT_EQ(&loaded->detector(), &model->detector());
      EXPECT_EQ(loaded->settings().values(), model->settings().values());
      EXPECT_EQ(loaded->features().to_json(), model->features().to_json());
      EXPECT_EQ(loaded->provenance(), model->provenance());
      EXPECT_EQ(loaded->calibration().has_value(), calibration != std::string("none"));
      EXPECT_EQ(fitted_tensors(*loaded), fitted_tensors(*model));
      if (loaded->calibration()) {
        EXPECT_EQ(loaded->calibration()->scores, model->calibration()->scores);
      }
    }
  }
}

TEST_P(EveryDetector, TheHashIsThatOfTheBytesAndRepeats) {
  const Table training = normal_rows(80, 2, 3);
  const FitOptions options = options_of(GetParam(), {});
  const auto first = fit(training, options), second = fit(training, options);
  EXPECT_EQ(first->hash(), sha256(first->bytes()));
  EXPECT_EQ(first->hash().substr(0, 7), "sha256:");
  EXPECT_EQ(first->hash().size(), 71u);
  EXPECT_EQ(first->hash(), second->hash());
  EXPECT_EQ(first->bytes(), second->bytes());
  for (const unsigned threads : {1u, 3u}) {
    const auto device = Device::cpu({chosen_cpu_tier(), threads});
    EXPECT_EQ(Model::fit(*device, fields_of(2), records_of(training), options)->hash(), first->hash())
        << threads << " threads";
  }
}

TEST_P(EveryDetector, TheHashTellsApart) {
  const Table training = normal_rows(80, 2, 3);
  std::set<std::string> hashes{fit(training, options_of(GetParam(), {}))->hash()};
  const auto expect_new = [&](const Table& rows, const FitOptions& options) {
    EXPECT_TRUE(hashes.insert(fit(rows, options)->hash()).second);
  };
  expect_new(training, options_of(GetParam(), {}, 2));
  expect_new(training, options_of(GetParam(), {{"calibration", "0.3"}}));
  expect_new(training, options_of(GetParam(), {{"calibration", "none"}}));
  expect_new(training, options_of(GetParam(), {{"scale", "minmax"}}));
  FitOptions named = options_of(GetParam(), {});
  named.name = "another";
  expect_new(training, named);
  Table other = training;
  other.at(7, 1) += 0.25f;
  expect_new(other, options_of(GetParam(), {}));
}

INSTANTIATE_TEST_SUITE_P(Catalogue, EveryDetector, ::testing::ValuesIn(detector_names()),
                         [](const auto& info) { return info.param; });

TEST(Model, RowsThatAreRefusedAreCountedAndLeftOut) {
  const Table clean = normal_rows(60, 2, 4);
  Records records = records_of(clean);
  // Five more rows: two that the features refuse, two that the decoder did, one that both do.
  for (int i = 0; i < 5; ++i) {
    records.columns[0].numbers.push_back(i < 2 ? absent : 1e6);
    records.columns[1].numbers.push_back(i == 4 ? std::numeric_limits<double>::infinity() : 1);
  }
  records.count = 65;
  for (const std::uint32_t row : {62u, 63u, 64u}) records.refused.push_back({row, "time: not a number"});
  const FitOptions options =
      options_of("nearest_neighbours", {{"calibration", "none"}, {"scale", "standard"}});
  const auto model = fit(records, options), expected = fit(clean, options);
  EXPECT_EQ(model->provenance().at("rows"), "65");
  EXPECT_EQ(model->provenance().at("rows_refused"), "5");
  EXPECT_EQ(model->provenance().at("rows_fitted_on"), "60");
  EXPECT_EQ(fitted_tensors(*model), fitted_tensors(*expected));
  EXPECT_EQ(model->features().to_json(), expected->features().to_json());
}

TEST(Model, EveryRowRefusedIsAnErrorWithTheFirstReason) {
  const auto reason = [](Records records) -> std::string {
    try {
      fit(records, options_of("histogram", {}));
      return "";
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
  };
  Records records = records_of(normal_rows(3, 2, 5));
  EXPECT_EQ(reason(records), "");
  records.columns[0].numbers = {absent, absent, absent};
  EXPECT_EQ(reason(records), "every row is refused, the first for: x0: missing");
  records = records_of(normal_rows(2, 2, 5));
  records.refused = {{0, "not JSON"}, {1, "not an object"}};
  EXPECT_NE(reason(records), "");
  EXPECT_NE(reason(records_of(Table(2))), "");
}

TEST(Model, Provenance) {
  const Table training = normal_rows(50, 2, 6);
  const auto of = [&](const char* calibration, const char* detector = "nearest_neighbours") {
    return fit(training, options_of(detector, {{"calibration", calibration}}, 9))->provenance();
  };
  const auto held_out = of("0.3");
  EXPECT_EQ(held_out.at("rows"), "50");
  EXPECT_EQ(held_out.at("rows_refused"), "0");
  EXPECT_EQ(held_out.at("rows_fitted_on"), "35");
  EXPECT_EQ(held_out.at("rows_calibrated_on"), "15");
  EXPECT_EQ(held_out.at("rows_trimmed"), "0");
  EXPECT_EQ(held_out.at("calibration"), "held out");
  EXPECT_EQ(held_out.at("seed"), "9");
  EXPECT_FALSE(held_out.at("tail").empty());
  const std::vector<float>& values = training.values;
  EXPECT_EQ(held_out.at("rows_sha256"), sha256(std::as_bytes(std::span(values))));

  const auto leave_one_out = of("cross"), folds = of("cross", "histogram"), none = of("none");
  EXPECT_EQ(leave_one_out.at("calibration"), "leave one out");
  EXPECT_EQ(folds.at("calibration"), "5 folds");
  for (const auto* cross : {&leave_one_out, &folds}) {
    EXPECT_EQ(cross->at("rows_fitted_on"), "50");
    EXPECT_EQ(cross->at("rows_calibrated_on"), "50");
  }
  EXPECT_EQ(none.at("calibration"), "none");
  EXPECT_EQ(none.at("rows_fitted_on"), "50");
  EXPECT_EQ(none.at("rows_calibrated_on"), "0");
  EXPECT_FALSE(none.contains("tail"));
  EXPECT_EQ(none.at("rows_sha256"), held_out.at("rows_sha256"));
}

std::vector<SettingError> faults(const std::string& detector, const Given& given) {
  FitOptions options;
  options.detector = detector;
  options.settings = given;
  try {
    fit(normal_rows(20, 2, 7), options);
  } catch (const InvalidSettings& error) {
    return error.errors();
  }
  return {};
}

TEST(Model, SettingsThatAreNoneNameKeyAllowedAndNearest) {
  EXPECT_TRUE(faults("nearest_neighbours", {{"k", "3"}, {"trim", "no"}}).empty());
  struct Case {
    std::string detector, key, value, found, allowed, nearest;
  };
  const std::string numbers_of_k =
      "a whole number from 1 to 1000000, a share of the rows between 0 and 1, or auto";
  const Case cases[] = {
      {"nearest_neighbors", "", "", "'nearest_neighbors'", "nearest_neighbours, local_outlier_factor, ",
       "nearest_neighbours"},
      {"", "", "", "''", "nearest_neighbours, ", ""},
      {"nearest_neighbours", "calibraton", "0.2", "an unknown setting", "k, distance, calibration, scale, ",
       "calibration"},
      {"nearest_neighbours", "K", "5", "an unknown setting", "k, distance, ", "k"},
      {"nearest_neighbours", "bins", "5", "an unknown setting", "k, distance, ", ""},
      {"nearest_neighbours", "calibration", "1", "1", "a number from 0.001 to 0.9, or cross or none", ""},
      {"nearest_neighbours", "calibration", "0", "0", "a number from 0.001 to 0.9, or cross or none", ""},
      {"nearest_neighbours", "calibration", "crss", "crss", "a number from 0.001 to 0.9, or cross or none",
       "cross"},
      {"nearest_neighbours", "scale", "standrad", "standrad", "none, standard, robust or minmax", "standard"},
      {"nearest_neighbours", "trim", "maybe", "maybe", "true or false", ""},
      {"nearest_neighbours", "k", "0", "0", "", ""},
      {"histogram", "rule", "equal_widht", "equal_widht", "equal_width or equal_count", "equal_width"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.detector + " " + c.key + "=" + c.value);
    const auto errors = faults(c.detector, c.key.empty() ? Given{} : Given{{c.key, c.value}});
    ASSERT_EQ(errors.size(), 1u);
    EXPECT_EQ(errors[0].name, c.key.empty() ? "detector" : c.key);
    EXPECT_EQ(errors[0].found, c.found);
    EXPECT_THAT(errors[0].allowed, HasSubstr(c.allowed));
    EXPECT_EQ(errors[0].nearest, c.nearest);
  }
  EXPECT_EQ(faults("histogram", {{"bins", "1"}, {"calibration", "2"}, {"k", "4"}}).size(), 3u)
      << "all at once";
}

TEST(Model, BothTablesAreOffered) {
  const auto table = all_parameters("histogram");
  std::set<std::string_view> names;
  for (const Parameter& parameter : table) EXPECT_TRUE(names.insert(parameter.name).second) << parameter.name;
  for (const char* name : {"bins", "rule", "calibration", "scale", "trim", "extrapolate"})
    EXPECT_TRUE(names.contains(name)) << name;
  EXPECT_THROW(all_parameters("histogramm"), InvalidSettings);
  for (const Detector& detector : catalogue()) {
    names.clear();
    for (const Parameter& parameter : all_parameters(detector.name))
      EXPECT_TRUE(names.insert(parameter.name).second) << detector.name << " " << parameter.name;
  }
}

TEST(Model, TheScaleIsThatOfFeaturesWithNoneDeclared) {
  const Table training = normal_rows(60, 2, 8, 5, 100);
  FitOptions options = options_of("nearest_neighbours", {{"scale", "standard"}});
  options.features = identity_features(fields_of(2), Scale::none);
  options.features[1].scale = Scale::minmax;
  const auto model = fit(training, options);
  EXPECT_EQ(model->features().specs()[0].scale, Scale::standard);
  EXPECT_EQ(model->features().specs()[1].scale, Scale::minmax);
  options.settings.erase("scale");
  EXPECT_EQ(fit(training, options)->features().specs()[0].scale, Scale::none);
  EXPECT_TRUE(fit(training, options_of("nearest_neighbours", {}))->features().is_identity());
}

TEST(Model, ProgressNeverGoesBackAndEndsDone) {
  const auto device = Device::cpu();
  const Records records = records_of(normal_rows(60, 2, 9));
  for (const std::string& detector : detector_names())
    for (const char* calibration : {"0.2", "cross", "none"}) {
      SCOPED_TRACE(detector + " " + calibration);
      double last = 0;
      int steps = 0;
      Model::fit(*device, fields_of(2), records, options_of(detector, {{"calibration", calibration}}),
                 [&](double done, std::string_view what) {
                   EXPECT_GE(done, last);
                   EXPECT_LE(done, 1);
                   EXPECT_FALSE(what.empty());
                   last = done;
                   ++steps;
                 });
      EXPECT_EQ(last, 1);
      EXPECT_GE(steps, 3);
    }
}

// Python ends a fit by throwing from its progress: Ctrl-C.
TEST(Model, ProgressIsToldWhileCalibrationRowsAreScoredAndMayEndTheFit) {
  struct Ended {};
  const auto device = Device::cpu();
  const Records records = records_of(normal_rows(50'000, 1, 9));
  std::vector<double> told;
  const auto fit_until = [&](std::size_t steps_max) {
    told.clear();
    Model::fit(*device, fields_of(1), records, options_of("histogram", {{"calibration", "0.4"}}),
               [&](double done, std::string_view what) {
                 if (what != "calibration rows scored") return;
                 told.push_back(done);
                 if (told.size() == steps_max) throw Ended{};
               });
  };
  fit_until(100);
  EXPECT_EQ(told.size(), 3u);  // pieces of 8192 rows, of 20,000
  EXPECT_THROW(fit_until(2), Ended);
  EXPECT_EQ(told.size(), 2u);
}

TEST(ModelScorer, RefusedRowsGetNoScoreAndAPValueOfOne) {
  const Table training = normal_rows(200, 3, 10), queries = queries_for(training, 11);
  const auto model = fit(training, options_of("nearest_neighbours", {}));
  const Scored all = score(model, queries.rows());
  std::vector<std::uint8_t> refused(queries.count());
  Table zeroed = queries;
  for (std::size_t row = 0; row < queries.count(); row += 3) {
    refused[row] = 1;
    for (std::size_t column = 0; column < 3; ++column) zeroed.at(row, column) = 0;
  }
  const Scored some = score(model, zeroed.rows(), refused);
  for (std::size_t row = 0; row < queries.count(); ++row) {
    if (refused[row]) {
      EXPECT_TRUE(std::isnan(some.scores[row]));
      EXPECT_EQ(some.p_values[row], 1);
      EXPECT_EQ(some.extrapolated[row], 0);
    } else {
      EXPECT_EQ(some.scores[row], all.scores[row]);
      EXPECT_EQ(some.p_values[row], all.p_values[row]);
      EXPECT_EQ(some.extrapolated[row], all.extrapolated[row]);
    }
  }
  EXPECT_TRUE(score(model, queries.rows(), std::vector<std::uint8_t>(queries.count())) == all);
}

TEST(ModelScorer, TheScoreIsTheDetectorsOwn) {
  const Table training = normal_rows(100, 3, 12), queries = queries_for(training, 13);
  const auto device = Device::cpu();
  for (const std::string& detector : detector_names()) {
    const auto model = fit(training, options_of(detector, {}));
    const auto scorer = model->fitted().resident(*device);
    auto workspace = device->array<std::byte>(scorer->workspace_bytes(queries.count()));
    std::vector<float> scores(queries.count());
    Stream stream = device->stream();
    scorer->score(stream, queries.rows(), workspace.span(), scores);
    EXPECT_EQ(score(model, queries.rows()).scores, scores) << detector;
  }
}

TEST(ModelScorer, SpansWithNoRoomAreRefused) {
  const Table training = normal_rows(50, 2, 14);
  const auto device = Device::cpu();
  const ModelScorer scorer(fit(training, options_of("histogram", {})), *device);
  auto workspace = device->array<std::byte>(scorer.workspace_bytes(50));
  Stream stream = device->stream();
  std::vector<float> scores(50);
  std::vector<double> p_values(50);
  std::vector<std::uint8_t> extrapolated(50), refused(50);
  const auto attempt = [&](std::size_t s, std::size_t p, std::size_t e, std::size_t r) {
    scorer.score(stream, training.rows(), std::span(refused).first(r), workspace.span(),
                 std::span(scores).first(s), std::span(p_values).first(p), std::span(extrapolated).first(e));
  };
  EXPECT_NO_THROW(attempt(50, 50, 50, 0));
  EXPECT_NO_THROW(attempt(50, 50, 50, 50));
  EXPECT_THROW(attempt(49, 50, 50, 50), std::invalid_argument);
  EXPECT_THROW(attempt(50, 49, 50, 50), std::invalid_argument);
  EXPECT_THROW(attempt(50, 50, 49, 50), std::invalid_argument);
  EXPECT_THROW(attempt(50, 50, 50, 49), std::invalid_argument);
}

}  // namespace
}  // namespace lanner::engine
