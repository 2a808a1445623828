// How soon a random cut would part a row from the training rows: Guha, Mishra, Roy & Schrijvers 2016, "Robust
// Random Cut Forest Based Anomaly Detection on Streams". grow.hpp states trees and values;
// kernels/cut_forest/cut_forest.hpp what a score is.
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::random_cut_forest {

Detector detector();

}  // namespace lanner::engine::random_cut_forest
