// The drift watch of one model on one stream: the scoring thread feeds it, anybody may ask how it stands.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/calibrate/drift.hpp"
#include "engine/model/model.hpp"

namespace lanner::host {

class Drift {
 public:
  /// The model has a drift reference.
  explicit Drift(const engine::Model&);

  /// The scoring thread's, in recorded order: sets flag_withdrawn on the first event at which the guarantee
  /// is withdrawn and on all that follow. True where that happens now. Spans as rows.count. Allocates
  /// nothing.
  bool watch(Rows rows, std::span<const float> scores, std::span<const std::uint8_t> refused,
             std::span<std::uint8_t> flags);

  // While no events pass.
  std::vector<double> state() const { return watch_.state(); }
  /// Throws std::invalid_argument.
  void restore(std::span<const double>);

  // From any thread.
  /// The number of the event at which it was withdrawn, of those scored by this model, from 1; 0: it holds.
  std::uint64_t withdrawn_at() const { return withdrawn_at_.load(std::memory_order_acquire); }
  /// What drifted: "score" or a feature's name; only where it was withdrawn.
  const std::string& cause() const { return names_[cause_.load(std::memory_order_relaxed)]; }
  /// Of the recent events from the calibration rows (engine::DriftWatch::distance), the largest first, `most`
  /// of them: by the names of features, and "score".
  std::vector<std::pair<std::string, float>> distances(std::size_t most) const;

 private:
  void show();

  engine::DriftWatch watch_;
  std::vector<std::string> names_;
  std::uint64_t shown_at_ = 0;
  std::atomic<std::uint64_t> withdrawn_at_{0};
  std::atomic<std::size_t> cause_{0};
  std::vector<std::atomic<float>> distances_;
};

/// What is said of a drift that withdrew a guarantee: for the log and among the reasons of being degraded.
std::string drift_text(const std::string& stream, const std::string& model, const Drift&);

}  // namespace lanner::host
