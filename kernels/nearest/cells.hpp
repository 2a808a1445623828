// How a reference set is cut into cells, the parts that a search reads or leaves out as a whole. Host code.
// Internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/nearest/nearest.hpp"

namespace lanner::nearest {

inline constexpr std::size_t cell_rows_max = 256;
/// So many cells in a row make a block, which has a box of its own.
inline constexpr std::size_t block_cells = 16;
inline constexpr std::size_t group_rows_max = block_cells * cell_rows_max;

/// The least multiple of `to` that is not below n.
constexpr std::size_t padded(std::size_t n, std::size_t to) {
  return (n + to - 1) / to * to;
}

/// Throws std::invalid_argument for an empty set, one whose parts don't fit together, or values that are not
/// finite.
void check_reference(const ReferenceSet&);

/// The power of two that brings the set's values below 2^(scaled_exponent + 1).
float scale_for(const ReferenceSet&);

struct Cells {
  std::vector<std::uint32_t> order;  ///< [distinct]: rows, cell after cell
  std::vector<std::size_t> begins;   ///< [cells]: where in `order` each begins
  std::vector<std::size_t>
      groups;            ///< [groups]: the first cell of each group of neighbours: block_cells at most
  double rows_read = 0;  ///< fitted_cells alone: by a query of average luck, boxes among them

  std::size_t count() const { return begins.size(); }
  std::span<const std::uint32_t> rows(std::size_t cell) const {
    const std::size_t end = cell + 1 < begins.size() ? begins[cell + 1] : order.size();
    return {order.data() + begins[cell], end - begins[cell]};
  }
};

/// By halving along the feature of greatest variance until a part fits a cell. Every cell but the last is
/// full to a multiple of `granule`.
Cells halved(const ReferenceSet&, std::size_t granule);

/// The best of three ways, by how many rows a sample of queries would read: halved; rows that lie far from
/// the others of their cell gathered in cells of their own, as a few of them make a box as wide as the data;
/// and clusters first, each halved on its own, where halving all rows would cut through them. At most
/// cell_rows_max rows a cell. The same on every machine.
Cells fitted_cells(const ReferenceSet&, std::size_t granule);

/// How much a cell counts as farther than its box for the extent of its rows, when a search chooses where to
/// begin: this share of their mean squared distance from their mean. Between boxes that hold a query both,
/// the tighter one has the nearer rows.
inline constexpr double spread_share = 1.0 / 16;

}  // namespace lanner::nearest
