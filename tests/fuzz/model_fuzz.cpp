// Model files: InvalidModel, or a model that keeps its word.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

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

}  // namespace
}  // namespace lanner::fuzz
