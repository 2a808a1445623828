#include "engine/calibrate/trim.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace lanner::engine {
namespace {

constexpr double surprise = 0.002;        // Poisson tail below which k clean scores are a wonder
constexpr double clean_share_max = 0.2;   // of the suspects
constexpr double likelihood_drop = 2.71;  // half the chi-square(1) quantile of a 98 % profile interval
constexpr std::size_t window_min = 20;
// A tail lighter than exponential is never assumed: it would call ordinary extremes impossible.
constexpr std::array<double, 8> shapes{0, 0.15, 0.3, 0.5, 0.75, 1, 1.4, 2};

/// Excesses over the window's lower end, with weights: the highest one by one, lower ones in blocks by their
/// means, so that a fit costs the same for a hundred rows and a million.
struct Window {
  std::vector<double> excess, weight;
  double count = 0;
  double cut = 0;
};

bool make_window(std::span<const float> below, double cut, Window& window) {
  window.excess.clear();
  window.weight.clear();
  // The deeper into the tail, the truer the model; the more scores, the deeper one can go.
  const auto size = static_cast<std::size_t>(2.5 * std::pow(static_cast<double>(below.size()), 2.0 / 3));
  const double low = below[below.size() - 1 - std::min(below.size() / 4, size)];
  const auto first = std::upper_bound(below.begin(), below.end(), static_cast<float>(low)) - below.begin();
  const std::size_t count = below.size() - static_cast<std::size_t>(first);
  if (count < window_min) return false;
  window.count = static_cast<double>(count);
  window.cut = cut - low;
  std::size_t block = 1;
  for (std::size_t done = 0; done < count;) {
    const std::size_t size = std::min(block, count - done);
    double sum = 0;
    for (std::size_t i = 0; i < size; ++i)
      sum += static_cast<double>(below[below.size() - 1 - done - i]) - low;
    window.excess.push_back(sum / static_cast<double>(size));
    window.weight.push_back(static_cast<double>(size));
    done += size;
    if (done >= 32) block = std::max(block + 1, block + block / 20);
  }
  return window.excess.front() > window.excess.back();
}

/// Log-likelihood of the window under a generalised Pareto truncated at the cut, of this shape, and with so
/// much of its probability beyond the cut that `expected` further scores belong there. That fixes its scale.
double log_likelihood(const Window& window, double shape, double expected) {
  const double beyond = expected / (window.count + expected);
  double sum = 0, scale = 0;
  if (shape == 0) {
    scale = window.cut / -std::log(beyond);
    for (std::size_t i = 0; i < window.excess.size(); ++i) sum += window.weight[i] * window.excess[i];
    sum /= scale;
  } else {
    scale = shape * window.cut / std::expm1(-shape * std::log(beyond));
    const double slope = shape / scale;
    for (std::size_t i = 0; i < window.excess.size(); ++i)
      sum += window.weight[i] * std::log1p(slope * window.excess[i]);
    sum *= 1 / shape + 1;
  }
  return -sum - window.count * (std::log(scale) + std::log1p(-beyond));
}

/// The largest number of clean scores beyond the cut that the window's profile likelihood allows.
/// infinity where it sets no bound up to a few times `most`.
double expected_beyond(const Window& window, double most, std::vector<double>& profile) {
  constexpr double step = 1.6, least = 1e-3;
  profile.clear();
  double best = -std::numeric_limits<double>::infinity();
  for (double expected = least; expected < std::max(window.count, 4 * most); expected *= step) {
    double highest = -std::numeric_limits<double>::infinity();
    for (const double shape : shapes) highest = std::max(highest, log_likelihood(window, shape, expected));
    profile.push_back(highest);
    best = std::max(best, highest);
  }
  const double bar = best - likelihood_drop;
  std::size_t last = profile.size() - 1;
  while (!(profile[last] >= bar)) --last;
  if (last + 1 == profile.size()) return std::numeric_limits<double>::infinity();
  const double part = (profile[last] - bar) / (profile[last] - profile[last + 1]);
  return least * std::pow(step, static_cast<double>(last) + part);
}

/// P(Poisson(mean) >= count).
double poisson_tail(double mean, std::size_t count) {
  double below = 0, term = std::exp(-mean);
  for (std::size_t i = 0; i < count; ++i) {
    below += term;
    term *= mean / static_cast<double>(i + 1);
  }
  return 1 - below;
}

class Search {
 public:
  explicit Search(std::span<const float> scores) : scores_(scores) {
    suspects_max_ = static_cast<std::size_t>(trim_share_max * static_cast<double>(scores.size()));
  }

  Trim run() {
    std::size_t low = 1, high = 0, before = 0;
    for (std::size_t count = 1; count <= suspects_max_;) {
      const std::size_t trimmed = best_.trimmed(), next = std::max(count + 1, count + count / 4);
      consider(count);
      if (best_.trimmed() > trimmed) {
        low = before + 1;
        high = std::min(next - 1, suspects_max_);
      }
      before = count;
      count = next;
    }
    for (std::size_t count = low; count <= high; count += std::max<std::size_t>(1, count / 40))
      consider(count);
    return best_;
  }

 private:
  /// The cut at the count-th highest score.
  void consider(std::size_t count) {
    const float cut = scores_[scores_.size() - count];
    const auto first = std::lower_bound(scores_.begin(), scores_.end(), cut) - scores_.begin();
    const std::size_t suspects = scores_.size() - static_cast<std::size_t>(first);
    if (suspects > suspects_max_) return;
    if (!make_window(scores_.first(static_cast<std::size_t>(first)), cut, window_)) return;
    const double expected = expected_beyond(window_, static_cast<double>(suspects), profile_);
    if (expected > clean_share_max * static_cast<double>(suspects)) return;
    if (poisson_tail(expected, suspects) > surprise) return;
    const Trim trim{suspects, static_cast<std::size_t>(std::ceil(std::max(0.0, expected - 0.1))), expected};
    if (trim.trimmed() > best_.trimmed()) best_ = trim;
  }

  std::span<const float> scores_;
  std::size_t suspects_max_ = 0;
  Trim best_;
  Window window_;
  std::vector<double> profile_;
};

}  // namespace

Trim suspected(std::span<const float> scores) {
  if (scores.size() < trim_scores_min) return {};
  return Search(scores).run();
}

}  // namespace lanner::engine
