// When a score becomes an alarm: a threshold that alarms raise for a while, and a pause after each.
//
// Definition. With t rows since the last alarm: none while t <= pause. The bar that alarms have built up has
// by then decayed to b = bar exp(-t / decay); a score of at least threshold + b is an alarm, and sets bar to
// b + step. So one long disturbance is one alarm, and a series that cries wolf is believed less.
#pragma once

#include <cstdint>

#include "engine/series/snapshot.hpp"

namespace lanner::engine {

struct AlarmRule {
  double threshold = 2.5;
  double pause_rows = 0;
  double step = 0.3;
  double decay_rows = 1;
};

class AlarmPolicy {
 public:
  explicit AlarmPolicy(const AlarmRule& rule) : rule_(rule) {}

  /// The score from which on the next row is an alarm; infinity where none is.
  double threshold() const;
  /// One row; whether it is an alarm.
  bool update(double score);

  void save(SnapshotWriter&) const;
  void load(SnapshotReader&);

 private:
  double bar_after(double rows) const;

  AlarmRule rule_;
  bool ever_ = false;
  double since_ = 0;  ///< rows since the last alarm
  double bar_ = 0;
};

}  // namespace lanner::engine
