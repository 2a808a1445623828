#include "engine/detectors/cluster_distance/fit.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "engine/detectors/references.hpp"
#include "kernels/arithmetic/elementary.hpp"
#include "kernels/mlp/random.hpp"

namespace lanner::engine::cluster_distance {
namespace {

constexpr int rounds_max = 100;

struct Clusters {
  std::vector<float> centres;  // [clusters, width]
  std::vector<std::size_t> sizes;
  double cost = 0;  // the sum of squared distances
};

class KMeans {
 public:
  KMeans(Device& device, Rows rows)
      : device_(device),
        rows_(rows),
        stream_(device.stream()),
        cluster_(rows.count),
        distance_(rows.count),
        taken_(rows.count),
        count_(rows.count) {}

  Clusters run(std::size_t clusters, std::uint64_t seed) {
    mlp::Random random(seed);
    Clusters found{starts(clusters, random), {}, 0};
    std::vector<std::uint32_t> before;
    for (int round = 0; round < rounds_max; ++round) {
      assign(found.centres);
      if (cluster_ == before) break;
      before = cluster_;
      move_centres(found.centres);
    }
    found.sizes.assign(found.centres.size() / rows_.width, 0);
    for (std::size_t i = 0; i < rows_.count; ++i) {
      ++found.sizes[cluster_[i]];
      found.cost += squared(distance_[i]);
    }
    return found;
  }

 private:
  static double squared(float distance) {
    return static_cast<double>(distance) * static_cast<double>(distance);
  }

  /// The nearest of these centres to every row, and how far it is. Of equal centres, the first.
  void assign(const std::vector<float>& centres) {
    const std::size_t width = rows_.width;
    const nearest::ReferenceSet set =
        nearest::distinct_rows({centres.data(), centres.size() / width, width, width});
    const auto index = nearest::make_index(device_, set, 1);
    auto workspace = device_.array<std::byte>(index->workspace_bytes(rows_.count, 1, nearest::Count::rows));
    nearest::search(stream_, *index, rows_, 1, nearest::Count::rows, {}, workspace.span(),
                    {1, cluster_.data(), distance_.data(), taken_.data(), count_.data()});
    for (std::uint32_t& cluster : cluster_) cluster = set.members[set.member_begin[cluster]];
  }

  // One centre that squared distances weigh, after a first that nothing does.
  std::vector<float> starts(std::size_t clusters, mlp::Random& random) {
    const auto candidates = static_cast<std::size_t>(2 + log(static_cast<double>(clusters)));
    std::vector<float> centres;
    std::vector<double> nearest(rows_.count, std::numeric_limits<double>::max()), closer, best;
    double potential = 0;
    for (std::size_t c = 0; c < clusters && (c == 0 || potential > 0); ++c) {
      double least = std::numeric_limits<double>::infinity();
      std::size_t chosen = 0;
      for (std::size_t candidate = 0; candidate < (c == 0 ? 1 : candidates); ++candidate) {
        const std::size_t row = c == 0 ? random.below(rows_.count) : drawn(nearest, potential, random);
        assign({rows_.row(row), rows_.row(row) + rows_.width});
        closer = nearest;
        double sum = 0;
        for (std::size_t i = 0; i < rows_.count; ++i) {
          closer[i] = std::min(closer[i], squared(distance_[i]));
          sum += closer[i];
        }
        if (sum < least) {
          least = sum;
          chosen = row;
          best.swap(closer);
        }
      }
      centres.insert(centres.end(), rows_.row(chosen), rows_.row(chosen) + rows_.width);
      nearest.swap(best);
      potential = least;
    }
    return centres;
  }

  // A row, each as likely as it weighs; some weigh something.
  std::size_t drawn(const std::vector<double>& weights, double total, mlp::Random& random) const {
    const double point = random.unit() * total;
    double sum = 0;
    std::size_t last = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (!(weights[i] > 0)) continue;
      last = i;
      sum += weights[i];
      if (sum > point) break;
    }
    return last;
  }

  // A centre without rows stays where it is.
  void move_centres(std::vector<float>& centres) const {
    const std::size_t width = rows_.width;
    const float* const origin = rows_.row(0);
    std::vector<double> sums(centres.size());
    std::vector<std::size_t> sizes(centres.size() / width);
    for (std::size_t i = 0; i < rows_.count; ++i) {
      double* const sum = sums.data() + cluster_[i] * width;
      for (std::size_t j = 0; j < width; ++j)
        sum[j] += static_cast<double>(rows_.row(i)[j]) - static_cast<double>(origin[j]);
      ++sizes[cluster_[i]];
    }
    for (std::size_t c = 0; c < sizes.size(); ++c)
      for (std::size_t j = 0; j < width && sizes[c] > 0; ++j)
        centres[c * width + j] = static_cast<float>(static_cast<double>(origin[j]) +
                                                    sums[c * width + j] / static_cast<double>(sizes[c]));
  }

  Device& device_;
  Rows rows_;
  Stream stream_;
  std::vector<std::uint32_t> cluster_;
  std::vector<float> distance_;
  std::vector<std::uint32_t> taken_, count_;
};

// How many of the sizes, which fall, are of large clusters.
std::size_t large_of(const std::vector<std::size_t>& sizes, std::size_t rows, const Clustering& clustering) {
  const double enough = clustering.alpha * static_cast<double>(rows);
  std::size_t held = 0, first = sizes.size();
  for (std::size_t b = 1; b < sizes.size(); ++b) {
    held += sizes[b - 1];
    if (static_cast<double>(held) < enough) continue;
    first = std::min(first, b);
    if (static_cast<double>(sizes[b - 1]) >= clustering.beta * static_cast<double>(sizes[b])) return b;
  }
  return first;
}

}  // namespace

nearest::ReferenceSet large_centres(const FitRequest& request, const Clustering& clustering) {
  check_training_rows(request.rows);
  const std::size_t width = request.rows.width;
  mlp::Random random(clustering.seed);
  KMeans means(request.device, request.rows);
  Clusters best;
  for (std::size_t run = 0; run < clustering.runs; ++run) {
    Clusters found = means.run(std::min(clustering.clusters, request.rows.count), random.next());
    if (run == 0 || found.cost < best.cost) best = std::move(found);
    if (request.progress)
      request.progress(static_cast<double>(run + 1) / static_cast<double>(clustering.runs), "rows clustered");
  }

  std::vector<std::size_t> order(best.sizes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return best.sizes[a] > best.sizes[b]; });
  std::erase_if(order, [&](std::size_t cluster) { return best.sizes[cluster] == 0; });
  std::vector<std::size_t> sizes;
  for (const std::size_t cluster : order) sizes.push_back(best.sizes[cluster]);
  std::vector<float> centres;
  for (std::size_t c = 0; c < large_of(sizes, request.rows.count, clustering); ++c) {
    const auto centre = best.centres.begin() + static_cast<std::ptrdiff_t>(order[c] * width);
    centres.insert(centres.end(), centre, centre + static_cast<std::ptrdiff_t>(width));
  }
  return nearest::distinct_rows({centres.data(), centres.size() / width, width, width});
}

}  // namespace lanner::engine::cluster_distance
