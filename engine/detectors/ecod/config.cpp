// Fitting: every feature's tails. There is nothing to set.
#include <algorithm>

#include "engine/detectors/binned_penalties.hpp"
#include "engine/detectors/ecod/ecod.hpp"
#include "engine/detectors/empirical_tails.hpp"

namespace lanner::engine::ecod {
namespace {

std::shared_ptr<const Fitted> fit(const FitRequest& request) {
  return fit_tails(request, [](std::span<const float>) -> TailPenalty {
    return [](TailDepth depth) { return std::max(depth.left, depth.right); };
  });
}

}  // namespace

Detector detector() {
  return {"ecod",
          "How far out each feature's value lies in what was seen of it, added up over the features.",
          "Li, Zhao, Hu, Botta, Ionescu & Chen 2022, ECOD: Unsupervised Outlier Detection Using Empirical "
          "Cumulative Distribution Functions",
          {},
          fit,
          BinnedPenalties::load};
}

}  // namespace lanner::engine::ecod
