#include <array>

#include "engine/detectors/autoencoder/autoencoder.hpp"
#include "engine/detectors/cluster_distance/cluster_distance.hpp"
#include "engine/detectors/copod/copod.hpp"
#include "engine/detectors/detector.hpp"
#include "engine/detectors/ecod/ecod.hpp"
#include "engine/detectors/ensemble/ensemble.hpp"
#include "engine/detectors/extended_isolation_forest/extended_isolation_forest.hpp"
#include "engine/detectors/half_space_trees/half_space_trees.hpp"
#include "engine/detectors/histogram/histogram.hpp"
#include "engine/detectors/isolation_forest/isolation_forest.hpp"
#include "engine/detectors/kernel_density/kernel_density.hpp"
#include "engine/detectors/local_outlier_factor/local_outlier_factor.hpp"
#include "engine/detectors/loda/loda.hpp"
#include "engine/detectors/mahalanobis/mahalanobis.hpp"
#include "engine/detectors/nearest_neighbours/nearest_neighbours.hpp"
#include "engine/detectors/pca/pca.hpp"
#include "engine/detectors/random_cut_forest/random_cut_forest.hpp"

namespace lanner::engine {

std::span<const Detector> catalogue() {
  static const std::array detectors = {
      nearest_neighbours::detector(),
      local_outlier_factor::detector(),
      kernel_density::detector(),
      cluster_distance::detector(),
      histogram::detector(),
      ecod::detector(),
      copod::detector(),
      loda::detector(),
      pca::detector(),
      mahalanobis::detector(),
      isolation_forest::detector(),
      extended_isolation_forest::detector(),
      half_space_trees::detector(),
      random_cut_forest::detector(),
      autoencoder::detector(),
      ensemble::detector(),
  };
  return detectors;
}

const Detector* find_detector(std::string_view name) {
  for (const Detector& detector : catalogue())
    if (detector.name == name) return &detector;
  return nullptr;
}

}  // namespace lanner::engine
