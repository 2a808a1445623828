// Distance to the k nearest training rows: Ramaswamy, Rastogi & Shim 2000 (the k-th), Angiulli & Pizzuti 2002
// (the mean of the k). Exact: kernels/nearest states the distance.
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::nearest_neighbours {

Detector detector();

}  // namespace lanner::engine::nearest_neighbours
