// The distance to the nearest large cluster: He, Xu & Deng 2003, "Discovering cluster-based local outliers"
// (CBLOF), without the weights by cluster size that the paper multiplies distances with (Goldstein & Uchida
// 2016, "A comparative evaluation of unsupervised anomaly detection algorithms", found it better without).
// fit.hpp states clusters and which are large; kernels/nearest/nearest.hpp the distance.
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::cluster_distance {

Detector detector();

}  // namespace lanner::engine::cluster_distance
