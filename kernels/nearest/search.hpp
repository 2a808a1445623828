// What a search is made of on the cpu backend. Internal.
//
// Queries are taken in groups, each by one thread with its own part of the workspace. The screen writes what
// survives its bound into a buffer per query; when that is full, the survivors' upper bounds give a new
// limit, and what is beyond it is dropped. Where those bounds are too loose, survivors are measured in
// float32, which bounds them within some millionths; where that doesn't tell them apart either, they are
// settled: their float64 chains are computed and the best kept. In the end what the answer needs of those
// that are left is settled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/nearest/index.hpp"
#include "kernels/nearest/request.hpp"

namespace lanner::nearest {

/// Queries are taken by tiles, whose rows have this many features side by side, so that a kernel addresses
/// every row of a tile from one pointer.
inline constexpr std::size_t tile_features = 64;
inline constexpr std::size_t tile_rows_max = 12;
inline constexpr std::size_t code_tile_features = 256;  ///< likewise, of rows in codes
/// A kernel looks for room after so many survivors of one query.
inline constexpr std::size_t buffer_slack = 32;

/// What tells a query's survivors apart: the bounds of the screen that they came through; where those are too
/// loose, bounds measured in float32; where even they are, the chains of the definition.
enum class ToldBy : std::uint8_t { screen, measure, chains };

struct QueryState {
  float* lower;  ///< of the survivors not yet settled: bounds of S (screen.hpp)
  float* upper;
  std::uint32_t* position;
  std::uint32_t* weight;  ///< only if duplicates count
  Settled* settled;       ///< the best of those settled so far, at most Plan::keep
  std::uint32_t count;
  std::uint32_t measured;  ///< so many of the first have bounds that were measured
  std::uint32_t settled_count;
  float limit;         ///< rows with S above it are not among the k nearest
  std::uint32_t self;  ///< its own position, or no_self
  bool bounded;        ///< small enough for the screen to say something about it
  ToldBy told_by;
};

/// How a search is cut up; all sizes in items.
struct Plan {
  std::size_t group = 0;     ///< queries a piece
  std::size_t keep = 0;      ///< distinct rows that can matter: min(k, distinct)
  std::size_t capacity = 0;  ///< of a query's buffer, less its slack
  std::size_t homes = 0;     ///< cells visited before any limit is known
  std::size_t columns = 0;   ///< group padded to a register
  std::size_t bytes = 0;     ///< of workspace, for each thread
};

/// A search on the cpu backend of what a view shows, whoever keeps it.
struct CpuSearch {
  const IndexView& view;
  CpuTier tier;
  unsigned threads;

  Plan plan(std::size_t queries, std::size_t k) const;
  std::size_t workspace_bytes(std::size_t queries, std::size_t k) const;
  /// request.self must name rows that the view has.
  void answer(Stream&, const Request&) const;
};

/// One thread's part of the workspace.
struct Scratch {
  QueryState* state;         ///< [group]
  float* query;              ///< [columns, centre_stride] as they came; zeros for those without bounds
  float* scaled;             ///< [width, columns]
  float* block_distance;     ///< [blocks, columns]: lower bounds of S from the blocks' boxes
  std::uint32_t* home_cell;  ///< [columns]: the cell that is visited first, where it is one
  std::uint32_t* home_end;   ///< [blocks * block_cells + 1]: of the queries at home in each
  float* home;               ///< [columns]: cells within it, their spread added, are visited first
  float* reach;              ///< [columns]: cells beyond it are skipped
  float* tile;               ///< [ceil(width / tile_features), tile_rows, tile_features]; floats only
  std::uint8_t* codes;       ///< [group, codes.stride]; this and the next two: codes only
  CodedQuery* coded;         ///< [group]
  std::uint8_t* code_tile;   ///< [ceil(width / code_tile_features), tile_rows, code_tile_features]
  float* bound;              ///< [blocks, block_cells]: one query's lower bounds of S from the cells' boxes
  float* key;                ///< [blocks, block_cells]: the same with the cells' spreads
  float* measured_query;     ///< [centre_stride]: scaled
  double* exact_query;       ///< [row_stride]
  double* exact_squared;     ///< [capacity + slack]
  Settled* merged;           ///< [keep + capacity + slack]
  Settled* sorted;           ///< [keep]
  std::uint32_t* bins;       ///< [3 * keep + 1]
  std::uint32_t* active;     ///< [block_cells, columns]: the queries that go to a block's cells; [blocks]
  float* active_bound;       ///< [block_cells, columns]: their bounds
  std::uint32_t* through;    ///< [columns]: the queries that go to all of a block's cells
};

struct Job {
  IndexView index;
  Plan plan;
  Rows queries;
  std::size_t k = 0;
  Count count = Count::rows;
  bool weighted = false;  ///< duplicates count, and there are some
  const std::uint32_t* self = nullptr;
  // Either of the two:
  Neighbours neighbours;
  float* summary = nullptr;
  Summary summarise = Summary::kth;
};

/// Keeps of `count` settled rows those that can be among the k nearest; returns how many, and in `*kth` the
/// k-th smallest squared distance (infinite while there are fewer).
std::uint32_t keep_nearest(const Job&, Settled*, std::size_t count, double* kth);

/// Orders the `count` settled rows in scratch.merged, cuts them at k and writes the query's answer. `nearer`:
/// for Summary::kth, the weight of rows that are not there, as they are nearer than the k-th.
void finish(const Job&, const Scratch&, std::size_t query, std::size_t count, std::size_t nearer = 0);

void search_group_scalar(const Job&, const Scratch&, std::size_t begin, std::size_t end);
void search_group_avx2(const Job&, const Scratch&, std::size_t begin, std::size_t end);
void search_group_avx512(const Job&, const Scratch&, std::size_t begin, std::size_t end);
/// An index in codes.
void search_codes_avx2(const Job&, const Scratch&, std::size_t begin, std::size_t end);
void search_codes_avx512(const Job&, const Scratch&, std::size_t begin, std::size_t end);

}  // namespace lanner::nearest
