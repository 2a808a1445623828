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

  void visit(std::size_t cell, std::size_t count) const {
    constexpr int full = TileShape<Tier>::rows;
    const std::uint32_t* active = scratch.active;
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
  LANNER_INLINE void measure_box(std::size_t cell, std::size_t i, float* out) const {
    const float* low = job.index.low + cell * job.index.centre_stride;
    const float* high = job.index.high + cell * job.index.centre_stride;
    const Float spread(job.index.spread[cell]);
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

  /// Bounds of every query's distance to every cell, and which cells are its homes: the nearest by that
  /// bound and the cells' spreads.
  void measure_boxes() const {
    const IndexView& index = job.index;
    const std::size_t columns = job.plan.columns;
    for (std::size_t i = 0; i < columns; ++i) scratch.home[i] = infinite;
    for (std::size_t cell = 0; cell < index.cells; ++cell) {
      float* out = scratch.box_distance + cell * columns;
      std::size_t i = 0;
      for (; i + 4 * lanes <= columns; i += 4 * lanes) measure_box<4>(cell, i, out);
      for (; i < columns; i += lanes) measure_box<1>(cell, i, out);
    }
    for (std::size_t i = queries; i < columns; ++i) scratch.home[i] = scratch.reach[i] = -1;
    for (std::size_t i = 0; i < queries; ++i) {
      if (!scratch.state[i].bounded) {
        scratch.home[i] = infinite;
      } else if (job.plan.homes > 1) {
        std::size_t cell = 0;
        for (; cell < index.cells; ++cell)
          scratch.key[cell] = scratch.box_distance[cell * columns + i] + index.spread[cell];
        for (; cell % lanes != 0; ++cell) scratch.key[cell] = infinite;
        scratch.home[i] = bound_holding(scratch.key, nullptr, cell, job.plan.homes);
      }
    }
  }

  // ---- a query on its own ----

  /// Lanes are features: of one query those over queries would be idle. Fills scratch.column and key.
  LANNER_INLINE void measure_boxes_alone(std::size_t query) const {
    const IndexView& index = job.index;
    float* const scaled = scratch.scaled;
    const Float scale(index.scale);
    for (std::size_t j = 0; j < index.centre_stride; j += lanes)
      (scale * Float::load(scratch.query + query * index.centre_stride + j)).store(scaled + j);
    const float* low = index.low;
    const float* high = index.high;
    std::size_t cell = 0;
    for (; cell < index.cells; ++cell, low += index.centre_stride, high += index.centre_stride) {
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
      scratch.column[cell] = parts[0];
      scratch.key[cell] = parts[0] + index.spread[cell];
    }
    for (; cell % lanes != 0; ++cell) scratch.column[cell] = scratch.key[cell] = __builtin_nanf("");
  }

  /// Visits the cells whose keys are at most `home`, or beyond it those whose bounds are above `beyond`, up
  /// to `within`; of all of them those that are still in reach.
  void visit_home(std::size_t query, float home) const {
    visit_each(query, [&](const Float&, const Float& key) { return lane_bits(key <= Float(home)); });
  }
  void visit_away(std::size_t query, float home, float beyond, float within) const {
    visit_each(query, [&](const Float& bound, const Float& key) {
      return lane_bits((key > Float(home)) & (bound > Float(beyond)) & (bound <= Float(within)));
    });
  }
  template <class Chosen>
  LANNER_INLINE void visit_each(std::size_t query, const Chosen& chosen) const {
    scratch.active[0] = static_cast<std::uint32_t>(query);
    for (std::size_t cell = 0; cell < job.index.cells; cell += lanes)
      for (std::uint32_t bits = chosen(Float::load(scratch.column + cell), Float::load(scratch.key + cell));
           bits; bits &= bits - 1) {
        const std::size_t at = cell + static_cast<std::size_t>(__builtin_ctz(bits));
        if (scratch.column[at] <= scratch.reach[query]) visit(at, 1);
      }
  }

  /// Near cells first, in a few steps, so that the limit is low before the far ones come.
  void run_alone(std::size_t query) const {
    QueryState& state = scratch.state[query];
    measure_boxes_alone(query);
    if (!state.bounded) return visit_home(query, infinite);
    const std::size_t cells = (job.index.cells + lanes - 1) / lanes * lanes;
    const float home = bound_holding(scratch.key, nullptr, cells, smaller(job.plan.homes, job.index.cells));
    visit_home(query, home);
    if (state.count >= job.k) make_room(query, state);
    const float reach = scratch.reach[query];
    float beyond = -1;
    for (float share = 0x1p-3f; share <= 1; share *= 2) {
      visit_away(query, home, beyond, reach * share);
      beyond = reach * share;
    }
  }

  void run_together() const {
    const IndexView& index = job.index;
    const std::size_t columns = job.plan.columns;
    measure_boxes();
    for (int away = 0; away < 2; ++away)
      for (std::size_t cell = 0; cell < index.cells; ++cell) {
        const float* box = scratch.box_distance + cell * columns;
        const Float spread(index.spread[cell]);
        std::size_t count = 0;
        for (std::size_t i = 0; i < columns; i += lanes) {
          const Float bound = Float::load(box + i), home = Float::load(scratch.home + i);
          const Float key = bound + spread;
          std::uint32_t bits = away ? lane_bits((key > home) & (bound <= Float::load(scratch.reach + i)))
                                    : lane_bits(key <= home);
          for (; bits; bits &= bits - 1)
            scratch.active[count++] =
                static_cast<std::uint32_t>(i) + static_cast<std::uint32_t>(__builtin_ctz(bits));
        }
        if (count) visit(cell, count);
      }
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
