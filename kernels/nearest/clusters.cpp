#include "kernels/nearest/clusters.hpp"

#include <algorithm>
#include <limits>
#include <random>

namespace lanner::nearest {
namespace {

constexpr std::size_t sampled_for_each = 64;
constexpr int turns = 10;

// Eight sums side by side, for the compiler's vectors. Which centre wins a near tie is nothing that matters.
float squared_distance(const float* a, const float* b, std::size_t width) {
  float sum[8] = {};
  std::size_t j = 0;
  for (; j + 8 <= width; j += 8)
    for (std::size_t lane = 0; lane < 8; ++lane) {
      const float difference = a[j + lane] - b[j + lane];
      sum[lane] += difference * difference;
    }
  for (; j < width; ++j) sum[j % 8] += (a[j] - b[j]) * (a[j] - b[j]);
  return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

class Lloyd {
 public:
  Lloyd(const ReferenceSet& set, std::size_t clusters)
      : set_(set),
        clusters_(clusters),
        sample_(std::min(sampled_for_each * clusters, set.distinct())),
        centre_(clusters * set.width) {
    // One row of each stretch, anywhere in it: rows may come in turns.
    const std::size_t n = set.distinct(), stretch = n / sample_.size();
    for (std::size_t i = 0; i < sample_.size(); ++i)
      sample_[i] = static_cast<std::uint32_t>(i * n / sample_.size() + random_() % stretch);
    seed();
    for (int turn = 0; turn < turns; ++turn) move_centres();
  }

  std::uint32_t nearest_centre(const float* row) const {
    std::uint32_t best = 0;
    float least = std::numeric_limits<float>::infinity();
    for (std::size_t c = 0; c < clusters_; ++c) {
      const float distance = squared_distance(row, centre(c), set_.width);
      if (distance < least) {
        least = distance;
        best = static_cast<std::uint32_t>(c);
      }
    }
    return best;
  }

 private:
  const float* centre(std::size_t c) const { return centre_.data() + c * set_.width; }
  const float* sampled(std::size_t i) const { return set_.values.data() + sample_[i] * set_.width; }

  void seed() {
    std::vector<float> nearest(sample_.size(), std::numeric_limits<float>::infinity());
    std::size_t chosen = 0;
    for (std::size_t c = 0; c < clusters_; ++c) {
      std::copy_n(sampled(chosen), set_.width, centre_.begin() + static_cast<std::ptrdiff_t>(c * set_.width));
      double total = 0;
      for (std::size_t i = 0; i < sample_.size(); ++i) {
        nearest[i] = std::min(nearest[i], squared_distance(sampled(i), centre(c), set_.width));
        total += static_cast<double>(nearest[i]);
      }
      double left = static_cast<double>(random_() >> 11) * 0x1p-53 * total;
      for (chosen = 0; chosen + 1 < sample_.size(); ++chosen) {
        left -= static_cast<double>(nearest[chosen]);
        if (left < 0) break;
      }
    }
  }

  void move_centres() {
    const std::size_t width = set_.width;
    std::vector<double> sum(clusters_ * width, 0);
    std::vector<double> count(clusters_, 0);
    for (std::size_t i = 0; i < sample_.size(); ++i) {
      const float* row = sampled(i);
      const std::uint32_t c = nearest_centre(row);
      ++count[c];
      for (std::size_t j = 0; j < width; ++j) sum[c * width + j] += static_cast<double>(row[j]);
    }
    for (std::size_t c = 0; c < clusters_; ++c)
      if (count[c] > 0)
        for (std::size_t j = 0; j < width; ++j)
          centre_[c * width + j] = static_cast<float>(sum[c * width + j] / count[c]);
  }

  const ReferenceSet& set_;
  std::size_t clusters_;
  std::mt19937_64 random_{1};
  std::vector<std::uint32_t> sample_;
  std::vector<float> centre_;  // [clusters, width]
};

}  // namespace

std::vector<std::uint32_t> clusters_of(const ReferenceSet& set, std::size_t clusters) {
  const Lloyd lloyd(set, clusters);
  std::vector<std::uint32_t> cluster(set.distinct());
  for (std::size_t i = 0; i < cluster.size(); ++i)
    cluster[i] = lloyd.nearest_centre(set.values.data() + i * set.width);
  return cluster;
}

}  // namespace lanner::nearest
