// `detector: auto`: the fit chooses, and the model is an ordinary one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/engine/model/models.hpp"

namespace lanner::engine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::Table;

// Two columns that go together, and others.
Table rows_of(std::size_t count, std::size_t width) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  Table table;
  table.width = width;
  for (std::size_t i = 0; i < count; ++i) {
    const float first = normal(random);
    for (std::size_t j = 0; j < width; ++j)
      table.values.push_back(j == 0 ? first : j == 1 ? first + 0.1f * normal(random) : normal(random));
  }
  return table;
}

TEST(Auto, TheModelIsTheChosenDetectorsAndSaysWhy) {
  const Table rows = rows_of(400, 3);
  const auto model =
      testing::fit(rows, testing::options_of("auto", {{"event_us_max", "2"}, {"scale", "robust"}}));
  EXPECT_EQ(model->detector().name, "mahalanobis");
  EXPECT_EQ(model->settings().word("scale"), "robust");
  EXPECT_FALSE(model->settings().values().contains("event_us_max"));
  const std::string& reasons = model->provenance().at("auto");
  EXPECT_THAT(reasons, AllOf(StartsWith("320 rows of 3 features; mahalanobis, because "),
                             HasSubstr("; not ensemble: ")))
      << "rows that are held out have no say";
  const auto again = Model::from_bytes(model->bytes());
  EXPECT_EQ(again->provenance().at("auto"), reasons);
}

TEST(Auto, TheModelIsWhatTheDetectorItselfWouldBe) {
  const Table rows = rows_of(300, 4);
  for (const char* calibration : {"0.2", "cross", "none"}) {
    const auto by_name = testing::fit(rows, testing::options_of("ensemble", {{"calibration", calibration}}));
    const auto chosen = testing::fit(rows, testing::options_of("auto", {{"calibration", calibration}}));
    EXPECT_EQ(testing::fitted_tensors(*chosen), testing::fitted_tensors(*by_name)) << calibration;
    EXPECT_EQ(chosen->settings().values(), by_name->settings().values());
    EXPECT_EQ(chosen->provenance().at("rows_calibrated_on"), by_name->provenance().at("rows_calibrated_on"));
    EXPECT_FALSE(by_name->provenance().contains("auto"));
  }
}

TEST(Auto, AHandfulOfRowsIsEnough) {
  for (const std::size_t count : {1, 2, 9}) {
    const auto model =
        testing::fit(rows_of(count, 3), testing::options_of("auto", {{"calibration", "none"}}));
    EXPECT_EQ(model->detector().name, "mahalanobis");
    EXPECT_EQ(model->settings().word("covariance"), "shrunk");
  }
}

TEST(Auto, ADetectorsOwnSettingsAreNotItsOwn) {
  try {
    testing::fit(rows_of(30, 2), testing::options_of("auto", {{"trees", "10"}, {"fit_s_mx", "3"}}));
    FAIL();
  } catch (const InvalidSettings& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("trees: found an unknown setting, allowed fit_s_max, event_us_max, "
                                "calibration, scale, trim, extrapolate"),
                      HasSubstr("(nearest: fit_s_max)")));
  }
  EXPECT_THROW(testing::fit(rows_of(30, 2), testing::options_of("auto", {{"event_us_max", "0"}})),
               InvalidSettings);
}

}  // namespace
}  // namespace lanner::engine
