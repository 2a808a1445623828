#include "engine/series/alarm_policy.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace lanner::engine {
namespace {

constexpr AlarmRule rule{2.5, 12, 0.3, 300};

TEST(AlarmPolicy, TheThresholdItselfIsAnAlarm) {
  AlarmPolicy policy(rule);
  EXPECT_FALSE(policy.update(std::nextafter(2.5, 0)));
  EXPECT_TRUE(policy.update(2.5));
}

TEST(AlarmPolicy, PausesAfterAnAlarm) {
  AlarmPolicy policy(rule);
  EXPECT_TRUE(policy.update(9));
  for (int i = 0; i < 12; ++i) EXPECT_FALSE(policy.update(9)) << i;
  EXPECT_TRUE(policy.update(9));
}

TEST(AlarmPolicy, BelievesASeriesThatCriesOftenLess) {
  AlarmPolicy policy(rule);
  ASSERT_TRUE(policy.update(2.5));
  for (int i = 0; i < 12; ++i) policy.update(0);
  const double first = 0.3 * std::exp(-13 / 300.0);
  ASSERT_FALSE(policy.update(2.5 + first - 1e-9));
  const double later = 0.3 * std::exp(-14 / 300.0);
  ASSERT_TRUE(policy.update(2.5 + later + 1e-9));
  // The second alarm's step comes on top of what is left of the first.
  for (int i = 0; i < 12; ++i) policy.update(0);
  ASSERT_FALSE(policy.update(2.5 + (later + 0.3) * std::exp(-13 / 300.0) - 1e-9));
  ASSERT_TRUE(policy.update(2.5 + (later + 0.3) * std::exp(-14 / 300.0) + 1e-9));
}

TEST(AlarmPolicy, SaysFromWhichScoreOnTheNextRowIsAnAlarm) {
  AlarmPolicy policy(rule);
  unsigned state = 3;
  int alarms = 0, paused = 0;
  for (int i = 0; i < 5000; ++i) {
    state = state * 1664525 + 1013904223;
    const double threshold = policy.threshold();
    paused += std::isinf(threshold);
    AlarmPolicy below = policy;
    if (std::isfinite(threshold)) {
      ASSERT_FALSE(below.update(std::nextafter(threshold, 0))) << i;
    }
    // Whatever the score, what is said and what is done are the same.
    const double score = i % 3 == 0 && std::isfinite(threshold) ? threshold : state / 4294967296.0 * 4;
    const bool is_alarm = policy.update(score);
    ASSERT_EQ(is_alarm, score >= threshold) << i;
    alarms += is_alarm;
  }
  EXPECT_LE(paused, 12 * alarms);
  EXPECT_GT(paused, 12 * (alarms - 1)) << "the last pause may not be over";
  EXPECT_GT(alarms, 100);
}

TEST(AlarmPolicy, ForgetsInTime) {
  AlarmPolicy policy(rule);
  ASSERT_TRUE(policy.update(2.5));
  for (int i = 0; i < 20'000; ++i) policy.update(0);
  EXPECT_TRUE(policy.update(2.5 + 1e-12));
}

}  // namespace
}  // namespace lanner::engine
