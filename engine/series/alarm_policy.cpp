#include "engine/series/alarm_policy.hpp"

#include <limits>

#include "kernels/arithmetic/elementary.hpp"

namespace lanner::engine {

double AlarmPolicy::bar_after(double rows) const {
  return ever_ ? bar_ * lanner::exp(-rows / rule_.decay_rows) : 0;
}

double AlarmPolicy::threshold() const {
  const double rows = since_ + 1;
  if (ever_ && rows <= rule_.pause_rows) return std::numeric_limits<double>::infinity();
  return rule_.threshold + bar_after(rows);
}

bool AlarmPolicy::update(double score) {
  const bool is_alarm = score >= threshold();
  if (ever_) ++since_;
  if (!is_alarm) return false;
  bar_ = bar_after(since_) + rule_.step;
  ever_ = true;
  since_ = 0;
  return true;
}

void AlarmPolicy::save(SnapshotWriter& writer) const {
  writer.whole(ever_);
  writer.number(since_);
  writer.number(bar_);
}

void AlarmPolicy::load(SnapshotReader& reader) {
  ever_ = reader.whole(1) != 0;
  since_ = reader.number(0, whole_most);
  bar_ = reader.number(0, whole_most);
}

}  // namespace lanner::engine
