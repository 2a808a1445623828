// How soon random splits set a row apart from the others: Liu, Ting & Zhou 2008, "Isolation Forest".
// grow.hpp states how trees are grown; kernels/forest/forest.hpp what a score is.
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::isolation_forest {

Detector detector();

}  // namespace lanner::engine::isolation_forest
