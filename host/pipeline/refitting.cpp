#include "host/pipeline/refitting.hpp"

#include <algorithm>
#include <utility>

namespace lanner::host {

Refitting::Refitting(const RefitConfig& config, engine::FitOptions options, std::filesystem::path save,
                     engine::Schema schema, bool windows)
    : refit_(config),
      options_(std::move(options)),
      save_(std::move(save)),
      events_(std::move(schema), refit_.rows, windows) {}

bool Refitting::take(const engine::Records& records, std::int64_t now_ns, bool drifted) {
  if (fitting_) return false;
  if (begin_anew_.exchange(false)) {
    events_.clear();
    first_ns_.reset();
    after_drift_ = false;
  }
  // What came before belongs to another time.
  if (refit_.on_drift != OnDrift::say && drifted && !after_drift_) {
    events_.clear();
    after_drift_ = true;
  }
  events_.take(records);
  shown_rows_ = events_.count();
  for (std::size_t row = 0; row < std::max<std::size_t>(records.time.size(), 1); ++row) {
    const std::int64_t at = records.time.empty() ? now_ns : records.time[row];
    newest_ns_ = first_ns_ ? std::max(newest_ns_, at) : at;
    if (!first_ns_) first_ns_ = at;
  }
  if (events_.count() < refit_.rows) return false;
  fitting_ = after_drift_ || (refit_.every_ns > 0 && newest_ns_ - *first_ns_ >= refit_.every_ns);
  return fitting_;
}

engine::Refitted Refitting::fit(Device& device, const std::shared_ptr<const engine::Model>& now,
                                engine::Progress progress) const {
  const bool calibrate = after_drift_ && refit_.on_drift == OnDrift::calibrate;
  return engine::refit(device, now, events_.all(), options_,
                       calibrate ? engine::Renewed::calibration : engine::Renewed::fit, std::move(progress));
}

void Refitting::done(std::string outcome) {
  {
    std::lock_guard lock(mutex_);
    outcome_ = std::move(outcome);
  }
  begin_anew_ = true;
  fitting_ = false;
}

std::string Refitting::outcome() const {
  std::lock_guard lock(mutex_);
  return outcome_;
}

}  // namespace lanner::host
