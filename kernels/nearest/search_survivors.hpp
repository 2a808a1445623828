// What a search does with the rows that its screen leaves over, for the SIMD tiers: templates over the tier,
// always instantiated in that tier's own file, and free of std:: for the reason that kernels/simd/lanes.hpp
// gives.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/nearest/search.hpp"
#include "kernels/simd/lanes.hpp"
#include "kernels/simd/sums.hpp"

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
template <class SimdTier>
struct Survivors {
  using Tier = SimdTier;
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

  /// A bound that holds rows of at least `wanted` weight, and of at most `surplus` more where one does;
  /// infinite if there are too few.
  [[gnu::noinline]] static float bound_holding(const float* values, const std::uint32_t* weight,
                                               std::size_t count, std::size_t wanted, std::size_t surplus) {
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
        if (held <= wanted + surplus) break;
      } else {
        low = middle;
      }
    }
    return __builtin_bit_cast(float, high);
  }

  /// The least of the values that holds rows of `wanted` weight.
  static float least_holding(const float* values, const std::uint32_t* weight, std::size_t count,
                             std::size_t wanted) {
    const Float bound(bound_holding(values, weight, count, wanted, 0));
    Float largest(0.0f);
    for (std::size_t i = 0; i < count; i += lanes) {
      const Float value = Float::load(values + i);
      largest = simd::maximum(select(value <= bound, value, Float(0.0f)), largest);
    }
    return -least_lane(-largest);
  }

  /// The first `lines` of a row; the hardware follows where there are more.
  LANNER_INLINE void prefetch(const float* row, std::size_t lines = 2) const {
    constexpr std::size_t line = 16;
    for (std::size_t i = 0; i < lines && i * line < job.index.row_stride; ++i)
      __builtin_prefetch(row + i * line);
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

  /// Puts a panel's rows whose bit is set into a query's buffer, with bounds of their S [panel_width], not
  /// negative, which matter only if the screen tells the query's rows apart. Whether the buffer is full then,
  /// and room must be made.
  LANNER_INLINE bool keep(std::size_t query, std::uint32_t survivors, std::size_t position,
                          const float* lower, const float* upper) const {
    QueryState& state = scratch.state[query];
    survivors = without_self(state, survivors, position);
    alignas(64) static constexpr std::int32_t counting[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                              8, 9, 10, 11, 12, 13, 14, 15};
    std::uint32_t count = state.count;
    for (int v = 0; v < registers; ++v, survivors >>= lanes) {
      const std::uint32_t kept = survivors & ((1u << lanes) - 1);
      const auto at = static_cast<std::int32_t>(position) + v * lanes;
      if (state.told_by == ToldBy::screen) {
        store_chosen<Tier>(to_bits(Float::load(lower + v * lanes)), kept, state.lower + count);
        store_chosen<Tier>(to_bits(Float::load(upper + v * lanes)), kept, state.upper + count);
      }
      store_chosen<Tier>(Word::load(counting) + Word(at), kept, state.position + count);
      if (job.weighted) store_chosen<Tier>(load_words(job.index.weight + at), kept, state.weight + count);
      count += static_cast<std::uint32_t>(__builtin_popcount(kept));
    }
    if (job.weighted && state.self - position < panel_width)
      for (std::uint32_t i = state.count; i < count; ++i) state.weight[i] -= state.position[i] == state.self;
    state.count = count;
    return count >= job.plan.capacity;
  }

  /// The same for few survivors of which nobody asks the bounds.
  LANNER_INLINE bool keep_positions(std::size_t query, std::uint32_t survivors, std::size_t position) const {
    QueryState& state = scratch.state[query];
    for (survivors = without_self(state, survivors, position); survivors != 0; survivors &= survivors - 1) {
      const auto at =
          static_cast<std::uint32_t>(position) + static_cast<std::uint32_t>(__builtin_ctz(survivors));
      state.position[state.count] = at;
      if (job.weighted) state.weight[state.count] = job.index.weight[at] - (at == state.self);
      ++state.count;
    }
    return state.count >= job.plan.capacity;
  }

  /// A panel's survivors but the query itself, unless there are others like it.
  LANNER_INLINE std::uint32_t without_self(const QueryState& state, std::uint32_t survivors,
                                           std::size_t position) const {
    const std::size_t self = state.self - position;
    const bool is_there = self < panel_width && (!job.weighted || job.index.weight[state.self] == 1);
    return is_there ? survivors & ~(std::uint32_t{1} << self) : survivors;
  }

  LANNER_INLINE static Word load_words(const std::uint32_t* from) {
    return Word::load(reinterpret_cast<const std::int32_t*>(from));
  }
  LANNER_INLINE const std::uint32_t* weights(const QueryState& state) const {
    return job.weighted ? state.weight : nullptr;
  }

  std::size_t weight_of(const QueryState& state) const {
    if (!job.weighted) return state.count;
    std::size_t sum = 0;
    for (std::uint32_t i = 0; i < state.count; ++i) sum += state.weight[i];
    return sum;
  }

  /// Makes what stands behind the survivors, up to a whole register, weigh nothing and have those bounds;
  /// returns how many there are then.
  LANNER_INLINE static std::uint32_t pad(QueryState& state, float lower, float upper) {
    std::uint32_t padded = state.count;
    for (; padded % lanes != 0; ++padded) {
      state.lower[padded] = lower;
      state.upper[padded] = upper;
      state.weight[padded] = 0;
    }
    return padded;
  }

  /// Drops the survivors but those whose bit `chosen(lower, upper)` sets; it sets none for what is not a
  /// number. Either all of them were measured, or none.
  template <class Chosen>
  LANNER_INLINE void leave(QueryState& state, const Chosen& chosen) const {
    const std::uint32_t padded = pad(state, __builtin_nanf(""), __builtin_nanf(""));
    std::uint32_t left = 0;
    // In place: what is written never overtakes what is read.
    for (std::uint32_t i = 0; i < padded; i += lanes) {
      const Float lower = Float::load(state.lower + i), upper = Float::load(state.upper + i);
      const std::uint32_t kept = chosen(lower, upper);
      store_chosen<Tier>(to_bits(lower), kept, state.lower + left);
      store_chosen<Tier>(to_bits(upper), kept, state.upper + left);
      store_chosen<Tier>(load_words(state.position + i), kept, state.position + left);
      if (job.weighted) store_chosen<Tier>(load_words(state.weight + i), kept, state.weight + left);
      left += static_cast<std::uint32_t>(__builtin_popcount(kept));
    }
    state.count = left;
    if (state.measured) state.measured = left;
  }
  [[gnu::noinline]] void drop_beyond_limit(QueryState& state) const {
    const Float limit(state.limit);
    leave(state, [&](const Float& lower, const Float&) { return bits_at_most(lower, limit); });
  }

  /// Lowers the limit as far as the survivors' bounds allow, where rows of `wanted` weight are asked for
  /// (bound_holding), and drops what is beyond it.
  void narrow(QueryState& state, std::size_t wanted, std::size_t surplus) const {
    const std::uint32_t padded = pad(state, infinite, infinite);
    const float kth = bound_holding(state.upper, weights(state), padded, wanted, surplus);
    const float limit = screen_limit(static_cast<double>(kth));
    if (limit < state.limit) state.limit = limit;
    drop_beyond_limit(state);
  }

  /// Leaves out the survivors that are surely nearer than the one at which they weigh `wanted`; returns what
  /// they weigh.
  [[gnu::noinline]] std::size_t leave_out_nearer(QueryState& state, std::size_t wanted) const {
    const std::uint32_t padded = pad(state, infinite, infinite);
    const Float kth(least_holding(state.lower, weights(state), padded, wanted));
    if (!(kth[0] < infinite)) return 0;
    const std::size_t before = weight_of(state);
    leave(state, [&](const Float&, const Float& upper) { return bits_at_most(kth, upper); });
    return before - weight_of(state);
  }

  /// Puts bounds of S by squared distances in float32 in the place of the screen's.
  [[gnu::noinline]] void measure(std::size_t query, QueryState& state) const {
    if (state.measured == state.count) return;
    const IndexView& index = job.index;
    const float* q = scratch.query + query * index.centre_stride;
    const Float scale(index.scale);
    for (std::size_t j = 0; j < index.centre_stride; j += lanes)
      (scale * Float::load(q + j)).store(scratch.measured_query + j);
    constexpr std::size_t some = 8;
    const auto row = [&](std::size_t i) {
      return index.rows + state.position[smaller(i, state.count - 1)] * index.row_stride;
    };
    constexpr std::size_t lines_ahead = 8;
    for (std::size_t c = 0; c < some; ++c) prefetch(row(state.measured + c), lines_ahead);
    for (std::size_t i = state.measured; i < state.count; i += some) {
      simd::Floats<simd::Avx2> parts[some];
      for (std::size_t c = 0; c < some; ++c) {
        prefetch(row(i + c + some), lines_ahead);
        parts[c] = squared_parts(row(i + c));
      }
      lane_sums(parts).store(state.upper + i);
    }
    const Float share(screen_measured_error(index.width));
    const Float absolute(screen_measured_absolute(index.bound));
    for (std::size_t i = state.measured; i < state.count; i += lanes) {
      const Float squared = Float::load(state.upper + i);
      simd::maximum(fma(-share, squared, squared) - absolute, Float(0.0f)).store(state.lower + i);
      (fma(share, squared, squared) + absolute).store(state.upper + i);
    }
    state.measured = state.count;
  }

  /// Parts of the squared distance of a row from scratch.measured_query.
  LANNER_INLINE simd::Floats<simd::Avx2> squared_parts(const float* row) const {
    const Float scale(job.index.scale);
    const float* q = scratch.measured_query;
    const std::size_t stride = job.index.row_stride;
    Float sum[2] = {Float(0.0f), Float(0.0f)};
    const auto add = [&](std::size_t at, Float& part) {
      const Float difference = fma(scale, Float::load(row + at), -Float::load(q + at));
      part = fma(difference, difference, part);
    };
    std::size_t j = 0;
    for (; j + 2 * lanes <= stride; j += 2 * lanes) {
      add(j, sum[0]);
      add(j + lanes, sum[1]);
    }
    if (j + lanes <= stride) {
      add(j, sum[0]);
      j += lanes;
    }
    const Float both = sum[0] + sum[1];
    __m256 eight;
    if constexpr (simd::Wide<Float>) {
      const simd::Halves<Float> half(both);
      eight = _mm256_add_ps(half.low, half.high);
    } else {
      eight = both.v;
    }
    // A register would reach into the next row.
    __m128 four = _mm_setzero_ps();
    for (; j < stride; j += 4) {
      const __m128 difference =
          _mm_fmsub_ps(_mm_set1_ps(job.index.scale), _mm_loadu_ps(row + j), _mm_loadu_ps(q + j));
      four = _mm_fmadd_ps(difference, difference, four);
    }
    return simd::Floats<simd::Avx2>(_mm256_add_ps(eight, _mm256_zextps128_ps256(four)));
  }

  /// Puts the settled rows of a query and those of its buffer into scratch.merged.
  std::size_t settle(std::size_t query, QueryState& state) const {
    const IndexView& index = job.index;
    if (state.told_by == ToldBy::chains && state.bounded) {
      measure(query, state);
      drop_beyond_limit(state);
    }
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
    state.count = state.measured = 0;
    return count;
  }

  /// Makes room in a full buffer, and lowers the limit: by the screen's bounds; where these tell too few rows
  /// apart, by measuring them from then on; and where even that does, by settling.
  [[gnu::noinline]] void make_room(std::size_t query, QueryState& state) const {
    const std::size_t loose = job.plan.capacity - job.plan.capacity / 8;
    if (state.told_by != ToldBy::chains) {
      if (state.told_by == ToldBy::measure) measure(query, state);
      narrow(state, job.k, job.k / 16);
      if (state.told_by == ToldBy::screen && state.count > loose) {
        state.told_by = ToldBy::measure;
        measure(query, state);
        narrow(state, job.k, job.k / 16);
      }
      if (state.count > loose) state.told_by = ToldBy::chains;
    }
    if (state.told_by == ToldBy::chains) {
      double kth;
      state.settled_count = keep_nearest(job, scratch.merged, settle(query, state), &kth);
      for (std::size_t i = 0; i < state.settled_count; ++i) state.settled[i] = scratch.merged[i];
      const float limit = screen_limit(kth * job.index.scale_squared);
      if (limit < state.limit) state.limit = limit;
    }
    scratch.reach[query] = screen_reach(job.index.bound, state.limit);
  }

  /// Settles what is left of a query's survivors, as few of them as its answer needs, and writes that.
  void conclude(std::size_t query, QueryState& state) const {
    // Of fewer values, telling rows apart costs as much as settling them.
    constexpr std::size_t many_values = 2048;
    std::size_t nearer = 0;
    if (state.told_by != ToldBy::chains) {
      const bool many = state.count * job.index.row_stride > many_values;
      if (state.told_by == ToldBy::measure) measure(query, state);
      if (many || state.count > job.k + job.k / 4)
        narrow(state, job.k, 0);
      else
        drop_beyond_limit(state);
      const bool one = many && job.summary && job.summarise == Summary::kth;
      if (one) nearer = leave_out_nearer(state, job.k);
      const std::size_t needed = one ? 1 : smaller(job.k, state.count);
      if (many && state.told_by == ToldBy::screen && state.count > needed + 2 + state.count / 8) {
        measure(query, state);
        narrow(state, job.k - nearer, 0);
        if (one) nearer += leave_out_nearer(state, job.k - nearer);
      }
    }
    finish(job, scratch, first + query, settle(query, state), nearer);
  }
};

}  // namespace lanner::nearest
