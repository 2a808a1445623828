#include "engine/series/series_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <stdexcept>

#include "engine/calibrate/calibrate.hpp"
#include "engine/model_file/tensors.hpp"
#include "engine/series/multivariate.hpp"
#include "tests/engine/series/made_series.hpp"

namespace lanner::engine {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr std::size_t metrics = 3;

Schema schema(const std::string& entity = "") {
  return {{{"cpu"}, {"memory"}, {"disk"}}, entity, "", ""};
}

Records records_of(std::span<const double> values) {
  Records records;
  records.count = values.size() / metrics;
  records.columns.resize(metrics);
  for (std::size_t i = 0; i < values.size(); ++i) records.columns[i % metrics].numbers.push_back(values[i]);
  return records;
}

SeriesFitOptions options(std::map<std::string, std::string> more = {}) {
  more.emplace("windows", "5,30");
  return {std::move(more), "machines"};
}

std::shared_ptr<const SeriesModel> fit(std::span<const double> values,
                                       std::map<std::string, std::string> more = {}) {
  const auto device = Device::cpu();
  return SeriesModel::fit(*device, schema(), records_of(values), options(std::move(more)));
}

TEST(SeriesModel, IsReadBackToTheBit) {
  const auto model = fit(machine(600, 3), {{"deviation_weight", "0.3"}, {"references_max", "100"}});
  const auto again = SeriesModel::from_bytes(model->bytes());
  EXPECT_EQ(again->hash(), model->hash());
  EXPECT_EQ(again->name(), "machines");
  EXPECT_EQ(again->schema(), schema());
  EXPECT_EQ(again->settings().values(), model->settings().values());
  EXPECT_EQ(again->provenance(), model->provenance());
  EXPECT_EQ(again->calibration()->scores, model->calibration()->scores);
  EXPECT_EQ(again->calibration()->pareto.scale, model->calibration()->pareto.scale);
  const auto &a = *model->learned(), &b = *again->learned();
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.range, b.range);
  EXPECT_EQ(a.typical, b.typical);
  EXPECT_EQ(a.references.values, b.references.values);
  EXPECT_EQ(a.references.members, b.references.members);
  EXPECT_EQ(fingerprint(a), fingerprint(b));
  EXPECT_EQ(fit(machine(600, 3), {{"deviation_weight", "0.3"}, {"references_max", "100"}})->bytes(),
            model->bytes());
  EXPECT_TRUE(is_series_model(model->bytes()));
}

TEST(SeriesModel, CalibratesOnTheLastRowsWhoseWindowsBeganAmongThem) {
  const std::vector<double> values = machine(600, 3);
  const auto model = fit(values, {{"trim", "false"}});
  EXPECT_EQ(model->provenance().at("rows_fitted_on"), "480");
  EXPECT_EQ(model->provenance().at("rows_calibrated_on"), "87");  // the 34th of 120 to the last
  MultivariateParameters parameters;
  parameters.windows = {5, 30};
  const auto learned = std::make_shared<const MultivariateModel>(
      fit_multivariate(std::span(values).first(480 * metrics), metrics, parameters));
  const auto device = Device::cpu();
  MultivariateDetector detector(*device, learned);
  const auto wide = detector.push_rows(std::span(values).subspan(480 * metrics));
  std::vector<float> scores(wide.begin() + 33, wide.end());
  std::ranges::sort(scores);
  EXPECT_EQ(model->calibration()->scores, scores);
}

TEST(SeriesModel, WithoutCalibrationItIsFittedOnAllRows) {
  const std::vector<double> values = machine(600, 3);
  const auto model = fit(values, {{"calibration", "none"}});
  EXPECT_FALSE(model->calibration());
  MultivariateParameters parameters;
  parameters.windows = {5, 30};
  EXPECT_EQ(fingerprint(*model->learned()), fingerprint(fit_multivariate(values, metrics, parameters)));
  EXPECT_FALSE(SeriesModel::from_bytes(model->bytes())->calibration());
}

TEST(SeriesModel, MachinesHaveWindowsOfTheirOwnInTraining) {
  // Of two machines by turns the features are those of each alone.
  const std::vector<double> one = machine(300, 3), other = machine(300, 8);
  std::vector<double> both;
  Records records;
  for (std::size_t i = 0; i < 300; ++i) {
    for (const auto* values : {&one, &other})
      both.insert(both.end(), values->begin() + static_cast<std::ptrdiff_t>(i * metrics),
                  values->begin() + static_cast<std::ptrdiff_t>((i + 1) * metrics));
    records.entity.push_back("one");
    records.entity.push_back("other");
  }
  const Texts entity = records.entity;
  records = records_of(both);
  records.entity = entity;
  records.entity.replace_back("");  // a row of nobody is left out
  const auto device = Device::cpu();
  const auto model = SeriesModel::fit(*device, schema("host"), records, options({{"calibration", "none"}}));
  EXPECT_EQ(model->provenance().at("entities"), "2");
  EXPECT_EQ(model->provenance().at("rows_refused"), "1");
  EXPECT_EQ(model->schema().entity, "host");
  const nearest::ReferenceSet& references = model->learned()->references;
  ASSERT_EQ(references.rows(), 599u);
  MachineWindows alone(*model->learned());
  std::vector<float> features(model->learned()->features());
  for (std::size_t i = 0; i < 299; ++i) {
    alone.push(*model->learned(), std::span(other).subspan(i * metrics, metrics), features);
    const float* kept = references.view().row(nearest::distinct_of_rows(references)[2 * i + 1]);
    ASSERT_TRUE(std::equal(features.begin(), features.end(), kept)) << i;
  }
}

TEST(SeriesModel, WhatCannotBeLearnedFromIsRefused) {
  const auto device = Device::cpu();
  EXPECT_THAT([] { fit(machine(120, 3)); },
              ThrowsMessage<std::invalid_argument>(
                  HasSubstr("found 24 rows held out, and none of them the 34th of its entity or later")));
  EXPECT_THAT([] { fit(machine(1, 3)); }, ThrowsMessage<std::invalid_argument>(HasSubstr("found 1 rows")));
  EXPECT_THAT(
      [] {
        fit(machine(600, 3), {{"scale", "robust"}});
      },
      ThrowsMessage<InvalidSettings>(HasSubstr("scale: found an unknown setting")));
  Schema text = schema();
  text.fields[1].kind = ColumnKind::text;
  EXPECT_THAT([&] { SeriesModel::fit(*device, text, {}, {}); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("memory: found text, allowed numbers")));
}

/// The model's file with one thing in it another.
std::vector<std::byte> altered(const SeriesModel& model, const std::function<void(TensorWriter&)>& write,
                               std::string_view left_out) {
  const TensorReader reader(model.bytes());
  TensorWriter writer;
  for (const char* key : {"lanner.format_version", "lanner.name", "lanner.detector", "lanner.settings",
                          "lanner.series", "lanner.provenance"})
    if (left_out != key) writer.metadata(key, reader.metadata(key));
  for (const char* name : {"metrics.low", "metrics.range", "metrics.typical", "calibration.pareto"})
    if (left_out != name) writer.add(name, reader.shape(name), std::span<const double>(reader.doubles(name)));
  for (const char* name : {"references.values", "calibration.scores"})
    if (left_out != name) writer.add(name, reader.shape(name), std::span<const float>(reader.floats(name)));
  const auto rows = reader.unsigned_integers("references.distinct_of_row");
  writer.add("references.distinct_of_row", {rows.size()}, std::span<const std::uint32_t>(rows));
  write(writer);
  return writer.bytes();
}

TEST(SeriesModel, EveryClaimOfAFileIsChecked) {
  const auto model = fit(machine(600, 3));
  ASSERT_EQ(SeriesModel::from_bytes(altered(
                                        *model, [](TensorWriter&) {}, ""))
                ->hash(),
            model->hash());
  const auto metadata = [&](const char* key, std::string_view value) {
    return altered(
        *model, [&](TensorWriter& writer) { writer.metadata(key, value); }, key);
  };
  const auto numbers = [&](const char* name, std::vector<double> values) {
    return altered(
        *model,
        [&](TensorWriter& writer) { writer.add(name, {values.size()}, std::span<const double>(values)); },
        name);
  };
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<float> narrow(5 * metrics);
  const std::pair<std::vector<std::byte>, const char*> cases[] = {
      {metadata("lanner.format_version", "1"), "lanner.format_version: found '1', allowed 3"},
      {metadata("lanner.detector", "pca"), "lanner.detector: found 'pca', allowed multivariate_series"},
      {metadata("lanner.settings", R"({"windows":"30,5"})"), "windows: allowed 1 to 100000 rows, ascending"},
      {metadata("lanner.settings", R"({"windows":"5"})"), "references: found rows of 15 features, allowed 9"},
      {metadata("lanner.settings", R"({"k":"5"})"), "k: found an unknown setting"},
      {metadata("lanner.series", R"({"metrics":["a","b"],"entity":"","time":"","id":""})"),
       "metrics.low: found no number in its range for every metric"},
      {metadata("lanner.series", R"({"metrics":[1],"entity":"","time":"","id":""})"),
       "lanner.series: found no"},
      {metadata("lanner.series", R"({"metrics":[],"entity":"","time":"","id":""})"),
       "lanner.series: found no"},
      {metadata("lanner.provenance", "[]"), "lanner.provenance: found no JSON object"},
      {numbers("metrics.low", {0, nan, 0}), "metrics.low: found no number in its range"},
      {numbers("metrics.range", {1, 0, 1}), "metrics.range: found no number in its range"},
      {numbers("metrics.typical", {0, 0, 1.5}), "metrics.typical: found no number in its range"},
      {numbers("calibration.pareto", {1, 1, 1, 0, 0.1}), "calibration.pareto: found no tail"},
      {altered(
           *model, [](TensorWriter&) {}, "metrics.low"),
       "no tensor 'metrics.low'"},
      {altered(
           *model, [](TensorWriter&) {}, "lanner.series"),
       "no metadata 'lanner.series'"},
      {altered(
           *model,
           [&](TensorWriter& writer) {
             writer.add("references.values", {1, narrow.size()}, std::span<const float>(narrow));
           },
           "references.values"),
       "references.distinct_of_row"},
  };
  for (const auto& [bytes, text] : cases)
    EXPECT_THAT([&bytes = bytes] { SeriesModel::from_bytes(bytes); },
                ThrowsMessage<InvalidModel>(HasSubstr(text)));
  for (std::size_t length = 0; length < model->bytes().size(); length += 97) {
    const auto begin = model->bytes().begin();
    EXPECT_THROW(SeriesModel::from_bytes({begin, begin + static_cast<std::ptrdiff_t>(length)}), InvalidModel);
  }
  EXPECT_FALSE(is_series_model({}));
  EXPECT_FALSE(is_series_model(metadata("lanner.format_version", "1")));
}

}  // namespace
}  // namespace lanner::engine
