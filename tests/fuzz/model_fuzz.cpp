// Model files: InvalidModel, or a model that keeps its word.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/series/series_model.hpp"
#include "engine/series/series_scorer.hpp"
#include "tests/engine/model/models.hpp"
#include "tests/fuzz/fuzzing.hpp"

namespace lanner::fuzz {
namespace {

using engine::InvalidModel;
using engine::Model;

TEST(File, Model) {
  std::vector<Input> corpus;
  const engine::testing::Table training = engine::testing::normal_rows(12, 2, 1);
  for (const std::string& detector : engine::testing::detector_names())
    for (const char* calibration : {"0.3", "none"})
      corpus.push_back(
          engine::testing::fit(training, engine::testing::options_of(
                                             detector, {{"calibration", calibration}, {"scale", "standard"}}))
              ->bytes());
  // Enough calibration rows to watch for drift.
  corpus.push_back(engine::testing::fit(engine::testing::normal_rows(100, 2, 1),
                                        engine::testing::options_of("histogram", {{"calibration", "0.6"}}))
                       ->bytes());
  constexpr std::string_view words[] = {"{",
                                        "}",
                                        "[",
                                        "]",
                                        "\"",
                                        ":",
                                        ",",
                                        "\\\"",
                                        "[0]",
                                        "[0,4]",
                                        "\"F32\"",
                                        "\"F64\"",
                                        "\"U32\"",
                                        "null",
                                        "-1",
                                        "1e999",
                                        "18446744073709551615",
                                        "__metadata__",
                                        "lanner.",
                                        "\xFF",
                                        "[[[[[[[[[[[[[[[[[[[[",
                                        "\\\"window_ns\\\":60000000000",
                                        "log1p",
                                        "one_hot",
                                        "rarity",
                                        "cross"};
  const auto device = Device::cpu({CpuTier::scalar, 1});
  fuzz(corpus, words, [&](Bytes bytes) {
    std::shared_ptr<const Model> model;
    try {
      model = Model::from_bytes({bytes.begin(), bytes.end()});
    } catch (const InvalidModel&) {
      return;
    }
    const std::size_t width = model->fitted().width();
    ASSERT_GT(width, 0u);
    ASSERT_EQ(width, model->features().width());
    engine::testing::Table queries(width);
    for (const float value : {0.0f, 1.0f, -3e38f}) queries.values.insert(queries.values.end(), width, value);
    const auto [scores, p_values, extrapolated] = engine::testing::score(model, queries.rows());
    for (std::size_t row = 0; row < 3; ++row) {
      EXPECT_TRUE(std::isfinite(scores[row])) << scores[row];
      EXPECT_TRUE(p_values[row] > 0 && p_values[row] <= 1) << p_values[row];
      EXPECT_LE(extrapolated[row], 1);
    }
    EXPECT_EQ(Model::from_bytes(model->bytes())->hash(), model->hash());
  });
}

TEST(File, SeriesModel) {
  const auto device = Device::cpu({CpuTier::scalar, 1});
  const engine::testing::Table training = engine::testing::normal_rows(30, 2, 1);
  engine::Records records;
  records.count = 30;
  records.dense = {training.values.data(), nullptr, 2};
  std::vector<Input> corpus;
  for (const char* calibration : {"0.5", "none"})
    corpus.push_back(engine::SeriesModel::fit(
                         *device, {{{"a"}, {"b"}}, "", "at", ""}, records,
                         {{{"windows", "2,3"}, {"smoothing", "2"}, {"calibration", calibration}}, "m"})
                         ->bytes());
  constexpr std::string_view words[] = {"{",       "}",       "\"",           ":",   ",",     "[0]",
                                        "\"F32\"", "\"F64\"", "\"U32\"",      "-1",  "1e999", "none",
                                        "0.001",   "metrics", "__metadata__", "\xFF"};
  fuzz(corpus, words, [&](Bytes bytes) {
    std::shared_ptr<const engine::SeriesModel> model;
    try {
      model = engine::SeriesModel::from_bytes({bytes.begin(), bytes.end()});
    } catch (const InvalidModel&) {
      return;
    }
    engine::SeriesScorer scorer(*device, model);
    std::vector<double> values;
    for (const double value : {0.0, 1e308, -1e308})
      values.insert(values.end(), model->schema().fields.size(), value);
    std::vector<engine::EntityRow> rows;
    for (std::size_t row = 0; row < 3; ++row)
      rows.push_back({"", &values[row * model->schema().fields.size()]});
    float scores[3];
    double p_values[3];
    std::uint8_t marks[3];
    scorer.push_rows(rows, 1, scores, p_values, marks);
    for (std::size_t row = 0; row < 3; ++row) {
      EXPECT_TRUE(std::isfinite(scores[row])) << scores[row];
      EXPECT_TRUE(p_values[row] > 0 && p_values[row] <= 1) << p_values[row];
    }
    EXPECT_EQ(engine::SeriesModel::from_bytes(model->bytes())->hash(), model->hash());
  });
}

}  // namespace
}  // namespace lanner::fuzz
