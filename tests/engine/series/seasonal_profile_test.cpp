#include "engine/series/seasonal_profile.hpp"

#include <gtest/gtest.h>

namespace lanner::engine {
namespace {

constexpr std::int64_t hour_ns = 3'600'000'000'000;

TEST(SeasonalProfile, ExpectsTheFirstValueItself) {
  SeasonalProfile profile({}, 100);
  EXPECT_EQ(profile.update(0, 7), 7);
}

// By hand: the second value of the slots: level 4 (of 2 and 6), both slots have 2, counted once.
TEST(SeasonalProfile, ShrinksTheSlotToTheDaysAndThatToTheLevel) {
  SeasonalProfile profile({}, 100);
  profile.update(0, 2);
  const double by_day = (2 * 1 + 0.5 * 4) / 1.5;
  EXPECT_DOUBLE_EQ(profile.update(1000, 6), (2 * 1 + 0.5 * by_day) / 1.5);
}

TEST(SeasonalProfile, LearnsTheHourOfTheDayAndOfTheWeek) {
  SeasonalProfile profile({}, 1000);
  double error_day = 0, error_week = 0;
  for (std::int64_t hour = 0; hour < 24 * 7 * 30; ++hour) {
    const bool is_busy = hour % 24 == 9, is_weekly = hour % (24 * 7) == 100;
    const double value = is_weekly ? 50 : is_busy ? 10 : 0;
    const double error = std::abs(value - profile.update(hour * hour_ns + hour_ns / 2, value));
    if (hour < 24 * 7 * 25) continue;
    (is_weekly ? error_week : error_day) = std::max(is_weekly ? error_week : error_day, error);
  }
  EXPECT_LT(error_day, 1.5);
  EXPECT_LT(error_week, 2.5);
}

TEST(SeasonalProfile, TimesBeforeTheEpochHaveTheirSlotsToo) {
  SeasonalProfile before({}, 100), after({}, 100);
  for (int i = 0; i < 20; ++i) {
    const std::int64_t time = i * hour_ns + 1;
    EXPECT_EQ(before.update(time - 7 * 24 * hour_ns * 1000, i), after.update(time, i));
  }
}

}  // namespace
}  // namespace lanner::engine
