// How far out a value is in a feature's empirical distribution: what ecod and copod are made of.
//
// Of n training values X of a feature, left(x) = (#{X <= x} + 1) / (n + 1) and right(x) = (#{X >= x} + 1) /
// (n + 1): the empirical distribution with x itself among the values. A penalty is a function of the two
// negative logarithms, so it is a step function of x with a step at, and one just above, each distinct value.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "engine/detectors/detector.hpp"
#include "kernels/density/histogram.hpp"
#include "kernels/rows.hpp"

namespace lanner::engine {

/// -ln left(x) and -ln right(x).
struct TailDepth {
  double left = 0, right = 0;
};
/// Not negative.
using TailPenalty = std::function<double(TailDepth)>;

/// Neighbouring steps whose penalties lie this close together become one, at the middle of them: what keeps a
/// model small however many rows there were.
inline constexpr double step_tolerance = 1.0 / 128;

/// Appends a feature's steps as bins. `sorted`: ascending, finite, at least one value.
void append_steps(density::Histograms&, std::span<const float> sorted, const TailPenalty&);

/// The sample's skewness m3 / m2^1.5 in float64; 0 for a constant.
double skewness(std::span<const float> values);

/// Every feature's steps in turn, by the penalty that `penalty_of` gives for its ascending values.
std::shared_ptr<const Fitted> fit_tails(
    const FitRequest&, const std::function<TailPenalty(std::span<const float> sorted)>& penalty_of);

}  // namespace lanner::engine
