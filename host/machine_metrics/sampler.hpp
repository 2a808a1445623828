// This machine's metrics, sampled.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "host/machine_metrics/proc_text.hpp"

namespace lanner::host::machine {

class Sampler {
 public:
  /// Takes a first reading: what it lacks is left out from then on. Throws std::system_error where `proc`
  /// gives nothing at all.
  explicit Sampler(std::filesystem::path proc = "/proc");
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  /// Places in metrics() of those this machine has, and of those it lacks.
  const std::vector<std::size_t>& available() const { return available_; }
  const std::vector<std::size_t>& absent() const { return absent_; }

  /// Since the sample before (or the start); one value for each of metrics(), NaN where it can't be told this
  /// time.
  std::array<double, metric_count> sample();

 private:
  Reading read();

  std::array<int, proc_paths.size()> files_;
  Texts texts_;
  Reading last_;
  std::int64_t last_ns_ = 0;
  std::vector<std::size_t> available_, absent_;
};

}  // namespace lanner::host::machine
