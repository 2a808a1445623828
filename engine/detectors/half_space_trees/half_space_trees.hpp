// How little mass the half-spaces around a row hold: Tan, Ting & Liu 2011, "Fast Anomaly Detection for
// Streaming Data". grow.hpp states trees and lengths; kernels/forest/forest.hpp what a score is.
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::half_space_trees {

Detector detector();

}  // namespace lanner::engine::half_space_trees
