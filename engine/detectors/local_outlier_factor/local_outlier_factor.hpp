// Local outlier factor: Breunig, Kriegel, Ng & Sander 2000, "LOF: Identifying Density-Based Local Outliers",
// for rows not fitted on (novelty). Duplicates are weights: kernels/density/reachability.hpp states the
// arithmetic.
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::local_outlier_factor {

Detector detector();

}  // namespace lanner::engine::local_outlier_factor
