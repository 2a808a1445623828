// The detectors against the same definitions written plainly elsewhere: make_golden.py.
#include "tests/engine/series/golden.hpp"

#include <gtest/gtest.h>

#include "engine/series/multivariate.hpp"
#include "engine/series/series_detector.hpp"
#include "tests/engine/series/made_series.hpp"

namespace lanner::engine {
namespace {

void expect_golden(const std::vector<double>& values, const std::vector<std::size_t>& alarms,
                   const std::vector<double>& scores) {
  SeriesParameters parameters;
  parameters.warm_up = golden::warm_up;
  SeriesDetector detector(parameters);
  std::vector<std::size_t> found;
  std::size_t compared = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const SeriesScore row = detector.push(made_time_ns(i), values[i]);
    if (row.alarm) found.push_back(i);
    if (i < golden::warm_up || i % golden::every != 0) continue;
    ASSERT_LT(compared, scores.size());
    EXPECT_NEAR(row.score, scores[compared], 1e-9) << "row " << i;
    ++compared;
  }
  EXPECT_EQ(compared, scores.size());
  EXPECT_EQ(found, alarms);
}

TEST(Golden, ADayThatRepeats) {
  expect_golden(daily(golden::rows), golden::daily_alarms, golden::daily_scores);
}

TEST(Golden, Bursts) {
  expect_golden(bursts(golden::rows), golden::bursts_alarms, golden::bursts_scores);
}

TEST(Golden, ASquareWaveToTheBit) {
  expect_golden(steps(golden::rows), golden::steps_alarms, golden::steps_scores);
}

// Features and distances are float32 here, float64 there.
TEST(Golden, AMachine) {
  MultivariateParameters parameters;
  parameters.windows = {5, 30};
  parameters.neighbours = 3;
  parameters.references_max = 100;
  parameters.smoothing = 4;
  const auto device = Device::cpu();
  MultivariateDetector detector(
      *device, std::make_shared<const MultivariateModel>(fit_multivariate(machine(250, 3), 3, parameters)));
  const std::vector<double> scores = detector.push_rows(machine(golden::machine_scores.size(), 4));
  for (std::size_t i = 0; i < scores.size(); ++i)
    EXPECT_NEAR(scores[i], golden::machine_scores[i], 1e-6) << "row " << i;
}

}  // namespace
}  // namespace lanner::engine
