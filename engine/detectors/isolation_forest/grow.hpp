// From training rows to trees.
//
// Each tree is grown on rows of its own, drawn without replacement. A node of several rows splits one of the
// features that are not constant among them, each as likely, at a threshold that is as likely anywhere
// between the least and the largest value (below the latter, so that both sides have rows), down to
// ceil(log2(samples)) levels. A leaf of n rows at depth e gives the length e + c(n), c(n) being what a search
// in a random binary tree of n rows would still take (Liu, Ting & Zhou 2008, equation 1; scikit-learn's
// constants):
//   c(1) = 0, c(2) = 1, c(n) = 2 (ln(n - 1) + 0.5772156649) - 2 (n - 1) / n
// rounded to a multiple of 2^-18. An inner node's length is the mean over its rows of theirs.
//
// A split on a feature that is constant in all training rows never happens, so that no value of it, however
// strange, could shorten a path. One that was never seen would be isolated by any such split at once, and
// one split in `width` would be such a one: it takes c(samples) / width off the mean length.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/detectors/detector.hpp"
#include "kernels/forest/forest.hpp"

namespace lanner::engine::isolation_forest {

/// c(n); n >= 1.
double expected_length(std::size_t n);

/// What a tree can have been grown on.
inline constexpr std::size_t samples_max = std::size_t{1} << 30;

struct Growing {
  std::size_t trees = 100;
  std::size_t samples = 256;  ///< rows of a tree, at least 1; more than there are: all
  std::size_t features = 0;   ///< that a tree draws from, drawn for each tree; 0 or more than there are: all
  std::uint64_t seed = 1;
};

/// A forest and what its scores are relative to.
struct Grown {
  forest::Forest forest;
  std::size_t samples = 0;  ///< rows of a tree, at least 2: a single row counts twice, as nothing splits it
};

/// On the device's threads; the same forest whatever their number. Rows: at least one, finite.
Grown grow(Device&, Rows rows, const Growing&, const Progress&);

/// What makes a sum of lengths a score, and what an unseen value takes off it, as stated above.
struct Scale {
  double rate, unseen;
};
Scale scale_of(std::size_t trees, std::size_t width, std::size_t samples);
/// Sets rate and unseen from the numbers of trees, samples and features.
void set_scale(forest::Forest&, std::size_t samples);

}  // namespace lanner::engine::isolation_forest
