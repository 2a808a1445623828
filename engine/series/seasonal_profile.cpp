#include "engine/series/seasonal_profile.hpp"

#include <algorithm>

#include "engine/series/left_neighbours.hpp"

namespace lanner::engine {
namespace {

constexpr std::int64_t day_ns = 86'400'000'000'000, week_ns = 7 * day_ns;

std::size_t slot_of(std::int64_t time_ns, std::int64_t period_ns, std::size_t slots) {
  const std::int64_t into = ((time_ns % period_ns) + period_ns) % period_ns;
  const double share = (static_cast<double>(into) / 1e9) / (static_cast<double>(period_ns) / 1e9);
  return std::min(static_cast<std::size_t>(share * static_cast<double>(slots)), slots - 1);
}

void learn(double& mean, double& count, double value, double memory) {
  count = std::min(count + 1, memory);
  mean += (value - mean) / count;
}

}  // namespace

SeasonalProfile::SeasonalProfile(const SeasonRule& rule, double level_rows)
    : rule_(rule),
      level_rows_(level_rows),
      day_mean_(rule.day_slots),
      day_count_(rule.day_slots),
      week_mean_(rule.week_slots),
      week_count_(rule.week_slots) {}

double SeasonalProfile::update(std::int64_t time_ns, double value) {
  level_count_ = std::min(level_count_ + 1, level_rows_);
  level_ = level_count_ == 1 ? value : level_ + (value - level_) / level_count_;
  const std::size_t day = slot_of(time_ns, day_ns, rule_.day_slots);
  const std::size_t week = slot_of(time_ns, week_ns, rule_.week_slots);
  const double shrink = rule_.shrink;
  const double by_day = (day_mean_[day] * day_count_[day] + shrink * level_) / (day_count_[day] + shrink);
  const double expected =
      (week_mean_[week] * week_count_[week] + shrink * by_day) / (week_count_[week] + shrink);
  learn(day_mean_[day], day_count_[day], value, rule_.memory);
  learn(week_mean_[week], week_count_[week], value, rule_.memory);
  return expected;
}

void SeasonalProfile::save(SnapshotWriter& writer) const {
  writer.number(level_);
  writer.number(level_count_);
  for (const auto* numbers : {&day_mean_, &day_count_, &week_mean_, &week_count_}) writer.numbers(*numbers);
}

void SeasonalProfile::load(SnapshotReader& reader) {
  // Rounding may carry a mean a little beyond the largest value.
  const double most = 2 * value_most;
  level_ = reader.number(-most, most);
  level_count_ = reader.number(0, level_rows_);
  reader.numbers(day_mean_, -most, most);
  reader.numbers(day_count_, 0, rule_.memory);
  reader.numbers(week_mean_, -most, most);
  reader.numbers(week_count_, 0, rule_.memory);
}

}  // namespace lanner::engine
