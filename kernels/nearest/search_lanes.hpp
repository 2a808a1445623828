// The search of one group of queries, whichever its tiles. Rules as in search_survivors.hpp.
#pragma once

#include "kernels/nearest/search_survivors.hpp"
#include "kernels/simd/transpose.hpp"

namespace lanner::nearest {

/// Tiles: FloatTiles (search_floats.hpp) or CodeTiles (search_codes.hpp).
template <class Tiles>
struct GroupSearch : Tiles {
  using Tiles::bound_holding;
  using Tiles::first;
  using Tiles::infinite;
  using Tiles::job;
  using Tiles::lanes;
  using Tiles::queries;
  using Tiles::scratch;
  using Tiles::smaller;
  using typename Tiles::Float;
  using typename Tiles::Tier;
  using typename Tiles::Word;

  static constexpr std::uint32_t no_cell = 0xFFFFFFFF;
  /// Once the boxes of so many cells of a block have been asked, and fewer than one in so many excluded a
  /// query, the other queries go through the block without asking.
  static constexpr std::uint32_t tried_cells = 256, worth_excluding = 8;
  /// In so many blocks, and a share of all, a query looks for its home: where more could hold one, boxes tell
  /// little.
  static constexpr std::uint32_t blocks_for_home = 12;
  static constexpr std::size_t alone_max = 3;  ///< queries, which are sooner searched for one by one

  void prepare_all() const {
    const IndexView& index = job.index;
    for (std::size_t i = 0; i < queries; ++i) {
      QueryState& state = scratch.state[i];
      const float* q = job.queries.data + (first + i) * job.queries.stride;
      float* copy = scratch.query + i * index.centre_stride;
      bool bounded = true;
      for (std::size_t j = 0; j < index.width; ++j)
        bounded = bounded && __builtin_fabsf(index.scale * q[j]) <= scaled_query_max;
      for (std::size_t j = 0; j < index.width; ++j) copy[j] = bounded ? q[j] : 0;
      for (std::size_t j = index.width; j < index.centre_stride; ++j) copy[j] = 0;
      state.count = state.measured = state.settled_count = 0;
      state.limit = infinite;
      const std::uint32_t self = job.self ? job.self[first + i] : no_self;
      state.self = self == no_self ? no_self : index.position_of[self];
      state.bounded = bounded;
      state.told_by = bounded ? ToldBy::screen : ToldBy::chains;
      scratch.reach[i] = infinite;
      Tiles::prepare(i);
    }
  }

  /// Lanes are queries.
  void scale_all() const {
    const IndexView& index = job.index;
    const std::size_t columns = job.plan.columns;
    for (std::size_t i = queries * index.centre_stride; i < columns * index.centre_stride; ++i)
      scratch.query[i] = 0;
    const Float scale(index.scale);
    for (std::size_t i = 0; i < columns; i += lanes)
      for (std::size_t j = 0; j < index.width; j += 8) {
        Float features[8];
        simd::load_columns<Tier>(scratch.query + i * index.centre_stride + j, index.centre_stride, 8,
                                 features);
        const std::size_t some = smaller(index.width - j, 8);
        for (std::size_t f = 0; f < some; ++f)
          (scale * features[f]).store(scratch.scaled + (j + f) * columns + i);
      }
  }

  template <int registers_abreast>
  LANNER_INLINE void measure_block(std::size_t block, std::size_t i, float* out) const {
    const float* low = job.index.block_low + block * job.index.centre_stride;
    const float* high = job.index.block_high + block * job.index.centre_stride;
    const Float spread(job.index.block_spread[block]);
    const std::size_t width = job.index.width, columns = job.plan.columns;
    const float* scaled = scratch.scaled + i;
    Float sum[2][registers_abreast];
#pragma GCC unroll 4
    for (int v = 0; v < registers_abreast; ++v) sum[0][v] = sum[1][v] = Float(0.0f);
    const auto add = [&](std::size_t j, Float* sums) {
      const Float l(low[j]), h(high[j]);
#pragma GCC unroll 4
      for (int v = 0; v < registers_abreast; ++v) {
        const Float q = Float::load(scaled + j * columns + v * lanes);
        const Float outside = simd::maximum(simd::maximum(l - q, q - h), Float(0.0f));
        sums[v] = fma(outside, outside, sums[v]);
      }
    };
    std::size_t j = 0;
    for (; j + 2 <= width; j += 2) {
      add(j, sum[0]);
      add(j + 1, sum[1]);
    }
    if (j < width) add(j, sum[0]);
#pragma GCC unroll 4
    for (int v = 0; v < registers_abreast; ++v) {
      const Float both = sum[0][v] + sum[1][v];
      both.store(out + i + v * lanes);
      float* const home = scratch.home + i + v * lanes;
      simd::minimum(both + spread, Float::load(home)).store(home);
    }
  }

  /// Bounds of every query's distance to every block, and the least that any cell's key can be.
  void measure_blocks() const {
    const IndexView& index = job.index;
    const std::size_t columns = job.plan.columns;
    for (std::size_t i = 0; i < columns; ++i) scratch.home[i] = infinite;
    for (std::size_t block = 0; block < index.blocks; ++block) {
      float* out = scratch.block_distance + block * columns;
      std::size_t i = 0;
      for (; i + 4 * lanes <= columns; i += 4 * lanes) measure_block<4>(block, i, out);
      for (; i < columns; i += lanes) measure_block<1>(block, i, out);
    }
    for (std::size_t i = queries; i < columns; ++i) scratch.home[i] = scratch.reach[i] = -1;
  }

  static constexpr int block_registers = static_cast<int>(block_cells) / lanes;
  static_assert(block_registers * lanes == static_cast<int>(block_cells));

  /// A query's bounds and keys for a block's cells: lanes are cells. Two sums, as one would wait for itself;
  /// so have the blocks'.
  LANNER_INLINE void measure_cells(std::size_t query, std::size_t block, Float* bound, Float* key) const {
    const IndexView& index = job.index;
    const float* box = index.boxes + block * index.width * 2 * block_cells;
    const float* q = scratch.query + query * index.centre_stride;
    Float sum[2][block_registers];
#pragma GCC unroll 2
    for (int v = 0; v < block_registers; ++v) sum[0][v] = sum[1][v] = Float(0.0f);
    const auto add = [&](std::size_t j, Float* sums) {
      const Float value(index.scale * q[j]);
#pragma GCC unroll 2
      for (int v = 0; v < block_registers; ++v) {
        const float* low = box + j * 2 * block_cells + v * lanes;
        const Float outside = simd::maximum(
            simd::maximum(Float::load(low) - value, value - Float::load(low + block_cells)), Float(0.0f));
        sums[v] = fma(outside, outside, sums[v]);
      }
    };
    std::size_t j = 0;
    for (; j + 2 <= index.width; j += 2) {
      add(j, sum[0]);
      add(j + 1, sum[1]);
    }
    if (j < index.width) add(j, sum[0]);
    const float* spread = index.spread + block * block_cells;
#pragma GCC unroll 2
    for (int v = 0; v < block_registers; ++v) {
      bound[v] = sum[0][v] + sum[1][v];
      key[v] = bound[v] + Float::load(spread + v * lanes);
    }
  }

  /// Those of a block's cells that have rows.
  LANNER_INLINE std::uint32_t cells_of(std::size_t block) const {
    const std::size_t begin = block * block_cells, end = smaller(begin + block_cells, job.index.cells);
    std::uint32_t cells = 0;
    for (std::size_t cell = begin; cell < end; ++cell)
      cells |= std::uint32_t{job.index.cell_begin[cell] < job.index.cell_end[cell]} << (cell - begin);
    return cells;
  }

  /// Calls `take(query)` for the queries whose bits `chosen(bound, i)` sets, bound being that to a block.
  template <class Chosen, class Take>
  LANNER_INLINE void each_query(std::size_t block, const Chosen& chosen, const Take& take) const {
    const float* distance = scratch.block_distance + block * job.plan.columns;
    for (std::size_t i = 0; i < job.plan.columns; i += lanes)
      for (std::uint32_t bits = chosen(Float::load(distance + i), i); bits; bits &= bits - 1)
        take(i + static_cast<std::size_t>(__builtin_ctz(bits)));
  }

  /// The least key of a block's cells, for one query, and which cell's it is.
  LANNER_INLINE float least_key(std::size_t query, std::size_t block, std::uint32_t& cell) const {
    Float bound[block_registers], key[block_registers];
    measure_cells(query, block, bound, key);
    Float least = key[0];
    for (int v = 1; v < block_registers; ++v) least = simd::minimum(key[v], least);
    const float least_of_all = least_lane(least);
    std::uint32_t bits = 0;
    for (int v = 0; v < block_registers; ++v)
      bits |= bits_at_most(key[v], Float(least_of_all)) << (v * lanes);
    cell = static_cast<std::uint32_t>(block * block_cells) + static_cast<std::uint32_t>(__builtin_ctz(bits));
    return least_of_all;
  }

  /// Each query's home: the cell of the least key, which it visits first.
  void find_home_cells() const {
    const IndexView& index = job.index;
    const std::size_t columns = job.plan.columns;
    std::uint32_t* const home = scratch.home_cell;
    float* const nearest = scratch.active_bound;
    std::uint32_t* const looked_at = scratch.through;
    const std::size_t most = blocks_for_home + index.blocks / 16;
    for (std::size_t i = 0; i < columns; ++i) {
      nearest[i] = infinite;
      home[i] = no_cell;
      looked_at[i] = 0;
    }
    const auto look = [&](std::size_t block, const float* limit) {
      const Float spread(index.block_spread[block]);
      each_query(
          block,
          [&](Float bound, std::size_t i) { return bits_at_most(bound + spread, Float::load(limit + i)); },
          [&](std::size_t query) {
            if (home[query] / block_cells == block || ++looked_at[query] > most) return;
            std::uint32_t cell;
            const float least = least_key(query, block, cell);
            if (least < nearest[query]) {
              nearest[query] = least;
              home[query] = cell;
            }
          });
    };
    // First the block that promises most, then those that could hold better.
    for (std::size_t block = 0; block < index.blocks; ++block) look(block, scratch.home);
    for (std::size_t i = queries; i < columns; ++i) nearest[i] = -1;
    for (std::size_t block = 0; block < index.blocks; ++block) look(block, nearest);
    for (std::size_t i = 0; i < queries; ++i) {
      scratch.home[i] = -1;
      if (!scratch.state[i].bounded) home[i] = no_cell;
    }
  }

  void visit_home_cells() const {
    const std::size_t cells = job.index.blocks * block_cells;
    std::uint32_t* const end = scratch.home_end;
    for (std::size_t cell = 0; cell <= cells; ++cell) end[cell] = 0;
    for (std::size_t i = 0; i < queries; ++i)
      if (scratch.home_cell[i] != no_cell) ++end[scratch.home_cell[i] + 1];
    for (std::size_t cell = 0; cell < cells; ++cell) end[cell + 1] += end[cell];
    for (std::size_t i = 0; i < queries; ++i)
      if (scratch.home_cell[i] != no_cell)
        scratch.active[end[scratch.home_cell[i]]++] = static_cast<std::uint32_t>(i);
    std::uint32_t begin = 0;
    for (std::size_t cell = 0; cell < cells; begin = end[cell++])
      if (end[cell] > begin) visit(cell, scratch.active + begin, end[cell] - begin);
  }

  /// Where there are several homes: how large their keys may be.
  void find_homes() const {
    const IndexView& index = job.index;
    for (std::size_t i = 0; i < queries; ++i) {
      measure_all_cells(i);
      scratch.home[i] = bound_holding(scratch.key, nullptr, index.blocks * block_cells,
                                      smaller(job.plan.homes, index.cells), 0);
      if (!scratch.state[i].bounded) scratch.home[i] = infinite;
      scratch.home_cell[i] = no_cell;
    }
  }

  void measure_all_cells(std::size_t query) const {
    for (std::size_t block = 0; block < job.index.blocks; ++block) measure_cells(query, block);
  }

  /// Fills the block's part of scratch.bound and key; what stands behind the last cell is not a number.
  LANNER_INLINE void measure_cells(std::size_t query, std::size_t block) const {
    Float bound[block_registers], key[block_registers];
    measure_cells(query, block, bound, key);
    float* const bounds = scratch.bound + block * block_cells;
    float* const keys = scratch.key + block * block_cells;
    for (int v = 0; v < block_registers; ++v) {
      bound[v].store(bounds + v * lanes);
      key[v].store(keys + v * lanes);
    }
    for (std::size_t cell = job.index.cells; cell < (block + 1) * block_cells; ++cell)
      scratch.bound[cell] = scratch.key[cell] = __builtin_nanf("");
  }

  /// The queries against a cell's rows; their order is lost.
  void visit(std::size_t cell, std::uint32_t* active, std::size_t count) const {
    visit(cell, cell + 1, active, count);
  }
  /// Or those of the cells [begin, end).
  void visit(std::size_t begin, std::size_t end, std::uint32_t* active, std::size_t count) const {
    constexpr int full = Tiles::tile_rows;
    while (count > 0) {
      const std::size_t alike = this->alike(active, count);
      count -= alike;
      for (std::size_t left = alike; left > 0;) {
        std::size_t taken = full;
        if (left > full / 2) {
          this->template take_tile<full, 1>(begin, end, active, left);
        } else if (left > full / 4) {
          this->template take_tile<full / 2, 2>(begin, end, active, left);
          taken = full / 2;
        } else if (left > 1) {
          this->template take_tile<full / 4, 4>(begin, end, active, left);
          taken = full / 4;
        } else {
          this->template take_tile<1, 4>(begin, end, active, left);
          taken = 1;
        }
        taken = smaller(taken, left);
        active += taken;
        left -= taken;
      }
    }
  }

  // ---- a query on its own ----

  /// Lanes are features: bounds of the query's distance to the blocks, in scratch.block_distance.
  LANNER_INLINE void measure_blocks_alone(std::size_t query) const {
    const IndexView& index = job.index;
    float* const scaled = scratch.scaled;
    const Float scale(index.scale);
    for (std::size_t j = 0; j < index.centre_stride; j += lanes)
      (scale * Float::load(scratch.query + query * index.centre_stride + j)).store(scaled + j);
    const float* low = index.block_low;
    const float* high = index.block_high;
    for (std::size_t block = 0; block < index.blocks;
         ++block, low += index.centre_stride, high += index.centre_stride) {
      Float sum(0.0f);
      for (std::size_t j = 0; j < index.centre_stride; j += lanes) {
        const Float q = Float::load(scaled + j);
        const Float outside =
            simd::maximum(simd::maximum(Float::load(low + j) - q, q - Float::load(high + j)), Float(0.0f));
        sum = fma(outside, outside, sum);
      }
      alignas(64) float parts[lanes];
      sum.store(parts);
      for (int half = lanes / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) parts[i] += parts[i + half];
      scratch.block_distance[block] = parts[0];
    }
  }

  /// The largest key of the query's homes, with the blocks' bounds known.
  float home_alone(std::size_t query) const {
    const IndexView& index = job.index;
    if (job.plan.homes > 1) {
      measure_all_cells(query);
      return bound_holding(scratch.key, nullptr, index.blocks * block_cells,
                           smaller(job.plan.homes, index.cells), 0);
    }
    const float* const distance = scratch.block_distance;
    std::size_t best = 0;
    for (std::size_t block = 1; block < index.blocks; ++block)
      if (distance[block] + index.block_spread[block] < distance[best] + index.block_spread[best])
        best = block;
    std::uint32_t unused;
    float home = least_key(query, best, unused);
    for (std::size_t block = 0; block < index.blocks; ++block)
      if (block != best && distance[block] + index.block_spread[block] < home) {
        const float least = least_key(query, block, unused);
        home = least < home ? least : home;
      }
    return home;
  }

  template <class Chosen>
  LANNER_INLINE void visit_chosen(std::size_t query, std::size_t block, const Chosen& chosen) const {
    auto only = static_cast<std::uint32_t>(query);
    for (std::size_t cell = block * block_cells; cell < (block + 1) * block_cells; cell += lanes)
      for (std::uint32_t bits =
               lane_bits(chosen(Float::load(scratch.bound + cell), Float::load(scratch.key + cell)));
           bits; bits &= bits - 1) {
        const std::size_t at = cell + static_cast<std::size_t>(__builtin_ctz(bits));
        if (scratch.bound[at] <= scratch.reach[query]) visit(at, &only, 1);
      }
  }

  /// Near cells first, in a few steps, so that the limit is low before the far ones come.
  void run_alone(std::size_t query) const {
    const IndexView& index = job.index;
    QueryState& state = scratch.state[query];
    measure_blocks_alone(query);
    const float* const distance = scratch.block_distance;
    const float home = state.bounded ? home_alone(query) : infinite;
    std::uint32_t* const looked_at = scratch.active;
    for (std::size_t block = 0; block < index.blocks; ++block) {
      looked_at[block] = distance[block] + index.block_spread[block] <= home;
      if (!looked_at[block]) continue;
      measure_cells(query, block);
      visit_chosen(query, block, [&](const Float&, const Float& key) { return key <= Float(home); });
    }
    if (!state.bounded) return;
    if (state.count >= job.k) this->make_room(query, state);
    const float reach = scratch.reach[query];
    for (std::size_t block = 0; block < index.blocks; ++block)
      if (distance[block] <= reach && !looked_at[block]) measure_cells(query, block);
    float beyond = -1;
    for (float share = 0x1p-3f; share <= 1; share *= 2) {
      const float within = reach * share;
      for (std::size_t block = 0; block < index.blocks; ++block) {
        if (!(distance[block] <= reach)) continue;
        // Sums over lanes are other sums than chains: a home may stand in a block that was not looked at.
        const Float visited(looked_at[block] ? home : -1);
        visit_chosen(query, block, [&](const Float& bound, const Float& key) {
          return (key > visited) & (bound > Float(beyond)) & (bound <= Float(within));
        });
      }
      beyond = within;
    }
  }

  // ---- queries together ----

  /// Visits the cells of a block: homes, or those away from them that are in reach. A block's bound is the
  /// same sum as its cells', over a box around theirs: never above one of them, rounded or not.
  void visit_block(std::size_t block, bool away) const {
    const IndexView& index = job.index;
    const std::size_t columns = job.plan.columns;
    const std::uint32_t cells = cells_of(block);
    const Float spread(index.block_spread[block]);
    std::size_t count[block_cells] = {}, through = 0;
    std::uint32_t asked = 0, excluded = 0;
    each_query(
        block,
        [&](Float bound, std::size_t i) {
          return away ? bits_at_most(bound, Float::load(scratch.reach + i))
                      : bits_at_most(bound + spread, Float::load(scratch.home + i));
        },
        [&](std::size_t query) {
          const bool at_home_here = scratch.home_cell[query] / block_cells == block;
          if (away && job.plan.homes == 1 && !at_home_here && asked >= tried_cells &&
              excluded < asked / worth_excluding) {
            scratch.through[through++] = static_cast<std::uint32_t>(query);
            return;
          }
          Float bound[block_registers], key[block_registers];
          measure_cells(query, block, bound, key);
          const Float home(scratch.home[query]), reach(scratch.reach[query]);
          alignas(64) float bounds[block_cells];
          std::uint32_t bits = 0;
          for (int v = 0; v < block_registers; ++v) {
            bound[v].store(bounds + v * lanes);
            const std::uint32_t at_home = bits_at_most(key[v], home);
            bits |= (away ? bits_at_most(bound[v], reach) & ~at_home : at_home) << (v * lanes);
          }
          bits &= cells;
          asked += static_cast<std::uint32_t>(__builtin_popcount(cells));
          excluded += static_cast<std::uint32_t>(__builtin_popcount(cells & ~bits));
          if (at_home_here) bits &= ~(1u << scratch.home_cell[query] % block_cells);
          for (; bits; bits &= bits - 1) {
            const auto cell = static_cast<std::size_t>(__builtin_ctz(bits));
            const std::size_t to = cell * columns + count[cell]++;
            scratch.active[to] = static_cast<std::uint32_t>(query);
            scratch.active_bound[to] = bounds[cell];
          }
        });
    for (std::size_t cell = 0; cell < block_cells; ++cell) {
      std::uint32_t* const active = scratch.active + cell * columns;
      std::size_t left = 0;  // what the cells before have put out of reach is left out
      for (std::size_t i = 0; i < count[cell]; ++i) {
        active[left] = active[i];
        left += scratch.active_bound[cell * columns + i] <= scratch.reach[active[i]];
      }
      if (left) visit(block * block_cells + cell, active, left);
    }
    const std::size_t end = smaller((block + 1) * block_cells, index.cells);
    if (through) visit_all(block * block_cells, end, scratch.through, through);
  }

  /// The queries against all of the cells [begin, end); their order is lost.
  void visit_all(std::size_t begin, std::size_t end, std::uint32_t* active, std::size_t count) const {
    const std::size_t some = this->cells_at_once();
    for (std::size_t cell = begin; cell < end; cell += some)
      visit(cell, smaller(cell + some, end), active, count);
  }

  void run_together() const {
    if (!job.index.boxes_tell) {
      for (std::size_t i = 0; i < queries; ++i) scratch.active[i] = static_cast<std::uint32_t>(i);
      if constexpr (Tiles::has_codes) this->sample_limits(scratch.active, queries);
      visit_all(0, job.index.cells, scratch.active, queries);
      return;
    }
    scale_all();
    measure_blocks();
    if (job.plan.homes == 1) {
      find_home_cells();
      visit_home_cells();
    } else {
      find_homes();
      for (std::size_t block = 0; block < job.index.blocks; ++block) visit_block(block, false);
    }
    // What a buffer holds by now says more than the limit that came from its first rows.
    for (std::size_t i = 0; i < queries; ++i)
      if (scratch.state[i].bounded && scratch.state[i].count >= job.k) this->make_room(i, scratch.state[i]);
    for (std::size_t block = 0; block < job.index.blocks; ++block) visit_block(block, true);
  }

  void run() const {
    prepare_all();
    if (queries <= alone_max) {
      for (std::size_t i = 0; i < queries; ++i) run_alone(i);
    } else {
      run_together();
    }
    for (std::size_t i = 0; i < queries; ++i) this->conclude(i, scratch.state[i]);
  }
};

}  // namespace lanner::nearest
