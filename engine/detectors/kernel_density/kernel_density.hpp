// Gaussian kernel density: Parzen 1962, "On Estimation of a Probability Density Function and Mode". The score
// is -log density. kernels/density/kernel_sum.hpp states the sum.
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::kernel_density {

Detector detector();

}  // namespace lanner::engine::kernel_density
