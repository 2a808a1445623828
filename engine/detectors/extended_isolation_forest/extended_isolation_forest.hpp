// How few random cuts by hyperplanes set a row apart from the training rows: Hariri, Carrasco Kind & Brunner
// 2021, "Extended Isolation Forest". grow.hpp states the trees; kernels/oblique_forest/oblique_forest.hpp
// what a score is.
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::extended_isolation_forest {

Detector detector();

}  // namespace lanner::engine::extended_isolation_forest
