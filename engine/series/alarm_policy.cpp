#include "engine/series/alarm_policy.hpp"

#include "kernels/arithmetic/elementary.hpp"

namespace lanner::engine {

bool AlarmPolicy::update(double score) {
  double bar = 0;
  if (ever_) {
    ++since_;
    if (since_ <= rule_.pause_rows) return false;
    bar = bar_ * lanner::exp(-since_ / rule_.decay_rows);
  }
  if (score < rule_.threshold + bar) return false;
  ever_ = true;
  since_ = 0;
  bar_ = bar + rule_.step;
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
