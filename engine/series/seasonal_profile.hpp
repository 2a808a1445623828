// What a series usually is at this time of the day and of the week.
//
// Definition. Time is UTC. Each of the day's and of the week's slots has a mean and a count; a period's slot
// is floor(share of the period that has passed * slots), both operations rounded to float64, which leaves a
// few full hours in the slot before. Weeks begin on Thursday, as the epoch did. The level is the mean of the
// rows so far, after `level_rows` of them an exponential one. The expected value is the week's slot's mean
// shrunk to the day's slot's, itself shrunk to the level:
//   d = (mean_d count_d + shrink level) / (count_d + shrink)
//   expected = (mean_w count_w + shrink d) / (count_w + shrink)
// with the level after, and the slots before they take this row. A slot's count stops at `memory`, which
// makes its mean an exponential one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/series/snapshot.hpp"

namespace lanner::engine {

struct SeasonRule {
  std::size_t day_slots = 48, week_slots = 168;
  double memory = 20;   ///< values
  double shrink = 0.5;  ///< values that the coarser mean counts as
};

class SeasonalProfile {
 public:
  SeasonalProfile(const SeasonRule&, double level_rows);

  /// What the value was expected to be; then it is learned. time_ns: since the epoch.
  double update(std::int64_t time_ns, double value);

  void save(SnapshotWriter&) const;
  void load(SnapshotReader&);

 private:
  SeasonRule rule_;
  double level_rows_;
  double level_ = 0, level_count_ = 0;
  std::vector<double> day_mean_, day_count_, week_mean_, week_count_;
};

}  // namespace lanner::engine
