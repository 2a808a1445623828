// What a search does with the rows that its screen leaves over, for the SIMD tiers: templates over the tier,
// always instantiated in that tier's own file, and free of std:: for the reason that kernels/simd/lanes.hpp
// gives.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/nearest/search.hpp"
#include "kernels/simd/lanes.hpp"

namespace lanner::nearest {

/// A full tile is `rows` queries by `registers` registers of references: as many accumulators as leave room
/// for the operands. What is left over of a cell's queries goes through lower tiles over more panels.
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
/// The queries [first, first + queries) of a job, by one thread.
template <class Tier>
struct Survivors {
  using Float = simd::Floats<Tier>;
  using Double = simd::Doubles<Tier>;
  using Word = typename Float::Mask;
  static constexpr int lanes = Float::width;
  static constexpr int registers = TileShape<Tier>::registers;
  static constexpr int tile_rows = TileShape<Tier>::rows;
  static constexpr int panel_width = lanes * registers;
  static_assert(panel_width <= static_cast<int>(buffer_slack));

  const Job& job;
  const Scratch& scratch;
  std::size_t first;
  std::size_t queries;

  static constexpr float infinite = __builtin_inff();

  LANNER_INLINE static std::size_t smaller(std::size_t a, std::size_t b) { return a < b ? a : b; }

  /// The smallest bound, roughly, that holds rows of at least `wanted` weight; infinite if there are none.
  [[gnu::noinline]] static float bound_holding(const float* values, const std::uint32_t* weight,
                                               std::size_t count, std::size_t wanted) {
    const auto holds = [&](std::int32_t bits) {
      const Float bound(__builtin_bit_cast(float, bits));
      std::uint64_t sum = 0;
      if (!weight) {
        for (std::size_t i = 0; i < count; i += lanes)
          sum += static_cast<std::uint64_t>(__builtin_popcount(bits_at_most(Float::load(values + i), bound)));
        return sum;
      }
      Word found(0);
      for (std::size_t i = 0; i < count; i += lanes)
        found = found + (Word(Float::load(values + i) <= bound) &
                         Word::load(reinterpret_cast<const std::int32_t*>(weight) + i));
      for (int i = 0; i < lanes; ++i) sum += static_cast<std::uint32_t>(found[i]);
      return sum;
    };
    // The bounds are not negative, so their bits order as they do. First a range that holds the bound.
    Float smallest(infinite);
    for (std::size_t i = 0; i < count; i += lanes)
      smallest = simd::minimum(Float::load(values + i), smallest);
    std::int32_t low = __builtin_bit_cast(std::int32_t, least_lane(smallest)) - 1, high = low;
    for (std::int32_t step = 1 << 20; high < 0x7F800000; step *= 2) {
      high = 0x7F800000 - low > step ? low + step : 0x7F800000;
      if (holds(high) >= wanted) break;
      if (high == 0x7F800000) return infinite;
      low = high;
    }
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

  /// The float64 chains of the definition for `count` rows at `position`, some at a time.
  [[gnu::noinline]] void exact_distances(const std::uint32_t* position, std::size_t count) const {
    constexpr std::size_t some = 2 * Double::width;
    const IndexView& index = job.index;
    for (std::size_t i = 0; i < count; i += some) {
      const float* row[some];
      for (std::size_t c = 0; c < some; ++c)
        row[c] = index.rows + position[smaller(i + c, count - 1)] * index.row_stride;
      for (std::size_t c = some; c < 2 * some; ++c)
        prefetch(index.rows + position[smaller(i + c, count - 1)] * index.row_stride);
      Double sum[2] = {Double(0.0), Double(0.0)};
      for (std::size_t j = 0; j < index.row_stride; j += 4) {
        typename simd::VectorOf<float, Double::width>::type features[4][2];
        transpose(row, j, features);
        for (int f = 0; f < 4; ++f) {
          const Double query(scratch.exact_query[j + f]);
          for (int half = 0; half < 2; ++half) {
            const Double difference =
                query - Double(__builtin_convertvector(features[f][half], typename Double::Vector));
            sum[half] = fma(difference, difference, sum[half]);
          }
        }
      }
      double squared[some];
      sum[0].store(squared);
      sum[1].store(squared + Double::width);
      for (std::size_t c = 0; c < some && i + c < count; ++c) scratch.exact_squared[i + c] = squared[c];
    }
  }

  /// Four features of eight or sixteen rows, feature by feature.
  LANNER_INLINE static void transpose(const float* const* row, std::size_t j, __m128 (*features)[2]) {
    for (int half = 0; half < 2; ++half) {
      const float* const* r = row + 4 * half;
      __m128 a = _mm_loadu_ps(r[0] + j), b = _mm_loadu_ps(r[1] + j);
      __m128 c = _mm_loadu_ps(r[2] + j), d = _mm_loadu_ps(r[3] + j);
      _MM_TRANSPOSE4_PS(a, b, c, d);
      features[0][half] = a;
      features[1][half] = b;
      features[2][half] = c;
      features[3][half] = d;
    }
  }
  LANNER_INLINE static void transpose(const float* const* row, std::size_t j, __m256 (*features)[2]) {
    for (int half = 0; half < 2; ++half) {
      __m256 r[4];
      for (int i = 0; i < 4; ++i)
        r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row[8 * half + i] + j)),
                                    _mm_loadu_ps(row[8 * half + i + 4] + j), 1);
      const __m256 low01 = _mm256_unpacklo_ps(r[0], r[1]), high01 = _mm256_unpackhi_ps(r[0], r[1]);
      const __m256 low23 = _mm256_unpacklo_ps(r[2], r[3]), high23 = _mm256_unpackhi_ps(r[2], r[3]);
      features[0][half] = _mm256_shuffle_ps(low01, low23, 0x44);
      features[1][half] = _mm256_shuffle_ps(low01, low23, 0xEE);
      features[2][half] = _mm256_shuffle_ps(high01, high23, 0x44);
      features[3][half] = _mm256_shuffle_ps(high01, high23, 0xEE);
    }
  }

  /// Puts a panel's rows whose bit is set into a query's buffer, with bounds of their S [panel_width].
  /// Whether the buffer is full then, and room must be made.
  LANNER_INLINE bool keep(std::size_t query, std::uint32_t survivors, std::size_t position,
                          const float* lower, const float* upper) const {
    QueryState& state = scratch.state[query];
    const std::size_t self = state.self - position;
    if (self < panel_width && (!job.weighted || job.index.weight[state.self] == 1))
      survivors &= ~(std::uint32_t{1} << self);
    alignas(64) static constexpr std::int32_t counting[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                              8, 9, 10, 11, 12, 13, 14, 15};
    std::uint32_t count = state.count;
    for (int v = 0; v < registers; ++v, survivors >>= lanes) {
      const std::uint32_t kept = survivors & ((1u << lanes) - 1);
      const auto at = static_cast<std::int32_t>(position) + v * lanes;
      const Float least = state.bounded ? Float::load(lower + v * lanes) : Float(0.0f);
      const Float most = state.bounded ? Float::load(upper + v * lanes) : Float(infinite);
      store_chosen<Tier>(to_bits(least), kept, state.lower + count);
      store_chosen<Tier>(to_bits(most), kept, state.upper + count);
      store_chosen<Tier>(Word::load(counting) + Word(at), kept, state.position + count);
      if (job.weighted) store_chosen<Tier>(load_words(job.index.weight + at), kept, state.weight + count);
      count += static_cast<std::uint32_t>(__builtin_popcount(kept));
    }
    if (job.weighted && self < panel_width)
      for (std::uint32_t i = state.count; i < count; ++i) state.weight[i] -= state.position[i] == state.self;
    state.count = count;
    return count >= job.plan.capacity;
  }

  /// Drops the survivors that the limit excludes.
  void drop_beyond_limit(QueryState& state) const {
    const Float limit(state.limit);
    for (; state.count % lanes != 0; ++state.count) state.lower[state.count] = __builtin_nanf("");
    std::uint32_t left = 0;
    // In place: what is written never overtakes what is read.
    for (std::uint32_t i = 0; i < state.count; i += lanes) {
      const std::uint32_t kept = bits_at_most(Float::load(state.lower + i), limit);
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

  /// Makes room in a full buffer, and lowers the limit: by the bounds, or where these are too loose, or
  /// `sure` is asked for, by settling what they leave.
  [[gnu::noinline]] void make_room(std::size_t query, QueryState& state, bool sure) const {
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
      state.settling = sure || state.count > job.plan.capacity - job.plan.capacity / 8;
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
};

}  // namespace lanner::nearest
