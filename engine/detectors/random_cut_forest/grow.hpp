// From training rows to random cut trees.
//
// Rows are standardised by their absolute differences (standardisation.hpp), 30 of them at most: a cut falls
// on a feature in proportion to its range, so that without it units would decide which.
//
// Each tree is grown on rows of its own, drawn without replacement: evenly, or where a half-life is set with
// weights that halve with each so many rows of age, the last row being the newest (samples.hpp). A node whose
// rows are not all equal is cut (Guha et al. 2016, definition 1): the feature is drawn with its range among
// them as weight, the place evenly from that range (below the largest value, so that both sides have rows).
// Equal rows are one leaf, of as many rows as its mass.
//
// What a row parted at a node or leaf of mass m and depth e (the root's is 0) is given, n being the rows of
// a tree:
//   depth:         2^(-(e + 1) / c(n)): the depth at which it would lie, on the scale of an isolation forest
//                  (isolation_forest/grow.hpp has c); c of 1 or 2 rows counts as 1
//   displacement:  max(m, over all nodes above: mass of the other child / (mass of the child on the way +
//   1)),
//                  the collusive displacement that it would have (the paper's definition 4, where the largest
//                  is taken over the sets of rows that the tree itself forms), which the forest has over n
// and a row equal to a leaf: depth, as if e + 1 + c(m + 1) deep; displacement, the maximum without m.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/detectors/detector.hpp"
#include "kernels/cut_forest/cut_forest.hpp"

namespace lanner::engine::random_cut_forest {

enum class Measure { depth, displacement };

struct Growing {
  std::size_t trees = 100;
  std::size_t samples = 256;  ///< rows of a tree, at least 1; more than there are: all
  double half_life = 0;       ///< rows; 0: even draws
  Measure measure = Measure::depth;
  std::uint64_t seed = 1;
};

/// A forest and what its values follow from.
struct Grown {
  cut_forest::CutForest forest;
  std::vector<std::uint32_t> mass;  ///< [leaves] rows of each, at least 1
  std::size_t samples = 0;          ///< rows of a tree: the sum of its leaves' masses
  Measure measure = Measure::depth;
};

/// On the device's threads; the same forest whatever their number. Rows: at least one, finite. Throws
/// std::invalid_argument where the boxes could take more than cut_forest allows.
Grown grow(Device&, Rows rows, const Growing&, const Progress&);

/// Sets every value and the scale from trees, masses and measure. The trees must be valid.
void set_values(Grown&);

/// What a row would score that comes to the leaves of a tree's rows as often as they, and is parted there.
float score_at_leaves(const Grown&);

}  // namespace lanner::engine::random_cut_forest
