#include "engine/series/series_settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

namespace lanner::engine {
namespace {

using Given = std::map<std::string, std::string>;

// A parameter of the struct that the table forgot to carry over would keep its default here.
TEST(SeriesSettings, EveryLineOfTheTableArrives) {
  const Given given{{"warm_up", "300"},      {"threshold", "3.5"},   {"pause", "0.5"},
                    {"fatigue", "0.25"},     {"fatigue_decay", "7"}, {"blocks_held", "64"},
                    {"largest_share", "0.5"}};
  ASSERT_EQ(given.size(), series_settings().size());
  const SeriesParameters p = series_parameters(Settings::parse(series_settings(), given));
  EXPECT_EQ(p.warm_up, 300u);
  EXPECT_EQ(p.threshold, 3.5);
  EXPECT_EQ(p.pause, 0.5);
  EXPECT_EQ(p.fatigue, 0.25);
  EXPECT_EQ(p.fatigue_decay, 7);
  EXPECT_EQ(p.blocks_held, 64u);
  EXPECT_EQ(p.largest_share, 0.5);

  const MultivariateParameters m =
      multivariate_parameters(Settings::parse(multivariate_settings(), {{"windows", "3,9,27"},
                                                                        {"deviation_weight", "1.5"},
                                                                        {"clip_low", "-2"},
                                                                        {"clip_high", "4"},
                                                                        {"neighbours", "7"},
                                                                        {"references_max", "100"},
                                                                        {"smoothing", "2"}}));
  EXPECT_THAT(m.windows, ::testing::ElementsAre(3u, 9u, 27u));
  EXPECT_EQ(m.deviation_weight, 1.5);
  EXPECT_EQ(m.clip_low, -2);
  EXPECT_EQ(m.clip_high, 4);
  EXPECT_EQ(m.neighbours, 7u);
  EXPECT_EQ(m.references_max, 100u);
  EXPECT_EQ(m.smoothing, 2u);
}

TEST(SeriesSettings, TheTablesDefaultsAreTheStructs) {
  const SeriesParameters p = series_parameters(Settings::parse(series_settings(), {})), of_struct;
  EXPECT_EQ(p.warm_up, of_struct.warm_up);
  EXPECT_EQ(p.threshold, of_struct.threshold);
  EXPECT_EQ(p.pause, of_struct.pause);
  EXPECT_EQ(p.fatigue, of_struct.fatigue);
  EXPECT_EQ(p.fatigue_decay, of_struct.fatigue_decay);
  EXPECT_EQ(p.blocks_held, of_struct.blocks_held);
  EXPECT_EQ(p.largest_share, of_struct.largest_share);

  const MultivariateParameters m = multivariate_parameters(Settings::parse(multivariate_settings(), {})),
                               of_the_struct;
  EXPECT_EQ(m.windows, of_the_struct.windows);
  EXPECT_EQ(m.deviation_weight, of_the_struct.deviation_weight);
  EXPECT_EQ(m.clip_low, of_the_struct.clip_low);
  EXPECT_EQ(m.clip_high, of_the_struct.clip_high);
  EXPECT_EQ(m.neighbours, of_the_struct.neighbours);
  EXPECT_EQ(m.references_max, of_the_struct.references_max);
  EXPECT_EQ(m.smoothing, of_the_struct.smoothing);
}

// What the table allows the detector takes, at both ends.
TEST(SeriesSettings, TheTablesBoundsAreTheDetectors) {
  for (const Parameter& parameter : series_settings()) {
    for (const double value : {parameter.least, parameter.most}) {
      const std::string text =
          value == std::floor(value) ? std::to_string(static_cast<long long>(value)) : std::to_string(value);
      const Settings settings = Settings::parse(series_settings(), {{std::string(parameter.name), text}});
      EXPECT_NO_THROW(SeriesDetector(series_parameters(settings))) << parameter.name << ' ' << value;
    }
  }
}

TEST(SeriesSettings, AnUnknownNameIsSaidWithTheNearest) {
  try {
    Settings::parse(series_settings(), {{"warmup", "10"}});
    FAIL();
  } catch (const InvalidSettings& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("(nearest: warm_up)"));
  }
}

}  // namespace
}  // namespace lanner::engine
