// The generalised-Pareto tail of the highest calibration scores.
#pragma once

#include <span>
#include <string>

#include "kernels/tail/tail.hpp"

namespace lanner::engine {

/// scores: ascending, finite. The threshold is the score that leaves a tenth of them above it, but at least
/// 25 and at most 1000; fewer than 100 scores, or fewer than 10 different ones above it, fit nothing. Shape
/// and scale by Zhang & Stephens 2009 ("A new and efficient estimation method for the generalized Pareto
/// distribution", Technometrics 51). A shape below 0 becomes 0, so that the tail has no end point and higher
/// scores always rank higher; one above 1 becomes 1; the scale then follows from the mean (shape 0) or the
/// median (shape 1) excess. `about`: for people, what was done or why not.
tail::Pareto fit_pareto(std::span<const float> scores, std::string& about);

}  // namespace lanner::engine
