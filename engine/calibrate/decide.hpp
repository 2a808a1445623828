// Decisions: from p-values to flags under a false-alarm budget. A decision depends on the recorded order of
// events, on their own times and on nothing else: not on how batches were cut, not on the wall clock.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace lanner::engine {

/// Flag bits on the wire (docs/wire, "flag").
inline constexpr std::uint8_t flag_anomalous = 1;
inline constexpr std::uint8_t flag_refused = 2;
inline constexpr std::uint8_t flag_withdrawn = 4;
inline constexpr std::uint8_t flag_extrapolated = 8;

/// Flag where p <= rate. rate in (0, 1).
struct FalseAlarmRate {
  double rate = 0.001;
};
/// At most this many false alarms a day on average, in event time: the threshold is the budget over the
/// stream's rate of events, estimated from event times alone by a stated rule (decide.cpp). Positive.
struct FalseAlarmsPerDay {
  double alarms = 20;
};
/// At most this share of the flags is false, on average over the recent ones: the flags of the last `memory`
/// events or so, older ones being forgotten exponentially. Online, by a stated rule (decide.cpp). rate in
/// (0, 1), memory at least 100 events.
struct FalseDiscoveryRate {
  double rate = 0.05;
  double memory = 10'000;
};
using DecisionRule = std::variant<FalseAlarmRate, FalseAlarmsPerDay, FalseDiscoveryRate>;

std::string describe(const DecisionRule&);

/// The rule at work on one stream and model. Not thread safe; fed in recorded order.
class Decider {
 public:
  /// Throws std::invalid_argument for a rate or budget out of range.
  explicit Decider(DecisionRule);

  /// For each row: threshold (the p-value at or below which it was flagged) and flag. `time`: event times,
  /// ns, or empty where the rule needs none (FalseAlarmsPerDay without times throws std::invalid_argument).
  /// `refused[i]` = 1: the row has no score; it is marked and otherwise ignored. Spans of equal length.
  /// `least_p_value`: below which there are none, 1 / (n + 1) without an extrapolated tail, or 0. Allocates
  /// nothing.
  void decide(std::span<const double> p_values, std::span<const std::uint8_t> extrapolated,
              std::span<const std::uint8_t> refused, std::span<const std::int64_t> time,
              std::span<double> thresholds, std::span<std::uint8_t> flags, double least_p_value = 0);

  /// The state, to be stored with results and restored: plain numbers.
  std::vector<double> state() const;
  void restore(std::span<const double>);

 private:
  DecisionRule rule_;
  std::vector<double> state_;
};

/// Benjamini & Hochberg 1995 over a whole file at false discovery rate q in (0, 1): flags, and the one
/// threshold that was in force (0 where nothing is rejected). Refused rows (NaN p-values) take no part.
double false_discovery_rate(std::span<const double> p_values, double q, std::span<std::uint8_t> flags);

}  // namespace lanner::engine
