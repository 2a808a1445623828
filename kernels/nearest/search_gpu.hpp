// What a search is made of on the GPU backends. Internal.
//
// Queries are taken in groups whose state fits the workspace, and are ordered by the cell they are nearest
// to, so that the 64 of a block need about the same cells: a query's place in that order is its slot. The
// reference's cells are dealt to `splits` blocks for each 64 slots; every pair of slot and split has a
// segment of entries. Kernels, in order:
//   find_homes      which cell is nearest, by its box
//   order_queries   slots
//   place_queries   a slot's query; its limit, from the rows around its home (once the first tile is there)
//   screen          for each tile: adds the rows that the bound doesn't exclude to the segments, as
//   positions,
//                   and settles them whenever a segment is full, and in the end; the best are kept, and the
//                   k-th distance becomes the limit, which the splits share
//   finish          the k nearest of a slot's segments, in order
// So the work is bounded whatever the bound is worth: at worst every row is settled once (in place_queries
// some are twice).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/nearest/index_gpu.hpp"
#include "kernels/nearest/request.hpp"

namespace lanner::nearest {

inline constexpr unsigned block_threads = 256;
inline constexpr unsigned block_warps = block_threads / 32;
inline constexpr unsigned block_slots = 64;  ///< of screen

/// Plain data, for kernels.
struct GpuSearch {
  GpuIndexView index;
  const float* queries = nullptr;  ///< the group's, as they came
  std::size_t stride = 0;
  std::uint32_t count = 0;
  const std::uint32_t* self = nullptr;  ///< the group's, or nullptr
  std::uint32_t k = 0;                  ///< at most the set's rows
  std::uint32_t keep = 0;               ///< distinct rows that can matter: min(k, distinct)
  std::uint32_t segment = 0;  ///< entries of a slot and split: at least keep + cell_rows, or all rows
  std::uint32_t splits = 1;
  bool distinct_only = false;  ///< Count::distinct
  bool weighted = false;       ///< duplicates count, and there are some

  // Workspace.
  std::uint32_t* home = nullptr;           ///< [count], by query: a cell
  std::uint32_t* bounded = nullptr;        ///< [count], by query: small enough for the screen
  std::uint32_t* slots_from = nullptr;     ///< [cells]: queries at home, then where the next one's slot is
  std::uint32_t* query_of = nullptr;       ///< [count], by slot
  float* query = nullptr;                  ///< [slots, padded_width]
  float* box_query = nullptr;              ///< [slots / 64, box_width, 64], scaled
  std::uint32_t* self_position = nullptr;  ///< [count], by slot
  std::uint32_t* limit = nullptr;          ///< [count], by slot: a float's bits
  std::uint32_t* entry_count = nullptr;    ///< [count, splits]
  Settled* entries = nullptr;              ///< [count, splits, segment]

  // Either of the two, the group's:
  Neighbours neighbours;
  float* summary = nullptr;
  Summary summarise = Summary::kth;
};

namespace cuda {
void find_homes(Stream&, const GpuSearch&);
void order_queries(Stream&, const GpuSearch&);
void place_queries(Stream&, const GpuSearch&, const Tile& first);
void screen(Stream&, const GpuSearch&, const Tile&);
void finish(Stream&, const GpuSearch&);
}  // namespace cuda
namespace emulated {
void find_homes(Stream&, const GpuSearch&);
void order_queries(Stream&, const GpuSearch&);
void place_queries(Stream&, const GpuSearch&, const Tile& first);
void screen(Stream&, const GpuSearch&, const Tile&);
void finish(Stream&, const GpuSearch&);
}  // namespace emulated

}  // namespace lanner::nearest
