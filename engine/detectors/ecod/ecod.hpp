// How far out in its feature's empirical distribution each value lies, the features taken as independent: Li
// et al. 2022, "ECOD: Unsupervised Outlier Detection Using Empirical Cumulative Distribution Functions".
//
// A value's penalty is the larger of -ln left and -ln right (empirical_tails.hpp): what PyOD's version adds
// up over the features. (The paper adds up each side first and takes the largest of three sums.)
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::ecod {

Detector detector();

}  // namespace lanner::engine::ecod
