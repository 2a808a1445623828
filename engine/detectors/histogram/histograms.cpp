#include "engine/detectors/histogram/histograms.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace lanner::engine::histogram {
namespace {

constexpr double smoothing = 0.1;

std::vector<float> equal_width_edges(double low, double high, std::size_t bins) {
  std::vector<float> edges(bins + 1);
  for (std::size_t i = 0; i <= bins; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(bins);
    edges[i] = static_cast<float>(low * (1 - share) + high * share);
  }
  return edges;
}

std::vector<float> equal_count_edges(std::span<const float> sorted, std::size_t bins) {
  std::vector<float> edges(bins + 1);
  for (std::size_t i = 0; i <= bins; ++i) edges[i] = sorted[i * (sorted.size() - 1) / bins];
  return edges;
}

// Edges must rise: bins that float32 can't tell apart, or that hold a single repeated value, become one.
void make_rising(std::vector<float>& edges) {
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
}

// New rows often lie a little outside the range of the training rows: the outermost bins reach out for them.
void tolerate_half_a_bin(std::vector<float>& edges) {
  const auto beyond = [](float edge, float inner) {
    constexpr double most = std::numeric_limits<float>::max();
    const double half = (static_cast<double>(edge) - static_cast<double>(inner)) / 2;
    return static_cast<float>(std::clamp(static_cast<double>(edge) + half, -most, most));
  };
  const float first = beyond(edges.front(), edges[1]), last = beyond(edges.back(), edges[edges.size() - 2]);
  edges.front() = first;
  edges.back() = last;
}

// Rows of each bin: [e[i], e[i+1]), the last one closed.
std::vector<std::size_t> counts_between(std::span<const float> sorted, std::span<const float> edges) {
  std::vector<std::size_t> counts;
  auto from = sorted.begin();
  for (std::size_t i = 1; i < edges.size(); ++i) {
    const auto to = i + 1 == edges.size() ? sorted.end() : std::lower_bound(from, sorted.end(), edges[i]);
    counts.push_back(static_cast<std::size_t>(to - from));
    from = to;
  }
  return counts;
}

float bits_rarer(double densest, double density) {
  return static_cast<float>(std::log2((densest + smoothing) / (density + smoothing)));
}

float never_seen(double densest, std::size_t rows) {
  return std::max(bits_rarer(densest, 0), static_cast<float>(std::log2(static_cast<double>(rows) + 1)));
}

// The bin of the constant alone, [value, next), and beside it one for the neighbouring floats, since the last
// bin is closed above. At the top of the float range the order is reversed and the constant shares its bin
// with the float just below.
void append_constant(density::Histograms& histograms, float value, std::size_t rows, std::size_t bins) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const float densest_penalty = 0;
  const float unseen = never_seen(static_cast<double>(bins), rows);
  const float next = std::nextafter(value, infinity), after = std::nextafter(next, infinity);
  if (std::isfinite(after)) {
    histograms.edges.insert(histograms.edges.end(), {value, next, after});
    histograms.penalties.insert(histograms.penalties.end(), {unseen, densest_penalty, unseen, unseen});
  } else {
    const float before = std::nextafter(value, -infinity);
    histograms.edges.insert(histograms.edges.end(), {before, value});
    histograms.penalties.insert(histograms.penalties.end(), {unseen, densest_penalty, unseen});
  }
}

}  // namespace

std::size_t penalised_bins(std::span<const float> sorted) {
  const double n = static_cast<double>(sorted.size()), low = sorted.front(), high = sorted.back();
  constexpr std::size_t bins_most = 256;
  const double most = n > 2 ? n / std::log(n) : 1;
  const std::size_t tried = std::clamp<std::size_t>(static_cast<std::size_t>(most), 1, bins_most);
  std::size_t best = 1;
  double best_value = -std::numeric_limits<double>::infinity();
  for (std::size_t bins = 1; bins <= tried; ++bins) {
    const double d = static_cast<double>(bins);
    double value = -(d - 1) - std::pow(std::log(d), 2.5);
    std::vector<float> edges = equal_width_edges(low, high, bins);
    for (std::size_t count : counts_between(sorted, edges))
      if (count > 0) value += static_cast<double>(count) * std::log(d * static_cast<double>(count) / n);
    if (value > best_value) best = bins, best_value = value;
  }
  return best;
}

void append_feature(density::Histograms& histograms, std::span<const float> sorted, const Binning& binning) {
  const double low = sorted.front(), high = sorted.back();
  if (low == high) {
    append_constant(histograms, sorted.front(), sorted.size(),
                    binning.bins == 0 ? Binning().bins : binning.bins);
  } else {
    const std::size_t bins = binning.bins == 0 ? penalised_bins(sorted) : binning.bins;
    std::vector<float> edges = binning.rule == Rule::equal_width ? equal_width_edges(low, high, bins)
                                                                 : equal_count_edges(sorted, bins);
    make_rising(edges);
    const std::vector<std::size_t> counts = counts_between(sorted, edges);
    std::vector<double> densities;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const double share_of_rows = static_cast<double>(counts[i]) / static_cast<double>(sorted.size());
      const double share_of_range =
          (static_cast<double>(edges[i + 1]) - static_cast<double>(edges[i])) / (high - low);
      densities.push_back(share_of_rows / share_of_range);
    }
    if (binning.rule == Rule::equal_width) tolerate_half_a_bin(edges);
    const double densest = *std::max_element(densities.begin(), densities.end());
    const float unseen = never_seen(densest, sorted.size());
    histograms.edges.insert(histograms.edges.end(), edges.begin(), edges.end());
    histograms.penalties.push_back(unseen);
    for (double density : densities) histograms.penalties.push_back(bits_rarer(densest, density));
    histograms.penalties.push_back(unseen);
  }
  histograms.edge_begin.push_back(histograms.edges.size());
  histograms.penalty_begin.push_back(histograms.penalties.size());
}

}  // namespace lanner::engine::histogram
