// How far out in its feature's empirical distribution each value lies, by the side that the feature's
// skewness points to: Li et al. 2020, "COPOD: Copula-Based Outlier Detection".
//
// A value's penalty is the larger of the mean of -ln left and -ln right and of the one on the side of the
// longer tail (empirical_tails.hpp has left and right): left where the feature's skewness is negative, right
// where it is positive, both together where it is within two standard errors of zero, 2 sqrt(6 / n). PyOD's
// version takes both together only at exactly zero, so that a symmetric feature counts half of its values by
// the wrong tail.
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::copod {

Detector detector();

}  // namespace lanner::engine::copod
