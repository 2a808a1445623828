// Histograms of random projections: Pevny 2016, "Loda: Lightweight on-line detector of anomalies". fit.hpp
// states projections and penalties; scorer.hpp the score and what explains it.
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::loda {

Detector detector();

}  // namespace lanner::engine::loda
