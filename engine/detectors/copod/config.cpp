// Fitting: every feature's tails. There is nothing to set.
#include <algorithm>
#include <cmath>

#include "engine/detectors/binned_penalties.hpp"
#include "engine/detectors/copod/copod.hpp"
#include "engine/detectors/empirical_tails.hpp"

namespace lanner::engine::copod {
namespace {

std::shared_ptr<const Fitted> fit(const FitRequest& request) {
  return fit_tails(request, [](std::span<const float> sorted) -> TailPenalty {
    const double skew = skewness(sorted);
    const double chance = 2 * std::sqrt(6 / static_cast<double>(sorted.size()));
    const double left = skew < chance ? 1 : 0, right = skew > -chance ? 1 : 0;
    return [left, right](TailDepth depth) {
      return std::max((depth.left + depth.right) / 2, left * depth.left + right * depth.right);
    };
  });
}

}  // namespace

Detector detector() {
  return {"copod",
          "How far out each feature's value lies towards its longer tail, added up over the features.",
          "Li, Zhao, Botta, Ionescu & Hu 2020, COPOD: Copula-Based Outlier Detection",
          {},
          fit,
          BinnedPenalties::load};
}

}  // namespace lanner::engine::copod
