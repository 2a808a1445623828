// From training rows to trees of hyperplanes.
//
// Rows are standardised: less the median, over the mean absolute difference from it, held within 10 of these.
// A hyperplane mixes features, so that their scales tell, and the paper leaves these to the user. Each tree
// is grown on rows of its own, drawn without replacement. A node of several rows that are not all equal is
// cut, down to ceil(log2(samples)) levels: of the features that vary among its rows, extension_level + 1 are
// drawn (or all, where fewer vary), for each a weight from a standard normal distribution and, evenly from
// its range among the rows, a coordinate of a point on the hyperplane. Rows lie left where their sum is at
// most the point's. One side may have no row. A leaf of n rows at depth e gives the length e + c(n), with c,
// lengths and scores as in engine/detectors/isolation_forest/grow.hpp; so is the rule for a value that a
// constant feature never had, since no cut mixes such features.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/detectors/detector.hpp"
#include "kernels/oblique_forest/oblique_forest.hpp"

namespace lanner::engine::extended_isolation_forest {

struct Growing {
  std::size_t trees = 100;
  std::size_t samples = 256;  ///< rows of a tree, at least 1; more than there are: all
  std::size_t mixed = 0;      ///< features of a cut; 0 or more than there are: all
  std::uint64_t seed = 1;
};

/// A forest and what its scores are relative to.
struct Grown {
  oblique_forest::ObliqueForest forest;
  std::size_t samples = 0;  ///< rows of a tree, at least 2: a single row counts twice, as nothing cuts it
};

/// On the device's threads; the same forest whatever their number. Rows: at least one, finite. Throws
/// std::invalid_argument where the weights could take more than oblique_forest allows.
Grown grow(Device&, Rows rows, const Growing&, const Progress&);

/// Sets rate and unseen from the numbers of trees, samples and features.
void set_scale(Grown&);

}  // namespace lanner::engine::extended_isolation_forest
