// A histogram a feature, the features taken as independent: Goldstein & Dengel 2012, "Histogram-based Outlier
// Score (HBOS)". histograms.hpp states bins and penalties; kernels/density/histogram.hpp the look-up.
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::histogram {

Detector detector();

}  // namespace lanner::engine::histogram
