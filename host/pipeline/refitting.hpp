// A stream whose model is refitted: when, and on which events. The intake thread feeds it; a fit runs away
// from the flow.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "engine/refit/refit.hpp"
#include "host/config/config.hpp"
#include "host/pipeline/recent_events.hpp"

namespace lanner::host {

class Refitting {
 public:
  /// The stream has `learn` with `refit`.
  Refitting(const StreamConfig&, engine::Schema, bool windows);

  /// The intake thread's. Takes over these events; true once they are to be fitted on: after the period, in
  /// event time where there is one, or once enough came after a drift (`drifted`: the guarantee is withdrawn
  /// now). Then nothing is taken until done().
  bool take(const engine::Records&, std::int64_t now_ns, bool drifted);

  /// From the thread that fits, between take() = true and done(). Throws what engine::refit throws.
  engine::Refitted fit(Device&, const std::shared_ptr<const engine::Model>& now, engine::Progress) const;
  /// What came of it; events are collected from the next on.
  void done(std::string outcome);

  const LearnConfig& learn() const { return *config_.learn; }

  // From any thread.
  bool fitting() const { return fitting_; }
  std::size_t rows() const { return shown_rows_; }
  std::string outcome() const;  ///< of the last one; empty: there was none yet

 private:
  StreamConfig config_;
  const RefitConfig& refit_;
  RecentEvents events_;
  std::optional<std::int64_t> first_ns_;
  std::int64_t newest_ns_ = 0;
  bool after_drift_ = false;
  std::atomic<bool> fitting_{false}, begin_anew_{false};
  std::atomic<std::size_t> shown_rows_{0};
  mutable std::mutex mutex_;
  std::string outcome_;
};

}  // namespace lanner::host
