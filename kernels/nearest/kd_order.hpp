// What every backend does with a reference set before it lays it out. Host code. Internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/nearest/nearest.hpp"

namespace lanner::nearest {

inline constexpr std::size_t cell_rows_max = 256;

/// Throws std::invalid_argument for an empty set, one whose parts don't fit together, or values that are not
/// finite.
void check_reference(const ReferenceSet&);

/// The power of two that brings the set's values below 2^(scaled_exponent + 1).
float scale_for(const ReferenceSet&);

/// Orders rows by halving along the feature of greatest variance until a part fits a cell. Every cell but the
/// last is full to a multiple of `granule`, so that padding stays below one granule in all.
class KdOrder {
 public:
  KdOrder(const ReferenceSet&, std::size_t granule);

  std::vector<std::uint32_t> order;  ///< [distinct]: the row at a position
  std::vector<std::size_t> begins;   ///< the cells' first positions

 private:
  float value(std::uint32_t row, std::size_t j) const { return set_.values[row * set_.width + j]; }
  void divide(std::size_t begin, std::size_t end);
  std::size_t widest(std::size_t begin, std::size_t end) const;

  const ReferenceSet& set_;
  std::size_t granule_;
};

}  // namespace lanner::nearest
