// Distance along the principal axes of the training rows, or from the subspace that the major ones span: Shyu
// et al. 2003, "A Novel Anomaly Detection Scheme Based on Principal Component Classifier". networks.hpp
// states the two scores.
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::pca {

Detector detector();

}  // namespace lanner::engine::pca
