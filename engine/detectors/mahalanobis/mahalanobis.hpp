// The squared Mahalanobis distance from the centre of the training rows: Mahalanobis 1936; robust estimates
// by the minimum covariance determinant, Rousseeuw 1984. covariance.hpp has the estimates.
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::mahalanobis {

Detector detector();

}  // namespace lanner::engine::mahalanobis
