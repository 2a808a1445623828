// The scale on which features are compared: their deviations among the training rows.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/mlp/mlp.hpp"
#include "kernels/rows.hpp"

namespace lanner::engine {

/// Of feature j, in float64; the deviation is the population's. By differences from the first row, which keep
/// the digits of small deviations at a large offset, and a constant's at exactly zero.
struct Moments {
  double mean = 0, deviation = 0;
};
Moments moments(Rows rows, std::size_t j);

/// Shift: the mean; scale: one over the population standard deviation; both computed in float64. Values
/// further out than `limit` deviations count as so far out. A constant has no deviation: a hundredth of its
/// size stands in (of 1, where it is zero), so that any other value stands out. A deviation too small to be
/// divided by in float32 counts as the smallest that can be.
mlp::Standardisation standardisation_of(Rows rows, float limit);

/// The same by absolute differences: shift is the (lower) median, scale one over the mean absolute difference
/// from it. Few values far out move them less than they move a mean and a deviation.
mlp::Standardisation absolute_standardisation_of(Rows rows, float limit);

/// As standardisation_of, of some of the rows. A feature that is constant among them, but not among all, says
/// nothing about them: its range among all counts as one deviation.
mlp::Standardisation standardisation_of(Rows some, Rows all, float limit);

/// Which features have a single value in all rows.
std::vector<std::size_t> constant_features(Rows rows);

/// A constant tells nothing about the others, and training leaves its weights at their random start: they
/// become zero, and so does its reconstruction. What it adds to a score is then its own distance from the
/// constant.
void set_apart(mlp::Network&, const std::vector<std::size_t>& constants);

}  // namespace lanner::engine
