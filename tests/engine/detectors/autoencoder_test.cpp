#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/detectors/standardisation.hpp"
#include "tests/engine/detectors/scoring.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the tests' own folder
using ::testing::ElementsAre;

std::vector<std::size_t> shape_saved(const Fitted& model, const std::string& tensor) {
  TensorWriter writer;
  model.save(writer);
  return TensorReader(writer.bytes()).shape(tensor);
}

// Rows on a curved line through as many dimensions, with a little noise.
Table curve(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  Table table(5);
  for (std::size_t i = 0; i < count; ++i) {
    const double t = 4 * random.uniform() - 2;
    for (double v : {t, t * t, std::sin(2 * t), 3 - t, 0.5 * t * t * t})
      table.values.push_back(static_cast<float>(v + 0.02 * random.normal()));
  }
  return table;
}

TEST(Autoencoder, TellsRowsThatBreakTheRelationsBetweenFeatures) {
  const Table training = curve(1500, 1), fresh = curve(200, 2);
  const auto model = fitted("autoencoder", {{"epochs", "80"}}, training);
  // The same values, each feature's taken from another row: every feature alone looks ordinary.
  Table shuffled = fresh;
  for (std::size_t i = 0; i < fresh.count(); ++i)
    for (std::size_t j = 0; j < 5; ++j) shuffled.at(i, j) = fresh.rows().row((i + 37 * j) % fresh.count())[j];
  std::vector<float> ordinary = scores(*model, fresh), broken = scores(*model, shuffled);
  std::sort(ordinary.begin(), ordinary.end());
  std::sort(broken.begin(), broken.end());
  EXPECT_GT(broken[100], ordinary[180]);
}

TEST(Autoencoder, UnitsDoNotMatter) {
  Table metres = curve(300, 1), others = metres;
  Table queries = curve(30, 2), scaled = queries;
  for (Table* table : {&others, &scaled})
    for (float& value : table->values) value /= 1024;
  EXPECT_EQ(scores(*fitted("autoencoder", {{"epochs", "3"}}, metres), queries),
            scores(*fitted("autoencoder", {{"epochs", "3"}}, others), scaled));
}

TEST(Autoencoder, SettingsShapeTheNetwork) {
  const Table wide = normal_rows(40, 30, 1), narrow = normal_rows(40, 3, 1);
  const auto widths_of = [](const Fitted& model, std::size_t layers) {
    std::vector<std::size_t> widths;
    for (std::size_t l = 0; l < layers; ++l)
      widths.push_back(shape_saved(model, "layers." + std::to_string(l) + ".weight")[0]);
    return widths;
  };
  const std::map<std::string, std::string> short_run = {{"epochs", "1"}};
  EXPECT_THAT(widths_of(*fitted("autoencoder", short_run, wide), 4), ElementsAre(30, 15, 30, 30));
  EXPECT_THAT(widths_of(*fitted("autoencoder", short_run, narrow), 4), ElementsAre(8, 2, 8, 3));
  const auto chosen =
      fitted("autoencoder", {{"hidden", "7,3"}, {"epochs", "1"}, {"activation", "rectifier"}}, narrow);
  EXPECT_THAT(widths_of(*chosen, 3), ElementsAre(7, 3, 3));

  const Table queries = normal_rows(20, 3, 2);
  for (const std::map<std::string, std::string>& other :
       {std::map<std::string, std::string>{{"activation", "rectifier"}},
        {{"activation", "identity"}},
        {{"epochs", "2"}},
        {{"batch", "7"}},
        {{"learning_rate", "0.01"}},
        {{"validation_share", "0"}},
        {{"patience", "1"}, {"learning_rate", "1"}}})
    EXPECT_NE(scores(*fitted("autoencoder", other, narrow), queries),
              scores(*fitted("autoencoder", {}, narrow), queries))
        << other.begin()->first;
}

TEST(Autoencoder, AnotherSeedGivesAnotherModel) {
  const Table training = normal_rows(60, 4, 1);
  const auto device = Device::cpu();
  const Detector& found = *find_detector("autoencoder");
  const Settings settings = Settings::parse(found.parameters, {});
  const auto first = found.fit({*device, training.rows(), settings, 1, {}});
  const auto second = found.fit({*device, training.rows(), settings, 2, {}});
  EXPECT_NE(scores(*first, training), scores(*second, training));
}

TEST(Autoencoder, AConstantStandsApart) {
  Table training = normal_rows(200, 4, 1);
  for (std::size_t i = 0; i < 200; ++i) {
    training.at(i, 1) = -50;
    training.at(i, 3) = 0;
  }
  const auto model = fitted("autoencoder", {}, training);
  const auto with = [&](float second, float fourth) {
    Table row(4);
    row.append(training.rows().slice(0, 1));
    row.at(0, 1) = second;
    row.at(0, 3) = fourth;
    return row;
  };
  const float usual = scores(*model, with(-50, 0))[0];
  // A hundredth of the constant's size is a deviation: -49 is two of them away, and adds 2^2 / 4.
  EXPECT_NEAR(scores(*model, with(-49, 0))[0] - usual, 1, 1e-5);
  EXPECT_NEAR(scores(*model, with(-50, 0.02f))[0] - usual, 1, 1e-5);
  EXPECT_NEAR(scores(*model, with(-50, 1e30f))[0] - usual, 100, 1e-4);
  const Table parts = contributions(*model, with(-49, -3));
  EXPECT_NEAR(parts.values[1], 1, 1e-5);
  EXPECT_NEAR(parts.values[3], 100, 1e-4);
}

TEST(Standardisation, IsMeanAndPopulationDeviation) {
  const Table table(2, {1, 10, 3, 30, 5, 20, 7, 20});
  const mlp::Standardisation input = standardisation_of(table.rows(), 20);
  EXPECT_THAT(input.shift, ElementsAre(4, 20));
  EXPECT_FLOAT_EQ(input.scale[0], static_cast<float>(1 / std::sqrt(5.0)));
  EXPECT_FLOAT_EQ(input.scale[1], static_cast<float>(1 / std::sqrt(50.0)));
  EXPECT_EQ(input.limit, 20);
}

TEST(Standardisation, SurvivesAnySize) {
  constexpr float largest = std::numeric_limits<float>::max(),
                  least = std::numeric_limits<float>::denorm_min();
  for (float low : {-largest, -1e30f, 0.0f, least, 1.0f, largest})
    for (float high : {-largest, 0.0f, least, 3 * least, 1e-30f, 1.0f, std::nextafter(1.0f, 2.0f), largest}) {
      const Table three(1, {low, high, low});
      const mlp::Standardisation input = standardisation_of(three.rows(), 20);
      EXPECT_NO_THROW(mlp::validate(input, 1)) << low << ' ' << high;
    }
}

}  // namespace
}  // namespace lanner::engine
