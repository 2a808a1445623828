// The search of one group of queries, for the SIMD tiers: a template over the tier, always instantiated in
// that tier's own file, and free of std:: for the reason that kernels/simd/lanes.hpp gives.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/nearest/search.hpp"
#include "kernels/simd/lanes.hpp"

namespace lanner::nearest {

// A full tile is `rows` queries by `registers` registers of references: as many accumulators as leave room
// for the operands. What is left over of a cell's queries goes through lower tiles over more panels.
template <class Tier>
struct TileShape;
template <>
struct TileShape<simd::Avx2> {
  static constexpr int rows = 6, registers = 2;
};
template <>
struct TileShape<simd::Avx512> {
  static constexpr int rows = 12, registers = 2;
};

/// Stores the lanes whose bit is set one after the other; may write a whole register.
template <class Tier>
LANNER_INLINE void store_chosen(__m256i values, std::uint32_t bits, void* to) {
  const std::uint64_t bytes = _pdep_u64(bits, 0x0101010101010101u) * 0xFFu;
  const std::uint64_t from = _pext_u64(0x0706050403020100u, bytes);
  const __m256i order = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(from)));
  _mm256_storeu_si256(static_cast<__m256i*>(to), _mm256_permutevar8x32_epi32(values, order));
}
template <class Tier>
LANNER_INLINE void store_chosen(simd::Lanes<Tier, std::int32_t> values, std::uint32_t bits, void* to) {
  if constexpr (simd::Wide<simd::Lanes<Tier, std::int32_t>>) {
#if defined(__AVX512F__)
    const auto packed =
        _mm512_maskz_compress_epi32(static_cast<__mmask16>(bits), reinterpret_cast<__m512i>(values.v));
    _mm512_storeu_si512(to, packed);
#else
    const simd::Halves<simd::Lanes<Tier, std::int32_t>> half(values);
    store_chosen<Tier>(reinterpret_cast<__m256i>(half.low), bits & 0xFF, to);
    store_chosen<Tier>(reinterpret_cast<__m256i>(half.high), bits >> 8,
                       static_cast<std::uint32_t*>(to) + __builtin_popcount(bits & 0xFF));
#endif
  } else {
    store_chosen<Tier>(reinterpret_cast<__m256i>(values.v), bits, to);
  }
}

template <class Tier>
struct GroupSearch {
  using Float = simd::Floats<Tier>;
  using Double = simd::Doubles<Tier>;
  using Word = typename Float::Mask;
  static constexpr int lanes = Float::width;
  static constexpr int registers = TileShape<Tier>::registers;
  static constexpr int panel_width = lanes * registers;
  static_assert(panel_width <= static_cast<int>(buffer_slack));

  const Job& job;
  const Scratch& scratch;
  std::size_t first;
  std::size_t queries;

  static constexpr float infinite = __builtin_inff();
  static constexpr std::size_t alone_max = 3;  ///< queries, which are sooner searched for one by one

  LANNER_INLINE static std::size_t smaller(std::size_t a, std::size_t b) { return a < b ? a : b; }

  // ---- survivors of one query ----

  /// The smallest bound, roughly, that holds rows of at least `wanted` weight; infinite if there are none.
  [[gnu::noinline]] static float bound_holding(const float* values, const std::uint32_t* weight,
                                               std::size_t count, std::size_t wanted) {
    const auto holds = [&](std::int32_t bits) {
      const Float bound(__builtin_bit_cast(float, bits));
      Word found(0);
      for (std::size_t i = 0; i < count; i += lanes) {
        const Word within = Float::load(values + i) <= bound;
        const Word each = weight ? Word::load(reinterpret_cast<const std::int32_t*>(weight) + i) : Word(1);
        found = found + (within & each);
      }
      std::uint64_t sum = 0;
      for (int i = 0; i < lanes; ++i) sum += static_cast<std::uint32_t>(found[i]);
      return sum;
    };
    // The bounds are not negative, so their bits order as they do.
    std::int32_t low = -1, high = 0x7F800000;
    if (holds(high) < wanted) return infinite;
    while (high - low > 1) {
      const std::int32_t middle = low + (high - low) / 2;
      const std::uint64_t held = holds(middle);
      if (held >= wanted) {
        high = middle;
        if (held <= wanted + wanted / 16) break;
      } else {
        low = middle;
      }
    }
    return __builtin_bit_cast(float, high);
  }

  /// The first lines of a row; the hardware follows where there are more.
  LANNER_INLINE void prefetch(const float* row) const {
    __builtin_prefetch(row);
    if (job.index.row_stride > 16) __builtin_prefetch(row + 16);
  }

  /// The float64 chains of the definition for `count` rows at `position`, eight at a time.
  [[gnu::noinline]] void exact_distances(const std::uint32_t* position, std::size_t count) const {
    const IndexView& index = job.index;
    const double* q = scratch.exact_query;
    for (std::size_t i = 0; i < count; i += 8) {
      const float* row[8];
      for (std::size_t c = 0; c < 8; ++c)
        row[c] = index.rows + position[smaller(i + c, count - 1)] * index.row_stride;
      for (std::size_t c = 8; c < 16; ++c)
        prefetch(index.rows + position[smaller(i + c, count - 1)] * index.row_stride);
      __m256d sum[2] = {_mm256_setzero_pd(), _mm256_setzero_pd()};
      for (std::size_t j = 0; j < index.row_stride; j += 4) {
        for (int half = 0; half < 2; ++half) {
          __m128 a = _mm_loadu_ps(row[4 * half] + j), b = _mm_loadu_ps(row[4 * half + 1] + j);
          __m128 c = _mm_loadu_ps(row[4 * half + 2] + j), d = _mm_loadu_ps(row[4 * half + 3] + j);
          _MM_TRANSPOSE4_PS(a, b, c, d);
          const __m128 features[4] = {a, b, c, d};
          for (int f = 0; f < 4; ++f) {
            const __m256d difference =
                _mm256_sub_pd(_mm256_broadcast_sd(q + j + f), _mm256_cvtps_pd(features[f]));
            sum[half] = _mm256_fmadd_pd(difference, difference, sum[half]);
          }
        }
      }
      double squared[8];
      _mm256_storeu_pd(squared, sum[0]);
      _mm256_storeu_pd(squared + 4, sum[1]);
      for (std::size_t c = 0; c < 8 && i + c < count; ++c) scratch.exact_squared[i + c] = squared[c];
    }
  }

  /// Drops the survivors that the limit excludes.
  void drop_beyond_limit(QueryState& state) const {
    const Float limit(state.limit);
    for (; state.count % lanes != 0; ++state.count) state.lower[state.count] = __builtin_nanf("");
    std::uint32_t left = 0;
    // In place: what is written never overtakes what is read.
    for (std::uint32_t i = 0; i < state.count; i += lanes) {
      const std::uint32_t kept = lane_bits(Float::load(state.lower + i) <= limit);
      store_chosen<Tier>(to_bits(Float::load(state.lower + i)), kept, state.lower + left);
      store_chosen<Tier>(to_bits(Float::load(state.upper + i)), kept, state.upper + left);
      store_chosen<Tier>(load_words(state.position + i), kept, state.position + left);
      if (job.weighted) store_chosen<Tier>(load_words(state.weight + i), kept, state.weight + left);
      left += static_cast<std::uint32_t>(__builtin_popcount(kept));
    }
    state.count = left;
  }
  LANNER_INLINE static Word load_words(const std::uint32_t* from) {
    return Word::load(reinterpret_cast<const std::int32_t*>(from));
  }

  /// Puts the settled rows of a query and those of its buffer that the limit leaves into scratch.merged.
  std::size_t settle(std::size_t query, QueryState& state) const {
    const IndexView& index = job.index;
    drop_beyond_limit(state);
    const float* q = job.queries.data + (first + query) * job.queries.stride;
    for (std::size_t j = 0; j < index.width; ++j) scratch.exact_query[j] = static_cast<double>(q[j]);
    for (std::size_t j = index.width; j < index.row_stride; ++j) scratch.exact_query[j] = 0;
    if (state.count) exact_distances(state.position, state.count);
    std::size_t count = state.settled_count;
    for (std::size_t i = 0; i < count; ++i) scratch.merged[i] = state.settled[i];
    for (std::size_t i = 0; i < state.count; ++i) {
      const std::uint32_t at = state.position[i];
      scratch.merged[count++] = {scratch.exact_squared[i], index.row_at[at],
                                 job.weighted ? state.weight[i] : index.weight[at]};
    }
    state.count = 0;
    return count;
  }

  /// Makes room in a full buffer, and lowers the limit.
  [[gnu::noinline]] void make_room(std::size_t query, QueryState& state) const {
    if (!state.settling) {
      std::uint32_t padded = state.count;
      for (; padded % lanes != 0; ++padded) {
        state.upper[padded] = infinite;
        state.weight[padded] = 0;
      }
      const float kth = bound_holding(state.upper, job.weighted ? state.weight : nullptr, padded, job.k);
      const float limit = screen_limit(static_cast<double>(kth));
      if (limit < state.limit) state.limit = limit;
      drop_beyond_limit(state);
      state.settling = state.count > job.plan.capacity - job.plan.capacity / 8;
    }
    if (state.settling) {
      double kth;
      state.settled_count = keep_nearest(job, scratch.merged, settle(query, state), &kth);
      for (std::size_t i = 0; i < state.settled_count; ++i) state.settled[i] = scratch.merged[i];
      const float limit = screen_limit(kth * job.index.scale_squared);
      if (limit < state.limit) state.limit = limit;
    }
    scratch.reach[query] = screen_reach(job.index.bound, state.limit);
  }

  // ---- tiles ----

  struct TileRow {
    float threshold;
    float lower_shift;
    std::uint32_t query;
    double squared_norm;
  };

  /// Takes those of a panel's rows into a query's buffer that are not above its threshold.
  [[gnu::noinline]] void take(TileRow& row, const float* values, std::size_t position) const {
    const IndexView& index = job.index;
    QueryState& state = scratch.state[row.query];
    alignas(64) float lower[panel_width];
    alignas(64) float upper[panel_width];
    const Float upper_shift(screen_upper_shift(index.bound, row.squared_norm));
    std::uint32_t survivors = 0;
    for (int v = 0; v < registers; ++v) {
      const Float a = Float::load(values + v * lanes);
      const Float below = a + Float(row.lower_shift);
      fma(Float(-0x1p-22f), absolute(below), below).store(lower + v * lanes);
      const Float extra =
          (Float::load(index.extra + position + v * lanes) + upper_shift) * Float(1 + 0x1p-22f);
      const Float above = a + extra;
      simd::maximum(fma(Float(0x1p-22f), absolute(above), above), Float(0.0f)).store(upper + v * lanes);
      survivors |= lane_bits(a <= Float(row.threshold)) << (v * lanes);
    }
    std::uint32_t count = state.count;
    while (survivors) {
      const int lane = __builtin_ctz(survivors);
      survivors &= survivors - 1;
      const auto at = static_cast<std::uint32_t>(position + lane);
      state.lower[count] = state.bounded ? lower[lane] : 0;
      state.upper[count] = state.bounded ? upper[lane] : infinite;
      state.position[count] = at;
      if (!job.weighted) {
        count += at != state.self;
      } else {
        state.weight[count] = index.weight[at] - (at == state.self);
        count += state.weight[count] != 0;
      }
    }
    state.count = count;
    if (count >= job.plan.capacity) {
      make_room(row.query, state);
      row.threshold = state.bounded ? screen_threshold(state.limit, row.lower_shift) : row.threshold;
    }
  }

  /// `height` queries against the panels [panel, end), `abreast` panels at a time.
  template <int height, int abreast>
  [[gnu::noinline]] void run_tile(TileRow* rows, std::size_t panel, std::size_t end) const {
    const IndexView& index = job.index;
    const std::size_t width = index.width;
    constexpr int columns = abreast * registers;
    for (; panel < end; panel += abreast) {
      const float* r = index.panels + panel * width * panel_width;
      const float* q = scratch.tile;
      const float* bias = index.bias + panel * panel_width;
      Float sum[height][columns];
#pragma GCC unroll 16
      for (int c = 0; c < columns; ++c) {
        const Float start = Float::load(bias + c * lanes);
#pragma GCC unroll 16
        for (int h = 0; h < height; ++h) sum[h][c] = start;
      }
      for (std::size_t left = width;;) {
        const std::size_t some = left < tile_features ? left : tile_features;
#pragma GCC unroll 2
        for (std::size_t j = 0; j < some; ++j) {
          Float reference[columns];
#pragma GCC unroll 16
          for (int c = 0; c < columns; ++c)
            reference[c] = Float::load(r + (c / registers) * width * panel_width + (c % registers) * lanes);
#pragma GCC unroll 16
          for (int h = 0; h < height; ++h) {
            const Float value(q[h * tile_features]);
#pragma GCC unroll 16
            for (int c = 0; c < columns; ++c) sum[h][c] = fma(value, reference[c], sum[h][c]);
          }
          r += panel_width;
          ++q;
        }
        left -= some;
        if (left == 0) break;
        q += (height - 1) * tile_features;
      }

      Word any(0);
#pragma GCC unroll 16
      for (int h = 0; h < height; ++h) {
        Float least = sum[h][0];
#pragma GCC unroll 16
        for (int c = 1; c < columns; ++c) least = simd::minimum(sum[h][c], least);
        any = any | (least <= Float(rows[h].threshold));
      }
      if (__builtin_expect(lane_bits(any) != 0, 0)) {
        alignas(64) float values[height][columns * lanes];
#pragma GCC unroll 16
        for (int h = 0; h < height; ++h) {
#pragma GCC unroll 16
          for (int c = 0; c < columns; ++c) sum[h][c].store(values[h] + c * lanes);
        }
        for (int h = 0; h < height; ++h)
          for (int p = 0; p < abreast; ++p) {
            const float* at = values[h] + p * panel_width;
            Word some(0);
            for (int c = 0; c < registers; ++c)
              some = some | (Float::load(at + c * lanes) <= Float(rows[h].threshold));
            if (lane_bits(some)) take(rows[h], at, (panel + p) * panel_width);
          }
      }
    }
  }

  /// Centres a query to a cell, and writes it into the tile.
  LANNER_INLINE void pack(std::size_t cell, std::uint32_t query, TileRow& row, float* tile,
                          std::size_t tile_step) const {
    const IndexView& index = job.index;
    const float* q = scratch.query + query * index.centre_stride;
    const float* centre = index.centre + cell * index.centre_stride;
    const Float scale(index.scale);
    for (std::size_t j = 0; j < index.centre_stride; j += lanes) {
      const Float centred = fma(scale, Float::load(q + j), -Float::load(centre + j));
      (centred * Float(-2.0f)).store(tile + j / tile_features * tile_step + j % tile_features);
    }
    const Double wide_scale(static_cast<double>(index.scale));
    Double sum[2] = {Double(0.0), Double(0.0)};
    for (std::size_t j = 0; j < index.centre_stride; j += 2 * Double::width)
      for (int half = 0; half < 2; ++half) {
        const std::size_t at = j + half * Double::width;
        const Double offset =
            fma(wide_scale, simd::load_as_doubles<Tier>(q + at), -simd::load_as_doubles<Tier>(centre + at));
        sum[half] = fma(offset, offset, sum[half]);
      }
    const Double both = sum[0] + sum[1];
    double squared_norm = both[0] + both[1] + (both[2] + both[3]);
    if constexpr (Double::width == 8) squared_norm += both[4] + both[5] + (both[6] + both[7]);

    const QueryState& state = scratch.state[query];
    row.query = query;
    row.lower_shift = screen_lower_shift(index.bound, squared_norm);
    row.squared_norm = squared_norm;
    row.threshold = state.bounded ? screen_threshold(state.limit, row.lower_shift) : 0x1.fffffep127f;
  }

  template <int height, int abreast>
  void take_tile(std::size_t cell, const std::uint32_t* active, std::size_t count) const {
    TileRow rows[height];
    for (int h = 0; h < height; ++h) {
      const bool real = static_cast<std::size_t>(h) < count;
      pack(cell, active[real ? h : 0], rows[h], scratch.tile + h * tile_features, height * tile_features);
      if (!real) rows[h].threshold = -infinite;
    }
    run_tile<height, abreast>(rows, job.index.cell_begin[cell], job.index.cell_begin[cell + 1]);
  }

  void visit(std::size_t cell, const std::uint32_t* active, std::size_t count) const {
    constexpr int full = TileShape<Tier>::rows;
    while (count > 0) {
      std::size_t taken = full;
      if (count > full / 2) {
        take_tile<full, 1>(cell, active, count);
      } else if (count > 1) {
        take_tile<full / 2, 2>(cell, active, count);
        taken = full / 2;
      } else {
        take_tile<1, 4>(cell, active, count);
        taken = 1;
      }
      taken = smaller(taken, count);
      active += taken;
      count -= taken;
    }
  }

  // ---- the group ----

  void prepare() const {
    const IndexView& index = job.index;
    const std::size_t columns = job.plan.columns;
    for (std::size_t i = 0; i < queries; ++i) {
      QueryState& state = scratch.state[i];
      const float* q = job.queries.data + (first + i) * job.queries.stride;
      float* copy = scratch.query + i * index.centre_stride;
      bool bounded = true;
      for (std::size_t j = 0; j < index.width; ++j)
        bounded = bounded && __builtin_fabsf(index.scale * q[j]) <= scaled_query_max;
      for (std::size_t j = 0; j < index.width; ++j) {
        copy[j] = bounded ? q[j] : 0;
        scratch.scaled[j * columns + i] = index.scale * copy[j];
      }
      for (std::size_t j = index.width; j < index.centre_stride; ++j) copy[j] = 0;
      state.count = state.settled_count = 0;
      state.limit = infinite;
      const std::uint32_t self = job.self ? job.self[first + i] : no_self;
      state.self = self == no_self ? no_self : index.position_of[self];
      state.bounded = bounded;
      state.settling = false;
      scratch.reach[i] = infinite;
    }
    for (std::size_t j = 0; j < index.width; ++j)
      for (std::size_t i = queries; i < columns; ++i) scratch.scaled[j * columns + i] = 0;
  }

  template <int registers_abreast>
  LANNER_INLINE void measure_block(std::size_t block, std::size_t i, float* out) const {
    const float* low = job.index.block_low + block * job.index.centre_stride;
    const float* high = job.index.block_high + block * job.index.centre_stride;
    const Float spread(job.index.block_spread[block]);
    const std::size_t width = job.index.width, columns = job.plan.columns;
    const float* scaled = scratch.scaled + i;
    Float sum[registers_abreast];
#pragma GCC unroll 4
    for (int v = 0; v < registers_abreast; ++v) sum[v] = Float(0.0f);
    for (std::size_t j = 0; j < width; ++j, scaled += columns) {
      const Float l(low[j]), h(high[j]);
#pragma GCC unroll 4
      for (int v = 0; v < registers_abreast; ++v) {
        const Float q = Float::load(scaled + v * lanes);
        const Float outside = simd::maximum(simd::maximum(l - q, q - h), Float(0.0f));
        sum[v] = fma(outside, outside, sum[v]);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < registers_abreast; ++v) {
      sum[v].store(out + i + v * lanes);
      float* const home = scratch.home + i + v * lanes;
      simd::minimum(sum[v] + spread, Float::load(home)).store(home);
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

  /// A query's bounds and keys for a block's cells: lanes are cells.
  LANNER_INLINE void measure_cells(std::size_t query, std::size_t block, Float* bound, Float* key) const {
    const IndexView& index = job.index;
    const float* box = index.boxes + block * index.width * 2 * block_cells;
    const float* q = scratch.query + query * index.centre_stride;
    Float sum[block_registers];
#pragma GCC unroll 2
    for (int v = 0; v < block_registers; ++v) sum[v] = Float(0.0f);
    for (std::size_t j = 0; j < index.width; ++j, box += 2 * block_cells) {
      const Float value(index.scale * q[j]);
#pragma GCC unroll 2
      for (int v = 0; v < block_registers; ++v) {
        const Float low = Float::load(box + v * lanes), high = Float::load(box + block_cells + v * lanes);
        const Float outside = simd::maximum(simd::maximum(low - value, value - high), Float(0.0f));
        sum[v] = fma(outside, outside, sum[v]);
      }
    }
    const float* spread = index.spread + block * block_cells;
#pragma GCC unroll 2
    for (int v = 0; v < block_registers; ++v) {
      bound[v] = sum[v];
      key[v] = sum[v] + Float::load(spread + v * lanes);
    }
  }

  LANNER_INLINE std::uint32_t cells_of(std::size_t block) const {
    const std::size_t left = job.index.cells - block * block_cells;
    return left < block_cells ? (1u << left) - 1 : (1u << block_cells) - 1;
  }

  /// Calls `take(query)` for the queries whose lanes `chosen(bound, i)` chooses, bound being that to a block.
  template <class Chosen, class Take>
  LANNER_INLINE void each_query(std::size_t block, const Chosen& chosen, const Take& take) const {
    const float* distance = scratch.block_distance + block * job.plan.columns;
    for (std::size_t i = 0; i < job.plan.columns; i += lanes)
      for (std::uint32_t bits = lane_bits(chosen(Float::load(distance + i), i)); bits; bits &= bits - 1)
        take(i + static_cast<std::size_t>(__builtin_ctz(bits)));
  }

  /// The least key of a block's cells, for one query.
  LANNER_INLINE float least_key(std::size_t query, std::size_t block) const {
    Float bound[block_registers], key[block_registers];
    measure_cells(query, block, bound, key);
    alignas(64) float keys[block_cells];
    for (int v = 0; v < block_registers; ++v) key[v].store(keys + v * lanes);
    float least = infinite;
    for (std::uint32_t bits = cells_of(block); bits; bits &= bits - 1) {
      const float each = keys[__builtin_ctz(bits)];
      least = each < least ? each : least;
    }
    return least;
  }

  /// How large the keys of the cells may be that a query visits first: its homes.
  void find_homes() const {
    const IndexView& index = job.index;
    const std::size_t columns = job.plan.columns;
    float* const home = scratch.home;
    if (job.plan.homes == 1) {
      // First the block that promises most, then those that could hold better.
      float* const nearest = scratch.active_bound;
      for (std::size_t i = 0; i < columns; ++i) nearest[i] = infinite;
      const auto look = [&](std::size_t block, const float* limit) {
        const Float spread(index.block_spread[block]);
        each_query(
            block, [&](Float bound, std::size_t i) { return bound + spread <= Float::load(limit + i); },
            [&](std::size_t query) {
              const float least = least_key(query, block);
              if (least < nearest[query]) nearest[query] = least;
            });
      };
      for (std::size_t block = 0; block < index.blocks; ++block) look(block, home);
      for (std::size_t i = queries; i < columns; ++i) nearest[i] = -1;
      for (std::size_t block = 0; block < index.blocks; ++block) look(block, nearest);
      for (std::size_t i = 0; i < queries; ++i) home[i] = nearest[i];
    } else {
      for (std::size_t i = 0; i < queries; ++i) {
        measure_all_cells(i);
        home[i] = bound_holding(scratch.key, nullptr, index.blocks * block_cells,
                                smaller(job.plan.homes, index.cells));
      }
    }
    for (std::size_t i = 0; i < queries; ++i)
      if (!scratch.state[i].bounded) home[i] = infinite;
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
                           smaller(job.plan.homes, index.cells));
    }
    const float* const distance = scratch.block_distance;
    std::size_t best = 0;
    for (std::size_t block = 1; block < index.blocks; ++block)
      if (distance[block] + index.block_spread[block] < distance[best] + index.block_spread[best])
        best = block;
    float home = least_key(query, best);
    for (std::size_t block = 0; block < index.blocks; ++block)
      if (block != best && distance[block] + index.block_spread[block] < home) {
        const float least = least_key(query, block);
        home = least < home ? least : home;
      }
    return home;
  }

  template <class Chosen>
  LANNER_INLINE void visit_chosen(std::size_t query, std::size_t block, const Chosen& chosen) const {
    const auto only = static_cast<std::uint32_t>(query);
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
    if (state.count >= job.k) make_room(query, state);
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
  /// same chain as its cells', over a box around theirs: never above one of them, rounded or not.
  void visit_block(std::size_t block, bool away) const {
    const IndexView& index = job.index;
    const std::size_t columns = job.plan.columns;
    const std::uint32_t cells = cells_of(block);
    const Float spread(index.block_spread[block]);
    std::size_t count[block_cells] = {};
    each_query(
        block,
        [&](Float bound, std::size_t i) {
          return away ? bound <= Float::load(scratch.reach + i)
                      : bound + spread <= Float::load(scratch.home + i);
        },
        [&](std::size_t query) {
          Float bound[block_registers], key[block_registers];
          measure_cells(query, block, bound, key);
          const Float home(scratch.home[query]), reach(scratch.reach[query]);
          alignas(64) float bounds[block_cells];
          std::uint32_t bits = 0;
          for (int v = 0; v < block_registers; ++v) {
            bound[v].store(bounds + v * lanes);
            bits |= lane_bits(away ? (key[v] > home) & (bound[v] <= reach) : key[v] <= home) << (v * lanes);
          }
          for (bits &= cells; bits; bits &= bits - 1) {
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
  }

  void run_together() const {
    measure_blocks();
    find_homes();
    for (bool away : {false, true})
      for (std::size_t block = 0; block < job.index.blocks; ++block) visit_block(block, away);
  }

  void run() const {
    prepare();
    if (queries <= alone_max) {
      for (std::size_t i = 0; i < queries; ++i) run_alone(i);
    } else {
      run_together();
    }
    for (std::size_t i = 0; i < queries; ++i) finish(job, scratch, first + i, settle(i, scratch.state[i]));
  }
};

}  // namespace lanner::nearest
