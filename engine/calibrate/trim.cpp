#include "engine/calibrate/trim.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace lanner::engine {
namespace {

constexpr double surprise = 5e-4;         // Poisson tail below which k clean scores are a wonder
constexpr double clean_share_max = 0.2;   // of the suspects
constexpr double likelihood_drop = 2.71;  // half the chi-square(1) quantile of a 98 % profile interval
constexpr std::size_t window_min = 20, suspects_min = 3;
constexpr double distinct_share_min = 0.75;  // of a window
constexpr double median_reach_min = 0.4;     // of the reach of the suspect with a tenth of them above it
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
  std::size_t distinct = 1;
  for (std::size_t i = below.size() - 1; i > static_cast<std::size_t>(first); --i)
    distinct += below[i] != below[i - 1];
  if (static_cast<double>(distinct) < distinct_share_min * static_cast<double>(count)) return false;
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

/// A generalised Pareto of one shape, truncated at the window's cut, as a function of the logarithm of its
/// scale.
class TruncatedPareto {
 public:
  TruncatedPareto(const Window& window, double shape) : window_(window), shape_(shape) {}

  double log_likelihood(double log_scale) const {
    const double scale = std::exp(log_scale);
    double sum = 0;
    if (shape_ == 0) {
      for (std::size_t i = 0; i < window_.excess.size(); ++i) sum += window_.weight[i] * window_.excess[i];
      sum /= scale;
    } else {
      for (std::size_t i = 0; i < window_.excess.size(); ++i)
        sum += window_.weight[i] * std::log1p(shape_ / scale * window_.excess[i]);
      sum *= 1 / shape_ + 1;
    }
    return -sum - window_.count * (log_scale + std::log1p(-beyond(scale)));
  }

  /// How many scores belong at or above the cut, for the window's count below it.
  double expected(double log_scale) const {
    const double share = beyond(std::exp(log_scale));
    return window_.count * share / (1 - share);
  }

  /// The scale for which `expected` scores belong there.
  double log_scale(double expected) const {
    const double log_share = std::log(expected / (window_.count + expected));
    return std::log(shape_ == 0 ? window_.cut / -log_share
                                : shape_ * window_.cut / std::expm1(-shape_ * log_share));
  }

 private:
  double beyond(double scale) const {
    return shape_ == 0 ? std::exp(-window_.cut / scale)
                       : std::pow(1 + shape_ / scale * window_.cut, -1 / shape_);
  }

  const Window& window_;
  double shape_;
};

/// Where a function that rises and then falls is highest in [low, high].
template <class F>
double highest(double low, double high, F&& f) {
  constexpr double ratio = 0.6180339887498949;
  double left = high - ratio * (high - low), right = low + ratio * (high - low);
  double at_left = f(left), at_right = f(right);
  for (int i = 0; i < 24; ++i) {
    if (at_left < at_right) {
      low = left;
      left = right;
      at_left = at_right;
      right = low + ratio * (high - low);
      at_right = f(right);
    } else {
      high = right;
      right = left;
      at_right = at_left;
      left = high - ratio * (high - low);
      at_left = f(left);
    }
  }
  return (low + high) / 2;
}

/// The largest number of clean scores beyond the cut that the likelihood allows for any shape; infinity where
/// that is several times `most` or the window's count.
double expected_beyond(const Window& window, double most) {
  std::array<double, shapes.size()> peaks, likelihoods;
  const double limit = 4 * std::max(window.count, most);
  const double low = std::log(window.excess[window.excess.size() / 2]) - 7;
  double best = -std::numeric_limits<double>::infinity();
  for (std::size_t s = 0; s < shapes.size(); ++s) {
    const TruncatedPareto pareto(window, shapes[s]);
    const auto likelihood = [&](double log_scale) { return pareto.log_likelihood(log_scale); };
    peaks[s] = highest(std::min(low, pareto.log_scale(limit)), pareto.log_scale(limit), likelihood);
    likelihoods[s] = likelihood(peaks[s]);
    best = std::max(best, likelihoods[s]);
  }
  const double bar = best - likelihood_drop;
  double most_allowed = 0;
  for (std::size_t s = 0; s < shapes.size(); ++s) {
    if (!(likelihoods[s] >= bar)) continue;
    const TruncatedPareto pareto(window, shapes[s]);
    double allowed = peaks[s], refused = pareto.log_scale(limit);
    if (pareto.log_likelihood(refused) >= bar) return std::numeric_limits<double>::infinity();
    for (int i = 0; i < 16; ++i) {
      const double middle = (allowed + refused) / 2;
      (pareto.log_likelihood(middle) >= bar ? allowed : refused) = middle;
    }
    most_allowed = std::max(most_allowed, pareto.expected(allowed));
  }
  return most_allowed;
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

/// Whether the suspects stand apart, instead of crowding at the cut and thinning out above it as the tail of
/// a clean second regime does.
bool of_its_own(std::span<const float> suspects, double highest_below) {
  const std::size_t last = suspects.size() - 1;
  const double median = suspects[last / 2] - highest_below,
               far = suspects[(9 * last + 9) / 10] - highest_below;
  return median >= median_reach_min * far;
}

class Search {
 public:
  explicit Search(std::span<const float> scores) : scores_(scores) {
    suspects_max_ = static_cast<std::size_t>(trim_share_max * static_cast<double>(scores.size()));
  }

  /// Of each run of neighbouring counts only the cut with the widest gap below it is considered.
  Trim run() {
    for (std::size_t count = suspects_min; count <= suspects_max_;) {
      const std::size_t next = std::min(std::max(count + 1, count + count / 10), suspects_max_ + 1);
      std::size_t widest = count;
      for (std::size_t other = count + 1; other < next; ++other)
        if (gap_below(other) > gap_below(widest)) widest = other;
      consider(widest);
      count = next;
    }
    return best_;
  }

 private:
  double gap_below(std::size_t count) const {
    const std::size_t first = scores_.size() - count;
    return static_cast<double>(scores_[first]) - static_cast<double>(scores_[first - 1]);
  }

  /// The cut at the count-th highest score.
  void consider(std::size_t count) {
    const float cut = scores_[scores_.size() - count];
    const auto first =
        static_cast<std::size_t>(std::lower_bound(scores_.begin(), scores_.end(), cut) - scores_.begin());
    const std::size_t suspects = scores_.size() - first;
    if (suspects > suspects_max_ || !of_its_own(scores_.subspan(first), scores_[first - 1])) return;
    if (!make_window(scores_.first(first), cut, window_)) return;
    const double expected = expected_beyond(window_, static_cast<double>(suspects));
    if (expected > clean_share_max * static_cast<double>(suspects)) return;
    if (poisson_tail(expected, suspects) > surprise) return;
    const Trim trim{suspects, static_cast<std::size_t>(std::ceil(std::max(0.0, expected - 0.1))), expected};
    if (trim.trimmed() > best_.trimmed()) best_ = trim;
  }

  std::span<const float> scores_;
  std::size_t suspects_max_ = 0;
  Trim best_;
  Window window_;
};

}  // namespace

Trim suspected(std::span<const float> scores) {
  if (scores.size() < trim_scores_min) return {};
  return Search(scores).run();
}

}  // namespace lanner::engine
