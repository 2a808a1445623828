#include "engine/series/surprise.hpp"

#include <algorithm>
#include <limits>

#include "kernels/arithmetic/elementary.hpp"

namespace lanner::engine {
namespace {

constexpr double ln10 = 2.302585092994046;
constexpr double lowest_edge = -20.0 * ln10;
constexpr double bin_width = 40.0 * ln10 / static_cast<double>(SurpriseHistogram::bins);

std::size_t bin_of(double log_value) {
  const double place = (log_value - lowest_edge) / bin_width;
  return static_cast<std::size_t>(std::clamp(place, 0.0, static_cast<double>(SurpriseHistogram::bins - 1)));
}

double lower_edge(std::size_t bin) {
  return lowest_edge + static_cast<double>(bin) * bin_width;
}

double centre(std::size_t bin) {
  return lowest_edge + (static_cast<double>(bin) + 0.5) * bin_width;
}

double negative_log10(double probability) {
  return -(lanner::log(probability) / ln10);
}

}  // namespace

double tail_probability(double surprise) {
  if (surprise == std::numeric_limits<double>::infinity()) return 0;
  return std::max(lanner::exp(-surprise * ln10), std::numeric_limits<double>::min());
}

double SurpriseHistogram::update(double value) {
  if (!(value > 0)) {
    ++values_;
    return 0;
  }
  const double log_value = lanner::log(value);
  const std::size_t bin = bin_of(log_value);
  const double result = values_ < rule_.values_least ? 0 : surprise(log_value, bin);
  ++values_;
  ++held_[bin];
  top_ = std::max(top_, bin);
  return result;
}

double SurpriseHistogram::surprise(double log_value, std::size_t bin) const {
  const double enough = std::max(rule_.share * values_, rule_.least);
  double held = 0, logs = 0;
  std::size_t last = top_;
  for (;; --last) {
    held += held_[last];
    logs += held_[last] * centre(last);
    if (held >= enough || last == 0) break;
  }
  const double edge = lower_edge(last);
  if (held > 0 && log_value > edge) {
    const double shape = std::max(logs / held - edge, bin_width);
    return negative_log10(held / (values_ + 1)) + (log_value - edge) / shape / ln10;
  }
  double above = 0;
  for (std::size_t higher = bin + 1; higher <= top_; ++higher) above += held_[higher];
  return std::max(negative_log10((above + 0.5 * held_[bin] + 1) / (values_ + 1)), 0.0);
}

void SurpriseHistogram::save(SnapshotWriter& writer) const {
  writer.number(values_);
  writer.numbers(held_);
}

void SurpriseHistogram::load(SnapshotReader& reader) {
  values_ = reader.number(0, whole_most);
  reader.numbers(held_, 0, values_);
  top_ = 0;
  for (std::size_t bin = 0; bin < bins; ++bin)
    if (held_[bin] > 0) top_ = bin;
}

}  // namespace lanner::engine
