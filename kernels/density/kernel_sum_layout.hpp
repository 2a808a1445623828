// How a resident kernel sum lies in memory, for every tier, and what a tier implements.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/density/kernel_sum_formula.hpp"
#include "kernels/rows.hpp"

namespace lanner::density::kernel_sum {

/// Rows of a block are cut into panels of `panel_rows`, each feature-major: what a register tile streams
/// through.
inline constexpr std::size_t panel_rows = 16;
inline constexpr std::size_t panels = block_rows / panel_rows;
/// Queries that go through the references together.
inline constexpr std::size_t queries_max = 60;
/// Queries of one register tile.
inline constexpr std::size_t tile_queries_max = 12;

struct Tables {
  std::size_t width = 0;
  std::size_t blocks = 0;
  std::size_t last_block_rows = 0;
  std::size_t block_stride =
      0;  ///< blocks, padded to a multiple of 32: of low, high, and what is kept a block
  const float* values = nullptr;   ///< [blocks, panels, width, panel_rows]; padding 0
  const float* weights = nullptr;  ///< [blocks, block_rows]; padding 0
  const float* low = nullptr;      ///< [width, block_stride]: each block's bounding box
  const float* high = nullptr;
  const std::uint32_t* place = nullptr;  ///< [distinct rows]: block * block_rows + row
  float scale = 0;                       ///< log2(e) / (2 h^2)
  double attraction_scale = 0;           ///< 1 / (2 h^2)

  LANNER_FORMULA const float* block_values(std::size_t block) const {
    return values + block * block_rows * width;
  }
  std::size_t rows_in(std::size_t block) const { return block + 1 < blocks ? block_rows : last_block_rows; }
};

/// What one worker works with, for `queries` queries at a time.
struct Workspace {
  float* bounds;    ///< [queries, block_stride]
  float* largest;   ///< [queries, block_stride]: each block's m, -infinity where it was skipped
  double* sums;     ///< [queries, block_stride]
  float* packed;    ///< [queries + 2 tile_queries_max, width]
  double* squares;  ///< [width]

  static std::size_t bytes(const Tables&, std::size_t queries);
  static Workspace at(std::byte* memory, const Tables&, std::size_t queries);
};

/// At most queries_max queries. `self`: null, or the distinct row that each query is (nearest::no_self for
/// none).
using LogSums = void (*)(const Tables&, Rows queries, const std::uint32_t* self, const Workspace&,
                         double* out);
void log_sums_scalar(const Tables&, Rows queries, const std::uint32_t* self, const Workspace&, double* out);
void log_sums_avx2(const Tables&, Rows queries, const std::uint32_t* self, const Workspace&, double* out);
void log_sums_avx512(const Tables&, Rows queries, const std::uint32_t* self, const Workspace&, double* out);

using Attraction = void (*)(const Tables&, Rows queries, const Workspace&, MutableRows out);
void attraction_scalar(const Tables&, Rows queries, const Workspace&, MutableRows out);
void attraction_avx2(const Tables&, Rows queries, const Workspace&, MutableRows out);
void attraction_avx512(const Tables&, Rows queries, const Workspace&, MutableRows out);

}  // namespace lanner::density::kernel_sum
