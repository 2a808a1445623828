// An isolation forest that was grown elsewhere (scikit-learn, Treelite), from plain arrays.
//
// Paths are those of the original for every row of finite float32 values: x <= t holds for a float64 t just
// where it holds for the largest float32 that is not above t. Lengths are rounded to multiples of 2^-18
// (kernels/forest/forest.hpp). No feature counts as constant: scores are the original's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/detectors/imported.hpp"

namespace lanner::engine::isolation_forest {

/// Trees one after the other; a tree's nodes are numbered within it, its root is the first.
struct ForeignForest {
  std::size_t width = 0;      ///< features of a row
  std::size_t samples = 0;    ///< rows that a tree was grown on, at least 2; 0: told by average_length
  double average_length = 0;  ///< c(samples), which mean lengths are divided by, where samples isn't known
  std::span<const std::int64_t> tree_begin;  ///< [trees + 1] each tree's first node, and the end
  std::span<const std::int64_t> left;        ///< [nodes] the child where x <= threshold; -1: a leaf
  std::span<const std::int64_t> right;       ///< [nodes] the other child; -1: a leaf
  std::span<const std::int64_t> feature;     ///< [nodes] of an inner node
  std::span<const double> threshold;         ///< [nodes] of an inner node; infinities are fine, NaN isn't
  /// [nodes] of a leaf the training rows that came there. Empty: not known; explanations then take the two
  /// sides of a split to be as likely.
  std::span<const double> rows;
  /// [nodes] of a leaf its length, 0 to 64. Empty: depth + c(rows), as scikit-learn has it.
  std::span<const double> length;
};

/// Throws std::invalid_argument, naming tree and node, for what doesn't fit the description: cycles, nodes
/// with two parents or none, children and features that there are not, values that are no number.
Imported import_forest(const ForeignForest&);

}  // namespace lanner::engine::isolation_forest
