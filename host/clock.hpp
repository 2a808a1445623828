// Time reaches the host through here alone, so that a simulation can own it.
#pragma once

#include <cstdint>

namespace lanner::host {

inline constexpr std::int64_t second_ns = 1'000'000'000;

class Clock {
 public:
  virtual ~Clock() = default;
  /// Nanoseconds since the Unix epoch, UTC: for people and names.
  virtual std::int64_t unix_ns() const = 0;
  /// Nanoseconds that only grow: for waits and durations.
  virtual std::int64_t steady_ns() const = 0;
};

/// The machine's clocks.
const Clock& system_clock();

}  // namespace lanner::host
