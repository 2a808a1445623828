// Detectors that were fitted elsewhere become models by being calibrated.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/engine/detectors/scoring.hpp"
#include "tests/engine/model/models.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the tests' own folder
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Imported of_elsewhere(const Given& settings = {}) {
  return {"mahalanobis", fitted("mahalanobis", {}, normal_rows(300, 4, 1)), settings, "a test"};
}

std::shared_ptr<const Model> calibrated(const Records& records, const Given& settings = {},
                                        const Imported& imported = of_elsewhere()) {
  const auto device = Device::cpu();
  FitOptions options;
  options.settings = settings;
  options.seed = 7;
  return Model::calibrate(*device, fields_of(records.columns.size()), records, imported, options);
}

TEST(Imported, IsCalibratedOnAllRowsAndNotFittedAgain) {
  const Table rows = normal_rows(500, 4, 2);
  const Imported imported = of_elsewhere({{"shrinkage", "0.25"}});
  const auto model = calibrated(records_of(rows), {{"trim", "false"}}, imported);
  EXPECT_EQ(model->detector().name, "mahalanobis");
  EXPECT_EQ(model->settings().number("shrinkage"), 0.25);
  auto expected = scores(*imported.fitted, rows);
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(model->calibration()->scores, expected);
  TensorWriter writer;
  imported.fitted->save(writer);
  EXPECT_EQ(fitted_tensors(*model), writer.bytes());
  ASSERT_TRUE(model->drift());
  EXPECT_EQ(model->drift()->rows, 500u);
  const auto& provenance = model->provenance();
  EXPECT_EQ(provenance.at("imported"), "a test");
  EXPECT_EQ(provenance.at("calibration"), "all rows");
  EXPECT_EQ(provenance.at("rows_calibrated_on"), "500");
  EXPECT_EQ(provenance.at("seed"), "7");
  EXPECT_FALSE(provenance.contains("rows_fitted_on"));
  EXPECT_EQ(Model::from_bytes(model->bytes())->provenance(), provenance);
}

TEST(Imported, TrimsAsAFitDoes) {
  Table rows = normal_rows(500, 4, 3);
  rows.append(normal_rows(25, 4, 4, 1, 40).rows());
  const auto model = calibrated(records_of(rows));
  EXPECT_NE(model->provenance().at("rows_trimmed"), "0");
  EXPECT_LT(model->calibration()->scores.back(), 100);
}

TEST(Imported, TakesSegmentsAndFeatures) {
  const Table rows = normal_rows(400, 4, 5);
  Records records = records_of(rows);
  Schema schema = fields_of(4);
  schema.entity = "machine";
  for (std::size_t i = 0; i < 400; ++i) records.entity.push_back(i % 4 == 0 ? "small" : "large");
  records.columns[1].numbers[3] = absent;
  FitOptions options;
  options.settings = {{"segment", "machine"}, {"segment_rows", "150"}};
  options.features = identity_features(schema, Scale::none);
  options.features[1].missing = Missing::median;
  const auto device = Device::cpu();
  const auto model = Model::calibrate(*device, schema, records, of_elsewhere(), options);
  ASSERT_TRUE(model->segments());
  EXPECT_EQ(model->segments()->segments.names().size(), 1u);
  EXPECT_EQ(model->segments()->own.front().scores.size(), 300u);
  EXPECT_EQ(model->provenance().at("rows_refused"), "0");
}

TEST(Imported, NeedsNoCalibration) {
  const auto model = calibrated(records_of(normal_rows(30, 4, 6)), {{"calibration", "none"}});
  EXPECT_FALSE(model->calibration());
  EXPECT_FALSE(model->drift());
  EXPECT_EQ(model->provenance().at("rows_calibrated_on"), "0");
  EXPECT_TRUE(model->examples());
}

TEST(Imported, RefusesWhatWouldChangeItsRows) {
  const Records records = records_of(normal_rows(50, 4, 8));
  const auto refused = [&](const Given& settings, const std::string& text) {
    EXPECT_THAT([&] { calibrated(records, settings); },
                ThrowsMessage<std::invalid_argument>(HasSubstr(text)));
  };
  refused({{"scale", "robust"}}, "scale: found 'robust', allowed none");
  refused({{"calibration", "cross"}}, "calibration: found 'cross'");
  refused({{"trimm", "true"}}, "trimm");
  refused({{"segment", "colour"}}, "segment: found 'colour'");
  EXPECT_THAT([&] { calibrated(records_of(normal_rows(50, 3, 8))); },
              ThrowsMessage<std::invalid_argument>(
                  HasSubstr("found rows of 3 features, allowed those of the imported mahalanobis: 4")));
  Records refused_all = records;
  for (double& value : refused_all.columns[2].numbers) value = absent;
  EXPECT_THAT([&] { calibrated(refused_all); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("every row is refused")));
}

}  // namespace
}  // namespace lanner::engine
