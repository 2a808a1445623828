// A stream whose model is refitted: when, and on which events. The intake thread feeds it; a fit runs away
// from the flow.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
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
  /// `options`: of every fit. `save`: where a model that takes over is written; empty: nowhere. `windows`:
  /// some features have them.
  Refitting(const RefitConfig&, engine::FitOptions options, std::filesystem::path save, engine::Schema,
            bool windows);

  /// The intake thread's. Takes over these events; true once they are to be fitted on: after the period, in
  /// event time where there is one, or once enough came after a drift (`drifted`: the guarantee is withdrawn
  /// now). Then nothing is taken until done().
  bool take(const engine::Records&, std::int64_t now_ns, bool drifted);

  /// From the thread that fits, between take() = true and done(). Throws what engine::refit throws.
  engine::Refitted fit(Device&, const std::shared_ptr<const engine::Model>& now, engine::Progress) const;
  /// What came of it; events are collected from the next on.
  void done(std::string outcome);

  const std::filesystem::path& save() const { return save_; }
  const RefitConfig& config() const { return refit_; }
  const engine::FitOptions& options() const { return options_; }

  // From any thread.
  bool fitting() const { return fitting_; }
  std::size_t rows() const { return shown_rows_; }
  std::string outcome() const;  ///< of the last one; empty: there was none yet

 private:
  RefitConfig refit_;
  engine::FitOptions options_;
  std::filesystem::path save_;
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
