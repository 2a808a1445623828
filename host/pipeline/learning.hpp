// A stream with no model yet: its first events are collected, and then fitted on away from the flow.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/model/model.hpp"
#include "host/config/config.hpp"

namespace lanner::host {

/// How a stream's model is fitted.
engine::FitOptions fit_options(const StreamConfig&);

class Learning {
 public:
  explicit Learning(const StreamConfig&);

  const StreamConfig& config() const { return config_; }
  const LearnConfig& learn() const { return *config_.learn; }
  std::string model_name() const { return fit_options(config_).name; }

  /// The intake thread's. Takes what it still needs of these records; true once, when there is enough.
  bool collect(const engine::Records&, std::int64_t now_ns);
  bool complete() const { return complete_; }
  std::size_t rows() const { return records_.count; }
  /// Of rows, to be complete; 0 where time decides.
  std::size_t rows_wanted() const { return learn().rows; }

  /// From any one thread, once complete. Throws what Model::fit throws.
  std::shared_ptr<const engine::Model> fit(Device&, engine::Progress = {}) const;
  /// The windows as they stood after the last collected event; null where there are none.
  std::unique_ptr<engine::FeatureState> state_after(const engine::Model&) const;
  /// After a fit that failed: from the beginning.
  std::shared_ptr<Learning> again() const { return std::make_shared<Learning>(config_); }

 private:
  /// More than this is not collected, however long it was to last.
  static constexpr std::size_t rows_max = 500'000;

  StreamConfig config_;
  engine::Records records_;
  std::int64_t first_ns_ = 0, last_ns_ = 0;
  std::atomic<bool> complete_{false};
};

}  // namespace lanner::host
