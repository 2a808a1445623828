// How far the latest stretch of a series is from every earlier one: the left matrix profile's newest entry,
// over blocks of rows.
//
// Definition. Rows are cut into blocks of `rows`. A block is its value (blocks of one row), or its minimum
// and its maximum. The window that ends with a block is the vector of the last `blocks` blocks: their values
// in order, or their minima and then their maxima. Its left neighbour is the nearest, by Euclidean distance,
// among the windows that end with one of the `held_max` blocks before it and share no block with it. The sum
// of squared differences is a chain in the vector's order. Only the blocks are kept, since windows overlap.
// Source: Yeh et al. 2016, "Matrix Profile I"; left profiles: Zhu et al. 2017, "Matrix Profile VII".
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "engine/series/snapshot.hpp"

namespace lanner::engine {

struct BlockShape {
  std::size_t rows = 1;    ///< of a block
  std::size_t blocks = 8;  ///< of a window
  bool extremes = false;   ///< minima and maxima; else the value, and rows is 1
};

class LeftNeighbours {
 public:
  LeftNeighbours(const BlockShape&, std::size_t held_max);

  struct Step {
    bool completed = false;          ///< the value was its block's last
    std::optional<double> distance;  ///< nothing: no earlier window is old enough
  };
  /// Magnitudes of at most value_most: squares of differences stay finite.
  Step push(double value);

  void save(SnapshotWriter&) const;
  void load(SnapshotReader&);

 private:
  void append_block();
  std::optional<double> distance() const;

  BlockShape shape_;
  std::size_t held_max_;
  std::size_t filled_ = 0;  ///< rows of the block under way
  double low_ = 0, high_ = 0;
  // Blocks in order; the oldest are dropped in batches, so that the rest lie side by side. `highs_` is empty
  // without extremes.
  std::vector<double> lows_, highs_;
  std::size_t begin_ = 0;  ///< of the blocks that count
};

/// The largest magnitude that a series may have.
inline constexpr double value_most = 1e150;
/// Whether a series has it as a value; otherwise it counts as missing.
inline bool is_value(double value) {
  return -value_most <= value && value <= value_most;
}

}  // namespace lanner::engine
