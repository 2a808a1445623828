// The decision rules. Only additions, multiplications and divisions advance their state, so that a replay on
// another machine gives the same bits.
//
// At most N false alarms a day. For each event with a score, in recorded order, gap = its time less the
// newest time so far, in days, at least 0:
//   events   <- events / (1 + gap) + 1        events seen, forgotten with a time constant of a day
//   exposure <- (exposure + gap) / (1 + gap)  days watched, forgotten alike: grows from 0 to 1
//   purse    <- min(purse + N gap, N)         false alarms that the budget affords by now, at most a day's
//   threshold = min(N exposure / events, purse, 0.1);  purse <- purse - threshold
// events / exposure is the stream's rate a day, overstated at first. A threshold depends on times alone and
// is the chance of a false alarm at that event, so the purse makes it a theorem that over any D days of event
// time, however the events come, the thresholds sum to at most N (D + 1), and from the start to at most N D.
//
// A false discovery rate of q with a memory of m events. For each event with a score, in recorded order:
//   spent <- (1 - 1/m) spent,  found <- (1 - 1/m) found,  seen <- (1 - 1/m) seen + 1
//   purse     = q max(found, 1) - spent
//   search    = purse / 2000, or 0 where no p-value can be that small
//   threshold = min(max(search, level where the purse affords it), 0.1)
//   spent <- spent + threshold;  found <- found + 1 if the event is flagged
// It is generalised alpha-investing with decaying memory (Ramdas, Yang, Wainwright & Jordan 2017, "Online
// control of the false discovery rate with decaying memory", section 5): thresholds depend on the past alone
// and never sum to more than q max(found, 1), decayed alike, so that with independent p-values the expected
// share of false ones among the flags so remembered is at most q. Where a share d of the events is flagged,
// search settles at q d: about where an oracle would put it. Small steps (1/2000 of the purse) let the first,
// clearest anomalies pay for the search for the next.
//
// Conformal p-values come in steps of 1 / (n + 1), and those of a cautious tail are too large: search alone
// may never reach the first of them. So the past says which level pays for itself: every 64 events, the
// largest p-value t with t max(seen, 2000) <= q/2 #{p <= t}, counted over flagged and other events with the
// same memory (Benjamini & Hochberg's rule at half the rate, over the past). Half: a level that just pays for
// itself leaves the purse empty whenever luck is bad. P-values are counted in half octaves.
#include "engine/calibrate/decide.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <stdexcept>

namespace lanner::engine {
namespace {

constexpr double day_ns = 86'400e9;
constexpr double threshold_max = 0.1;

// The places in Decider::state_ for FalseAlarmsPerDay. Times are in two halves that a double holds exactly.
enum Place { started, newest_high, newest_low, events, exposure, purse, places };
// For FalseDiscoveryRate: `counts` of p-values in each half octave below 1 (the last: all that are smaller),
// decayed, and the `largest` seen in it.
constexpr std::size_t half_octaves = 64;
enum DiscoveryPlace {
  spent,
  found,
  seen,
  since_levelled,
  level,
  counts,
  largest = counts + half_octaves,
  discovery_places = largest + half_octaves
};
constexpr double search_steps = 2000;
constexpr std::size_t level_every = 64;  // a power of two

constexpr double half = 4294967296.0;

void put_time(std::vector<double>& state, std::int64_t time) {
  state[newest_high] = static_cast<double>(time >> 32);
  state[newest_low] = static_cast<double>(time & 0xffffffff);
}
std::int64_t get_time(const std::vector<double>& state) {
  return static_cast<std::int64_t>(state[newest_high]) * (std::int64_t{1} << 32) +
         static_cast<std::int64_t>(state[newest_low]);
}

/// b - a in days, b >= a, without overflow.
double days(std::int64_t a, std::int64_t b) {
  return static_cast<double>(static_cast<std::uint64_t>(b) - static_cast<std::uint64_t>(a)) / day_ns;
}

double threshold_by_day(std::vector<double>& state, double alarms, std::int64_t time) {
  double gap = 0;
  if (state[started] == 0) {
    state[started] = 1;
    put_time(state, time);
  } else if (const std::int64_t newest = get_time(state); time >= newest) {
    gap = days(newest, time);
    put_time(state, time);
  } else if (days(time, newest) > 1) {
    // More than a day behind: the newest time was wrong, and would stop the clock until the others reach it.
    put_time(state, time);
    state[purse] = 0;
  }
  state[events] = state[events] / (1 + gap) + 1;
  state[exposure] = (state[exposure] + gap) / (1 + gap);
  state[purse] = std::min(state[purse] + alarms * gap, alarms);
  const double threshold = std::min({alarms * state[exposure] / state[events], state[purse], threshold_max});
  state[purse] -= threshold;
  return threshold;
}

double threshold_by_discoveries(std::vector<double>& state, const FalseDiscoveryRate& rule,
                                double least_p_value) {
  const double kept = 1 - 1 / rule.memory;
  state[spent] *= kept;
  state[found] *= kept;
  state[seen] = state[seen] * kept + 1;
  const double purse = std::max(rule.rate * std::max(state[found], 1.0) - state[spent], 0.0);
  const double search = purse / search_steps;
  const double threshold =
      std::min(std::max(search >= least_p_value ? search : 0.0, state[level] <= purse ? state[level] : 0.0),
               threshold_max);
  state[spent] += threshold;
  return threshold;
}

/// p in (0, 1].
std::size_t half_octave(double p) {
  // Exponent and highest bit of the fraction: they fall by one from half octave to half octave.
  constexpr std::uint64_t of_one = std::bit_cast<std::uint64_t>(1.0) >> 51;
  return std::min<std::uint64_t>(of_one - (std::bit_cast<std::uint64_t>(p) >> 51), half_octaves - 1);
}

void learn_level(std::vector<double>& state, const FalseDiscoveryRate& rule, double p, bool flagged) {
  state[found] += flagged;
  const std::size_t place = half_octave(p);
  state[counts + place] += 1;
  state[largest + place] = std::max(state[largest + place], p);
  state[since_levelled] += 1;
  if (state[since_levelled] < static_cast<double>(level_every)) return;
  state[since_levelled] = 0;
  state[level] = 0;
  double kept = 1 - 1 / rule.memory, at_or_below = 0;
  for (std::size_t power = 1; power < level_every; power *= 2) kept *= kept;
  const double tests = std::max(state[seen], search_steps);
  for (std::size_t i = half_octaves; i-- > 0;) {
    at_or_below += state[counts + i];
    if (state[largest + i] * tests <= rule.rate / 2 * at_or_below)
      state[level] = std::max(state[level], std::min(state[largest + i], threshold_max));
    state[counts + i] *= kept;
  }
}

std::uint8_t flag_of(bool anomalous, std::uint8_t extrapolated) {
  return static_cast<std::uint8_t>((anomalous ? flag_anomalous : 0) | (extrapolated ? flag_extrapolated : 0));
}

/// The one rule without a state: all rows at once, and one by one only where some row is anomalous.
void decide_at_rate(double rate, std::span<const double> p_values, std::span<const std::uint8_t> extrapolated,
                    std::span<const std::uint8_t> refused, std::span<double> thresholds,
                    std::span<std::uint8_t> flags) {
  std::ranges::fill(thresholds, rate);
  for (std::size_t i = 0; i < flags.size(); ++i)
    flags[i] = refused[i] ? flag_refused : flag_of(false, extrapolated[i]);
  std::int64_t anomalous = 0;
  for (const double p : p_values) anomalous += p <= rate;
  if (anomalous == 0) return;
  for (std::size_t i = 0; i < flags.size(); ++i)
    if (!refused[i] && p_values[i] <= rate) flags[i] |= flag_anomalous;
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.12g", value);
  return text;
}

}  // namespace

std::string describe(const DecisionRule& rule) {
  if (const auto* rate = std::get_if<FalseAlarmRate>(&rule)) return "false_alarm_rate: " + number(rate->rate);
  if (const auto* day = std::get_if<FalseAlarmsPerDay>(&rule))
    return "false_alarms_per_day: " + number(day->alarms);
  const auto& discoveries = std::get<FalseDiscoveryRate>(rule);
  return "false_discovery_rate: " + number(discoveries.rate) + ", memory: " + number(discoveries.memory);
}

Decider::Decider(DecisionRule rule) : rule_(rule) {
  if (const auto* rate = std::get_if<FalseAlarmRate>(&rule_)) {
    if (!(rate->rate > 0 && rate->rate < 1))
      throw std::invalid_argument("false_alarm_rate: found " + number(rate->rate) +
                                  ", allowed a number between 0 and 1, exclusive");
    return;
  }
  if (const auto* discoveries = std::get_if<FalseDiscoveryRate>(&rule_)) {
    if (!(discoveries->rate > 0 && discoveries->rate < 1))
      throw std::invalid_argument("false_discovery_rate: found " + number(discoveries->rate) +
                                  ", allowed a number between 0 and 1, exclusive");
    if (!(discoveries->memory >= 100 && discoveries->memory <= 1e9))
      throw std::invalid_argument("memory: found " + number(discoveries->memory) +
                                  ", allowed 100 to 1e9 events");
    state_.assign(discovery_places, 0);
    return;
  }
  const double alarms = std::get<FalseAlarmsPerDay>(rule_).alarms;
  if (!(alarms > 0 && alarms <= 1e12))
    throw std::invalid_argument("false_alarms_per_day: found " + number(alarms) +
                                ", allowed a number above 0, at most 1e12");
  state_.assign(places, 0);
}

void Decider::decide(std::span<const double> p_values, std::span<const std::uint8_t> extrapolated,
                     std::span<const std::uint8_t> refused, std::span<const std::int64_t> time,
                     std::span<double> thresholds, std::span<std::uint8_t> flags, double least_p_value) {
  const std::size_t count = p_values.size();
  const auto* const day = std::get_if<FalseAlarmsPerDay>(&rule_);
  const auto* const discoveries = std::get_if<FalseDiscoveryRate>(&rule_);
  if (extrapolated.size() != count || refused.size() != count || thresholds.size() != count ||
      flags.size() != count || (!time.empty() && time.size() != count))
    throw std::invalid_argument("decide: spans of different lengths");
  if (day && time.size() != count)
    throw std::invalid_argument("false_alarms_per_day needs the events' times, and there are none");
  if (const auto* rate = std::get_if<FalseAlarmRate>(&rule_))
    return decide_at_rate(rate->rate, p_values, extrapolated, refused, thresholds, flags);
  for (std::size_t i = 0; i < count; ++i) {
    if (refused[i]) {
      thresholds[i] = 0;
      flags[i] = flag_refused;
      continue;
    }
    const double threshold = day ? threshold_by_day(state_, day->alarms, time[i])
                                 : threshold_by_discoveries(state_, *discoveries, least_p_value);
    const bool flagged = p_values[i] <= threshold;
    if (discoveries) learn_level(state_, *discoveries, p_values[i], flagged);
    thresholds[i] = threshold;
    flags[i] = flag_of(flagged, extrapolated[i]);
  }
}

std::vector<double> Decider::state() const {
  return state_;
}

void Decider::restore(std::span<const double> state) {
  const auto wrong = [] { throw std::invalid_argument("that is no state of this decision rule"); };
  if (state.size() != state_.size()) wrong();
  for (const double value : state)
    if (!std::isfinite(value)) wrong();
  if (std::holds_alternative<FalseDiscoveryRate>(rule_)) {
    for (const double value : state)
      if (value < 0) wrong();
    if (std::floor(state[since_levelled]) != state[since_levelled] || state[since_levelled] >= level_every ||
        state[level] > threshold_max)
      wrong();
    for (std::size_t i = 0; i < half_octaves; ++i)
      if (state[largest + i] > 1 || (state[largest + i] > 0 && half_octave(state[largest + i]) != i)) wrong();
  } else if (!state.empty()) {
    const bool whole = std::floor(state[newest_high]) == state[newest_high] &&
                       std::abs(state[newest_high]) <= half / 2 &&
                       std::floor(state[newest_low]) == state[newest_low] && state[newest_low] >= 0 &&
                       state[newest_low] < half && state[newest_high] < half / 2;
    if (!whole || (state[started] != 0 && state[started] != 1) || state[events] < 0 || state[exposure] < 0 ||
        state[exposure] > 1 || state[purse] < 0)
      wrong();
  }
  state_.assign(state.begin(), state.end());
}

double false_discovery_rate(std::span<const double> p_values, double q, std::span<std::uint8_t> flags) {
  if (!(q > 0 && q < 1))
    throw std::invalid_argument("false_discovery_rate: found " + number(q) +
                                ", allowed a number between 0 and 1, exclusive");
  if (flags.size() != p_values.size())
    throw std::invalid_argument("false_discovery_rate: spans of different lengths");
  std::vector<double> sorted;
  sorted.reserve(p_values.size());
  for (const double p : p_values)
    if (!std::isnan(p)) sorted.push_back(p);
  std::sort(sorted.begin(), sorted.end());
  const double tests = static_cast<double>(sorted.size());
  double threshold = 0;
  for (std::size_t i = sorted.size(); i > 0; --i)
    if (sorted[i - 1] * tests <= q * static_cast<double>(i)) {
      threshold = sorted[i - 1];
      break;
    }
  for (std::size_t i = 0; i < p_values.size(); ++i)
    flags[i] = static_cast<std::uint8_t>((flags[i] & ~flag_anomalous) |
                                         (p_values[i] <= threshold ? flag_anomalous : 0));
  return threshold;
}

}  // namespace lanner::engine
