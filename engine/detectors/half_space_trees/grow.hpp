// From training rows to half-space trees and the lengths of their leaves.
//
// A tree has a work range of its own: of each feature that is not constant, whose training values span [a,
// b], a point s drawn evenly from [0, 1] makes it a + (b - a) [s - m, s + m], m = 2 max(s, 1 - s) (Tan, Ting
// & Liu 2011). A node splits a feature, each as likely, at the middle of its range, whose halves
// are its children's. One that holds at most the share `leaf_share` of the rows, or stands `depth` levels
// down, is a leaf; the paper's trees go on down to `depth`, and its walk ends here. At a leaf of r rows at
// level e
//   mass = r 2^e / n
// is how many times as many rows it holds as if all n were spread evenly over the tree's 2^e leaves of that
// level; the paper's score of a row is the sum of these over the trees, times n, lower being more anomalous.
//
// A leaf's length is 64 mass / (the forest's largest mass), rounded to a multiple of 2^-18, to one of
// them where the leaf has rows and less would be left. Lengths so add up in any order to the same bits, and
// exp(-rate * sum) falls as the paper's sum rises: rows are in the paper's order but for sums that
// are closer than the trees' roundings, half a multiple each, and for scores that float32 can't tell apart.
// An inner node's length is the mean over its rows. rate = 10 ln 2 / (the sum at the roots), at most 1: a row
// of a tenth of the mass that the training rows have on average scores 0.5, one where no row has been seen 1.
// With 0.5 for the average itself all that is unusual would lie between 0.9 and 1, where no tail can be told.
//
// No split is of a feature that is constant in all training rows. As in isolation_forest one split in `width`
// would be: a value never seen takes the sum at the roots / width off a row's sum.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/detectors/detector.hpp"
#include "kernels/forest/forest.hpp"

namespace lanner::engine::half_space_trees {

struct Growing {
  std::size_t trees = 100;
  std::size_t depth = 15;
  double leaf_share = 0.1;
  std::uint64_t seed = 1;
};

/// On the device's threads; the same forest whatever their number. Rows: at least one, finite.
forest::Forest grow(Device&, Rows rows, const Growing&, const Progress&);

/// Sets rate and unseen from the lengths at the roots.
void set_scale(forest::Forest&);

}  // namespace lanner::engine::half_space_trees
