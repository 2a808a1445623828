// The screen of a cell's rows in bytes: tiles of queries against panels of references. codes.hpp has its
// bound. Rules as in search_survivors.hpp.
#pragma once

#include <type_traits>

#include "kernels/nearest/search_survivors.hpp"

namespace lanner::nearest {

template <class Tier>
struct CodeShape;
template <>
struct CodeShape<simd::Avx2> {
  static constexpr CodeRange range = code_range_avx2;
};
template <>
struct CodeShape<simd::Avx512> {
  static constexpr CodeRange range = code_range_avx512;
};

/// sum + the four products of unsigned and signed bytes, in each lane. Exact within the tier's code range.
LANNER_INLINE void add_products(__m256i& sum, __m256i codes, __m256i reference) {
  const __m256i pairs = _mm256_maddubs_epi16(codes, reference);
  sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
template <class Tier>
LANNER_INLINE void add_products(simd::Lanes<Tier, std::int32_t>& sum, simd::Lanes<Tier, std::int32_t> codes,
                                simd::Lanes<Tier, std::int32_t> reference) {
  if constexpr (simd::Wide<simd::Lanes<Tier, std::int32_t>>) {
#if defined(__AVX512F__)
    // By name: the intrinsic makes GCC 12 move accumulators to memory and back.
    asm("vpdpbusd %2, %1, %0" : "+v"(sum.v) : "v"(codes.v), "v"(reference.v));
#else
    // Eight bits by eight, twice, don't fit 16: even and odd bytes on their own.
    const simd::Halves<simd::Lanes<Tier, std::int32_t>> u(codes), s(reference);
    const auto products = [](__m256i a, __m256i b) {
      const __m256i even = _mm256_madd_epi16(_mm256_and_si256(a, _mm256_set1_epi16(0xFF)),
                                             _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8));
      const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(a, 8), _mm256_srai_epi16(b, 8));
      return _mm256_add_epi32(even, odd);
    };
    using Half = typename simd::Halves<simd::Lanes<Tier, std::int32_t>>::Half::Vector;
    const __m256i low = products(reinterpret_cast<__m256i>(u.low), reinterpret_cast<__m256i>(s.low));
    const __m256i high = products(reinterpret_cast<__m256i>(u.high), reinterpret_cast<__m256i>(s.high));
    sum = sum + simd::Halves<simd::Lanes<Tier, std::int32_t>>(reinterpret_cast<Half>(low),
                                                              reinterpret_cast<Half>(high))
                    .whole();
#endif
  } else {
    __m256i total = reinterpret_cast<__m256i>(sum.v);
    add_products(total, reinterpret_cast<__m256i>(codes.v), reinterpret_cast<__m256i>(reference.v));
    sum.v = reinterpret_cast<decltype(sum.v)>(total);
  }
}

/// Signs of two panels' sums, two registers each: 128 bits by 128 bits, of the first panel's registers, then
/// of the second's.
template <class Tier>
using PairSigns =
    std::conditional_t<simd::Lanes<Tier, std::int32_t>::width == 16, std::uint64_t, std::uint32_t>;
LANNER_INLINE std::uint32_t signs(__m256i a0, __m256i a1, __m256i b0, __m256i b1) {
  return static_cast<std::uint32_t>(
      _mm256_movemask_epi8(_mm256_packs_epi16(_mm256_packs_epi32(a0, a1), _mm256_packs_epi32(b0, b1))));
}
template <class Tier>
LANNER_INLINE PairSigns<Tier> signs(const simd::Lanes<Tier, std::int32_t>* a,
                                    const simd::Lanes<Tier, std::int32_t>* b) {
  if constexpr (simd::Wide<simd::Lanes<Tier, std::int32_t>>) {
#if defined(__AVX512F__)
    const auto of = [](const auto& x) { return reinterpret_cast<__m512i>(x.v); };
    return _mm512_movepi8_mask(
        _mm512_packs_epi16(_mm512_packs_epi32(of(a[0]), of(a[1])), _mm512_packs_epi32(of(b[0]), of(b[1]))));
#else
    using Halves = simd::Halves<simd::Lanes<Tier, std::int32_t>>;
    const Halves a0(a[0]), a1(a[1]), b0(b[0]), b1(b[1]);
    const auto of = [](const auto& x) { return reinterpret_cast<__m256i>(x); };
    return signs(of(a0.low), of(a1.low), of(b0.low), of(b1.low)) |
           std::uint64_t{signs(of(a0.high), of(a1.high), of(b0.high), of(b1.high))} << 32;
#endif
  } else {
    const auto of = [](const auto& x) { return reinterpret_cast<__m256i>(x.v); };
    return signs(of(a[0]), of(a[1]), of(b[0]), of(b[1]));
  }
}
/// Bits of a panel's rows whose sums are not negative.
template <class Tier>
LANNER_INLINE std::uint32_t not_negative(PairSigns<Tier> signs, std::uint32_t second) {
  constexpr int lanes = simd::Lanes<Tier, std::int32_t>::width;
  const std::uint64_t bits = ~std::uint64_t{signs} >> (8 * second);
  constexpr std::uint64_t every = lanes == 16 ? 0x000F000F000F000F : 0x000F000F;
  return static_cast<std::uint32_t>(_pext_u64(bits, every) | _pext_u64(bits, every << 4) << lanes);
}

template <class Tier>
struct CodeTiles : Survivors<Tier> {
  static constexpr bool has_codes = true;
  using Base = Survivors<Tier>;
  using Base::infinite;
  using Base::job;
  using Base::lanes;
  using Base::panel_width;
  using Base::registers;
  using Base::scratch;
  using Base::smaller;
  using Base::tile_rows;
  using typename Base::Double;
  using typename Base::Float;
  using typename Base::Word;

  static constexpr CodeRange range = CodeShape<Tier>::range;
  /// How far ahead of what they read tiles ask for more, of a cell or of the next one: in bytes.
  static constexpr std::size_t codes_ahead = 8192;
  static constexpr std::size_t tiles_together = 16;  ///< whose survivors are taken at once
  using Signs = PairSigns<Tier>;

  void prepare(std::size_t query) const {
    const IndexView& index = job.index;
    const float* copy = scratch.query + query * index.centre_stride;
    std::uint8_t* codes = scratch.codes + query * index.codes.stride;
    CodedQuery& coded = scratch.coded[query];
    const Double scale(static_cast<double>(index.scale));
    const auto value = [&](std::size_t j) {
      return fma(scale, simd::load_as_doubles<Tier>(copy + j),
                 -simd::load_as_doubles<Tier>(index.codes.centre + j));
    };
    Double largest(0.0);
    for (std::size_t j = 0; j < index.centre_stride; j += Double::width)
      largest = simd::maximum(absolute(value(j)), largest);
    double most = 0;
    for (int i = 0; i < Double::width; ++i) most = largest[i] > most ? largest[i] : most;

    int exponent = range.exponent_min;
    double step = static_cast<double>(index.codes.step) * (1 << range.exponent_min);
    for (; step * (range.offset - 0.5) < most && exponent < code_exponent_max; ++exponent) step *= 2;
    Double squared(0.0), square(0.0);
    const Double low(-1.0 * range.offset), high(range.offset - 1.0);
    for (std::size_t j = 0; j < index.codes.stride; j += Double::width) {
      Double code(0.0);
      if (j < index.centre_stride) {
        const Double exact = value(j);
        code = simd::minimum(simd::maximum(simd::round_even(exact / Double(step)), low), high);
        const Double missing = exact - code * Double(step);
        squared = fma(missing, missing, squared);
        square = fma(code, code, square);
      }
      using Whole = typename simd::VectorOf<std::int32_t, Double::width>::type;
      using Bytes = typename simd::VectorOf<std::uint8_t, Double::width>::type;
      const Bytes bytes = __builtin_convertvector(
          __builtin_convertvector((code + Double(1.0 * range.offset)).v, Whole), Bytes);
      __builtin_memcpy(codes + j, &bytes, sizeof bytes);
    }
    double error = 0, whole = 0;
    for (int i = 0; i < Double::width; ++i) {
      error += squared[i];
      whole += square[i];
    }
    const double factor = static_cast<double>(1u << exponent);
    coded.error = code_error(__builtin_sqrt(error), step);
    coded.square = whole * factor * factor;
    coded.exponent = exponent;
  }

  /// How many of the queries may share tiles, and are first now: those whose codes are of one step.
  std::size_t alike(std::uint32_t* active, std::size_t count) const {
    const std::int32_t exponent = scratch.coded[active[0]].exponent;
    std::size_t found = 1;
    while (found < count && scratch.coded[active[found]].exponent == exponent) ++found;
    for (std::size_t i = found + 1; i < count; ++i) {
      if (scratch.coded[active[i]].exponent != exponent) continue;
      const std::uint32_t other = active[found];
      active[found++] = active[i];
      active[i] = other;
    }
    return found;
  }

  struct Row {
    std::int32_t threshold;
    std::uint32_t query;
    double error;  ///< the query's and the largest of the cells'
  };

  LANNER_INLINE std::int32_t threshold(const Row& row) const {
    const QueryState& state = scratch.state[row.query];
    const CodedQuery& coded = scratch.coded[row.query];
    const double factor = static_cast<double>(2u << coded.exponent);
    return state.bounded
               ? code_threshold(__builtin_sqrt(static_cast<double>(state.limit)), row.error, coded.square,
                                1 / static_cast<double>(job.index.codes.step), 1 / factor)
               : padding_start + 1;
  }

  /// Takes those of a panel's rows into a query's buffer whose bit is set. sums: P less `threshold`, asked
  /// for only where the screen tells the query's rows apart.
  [[gnu::noinline]] void take(Row& row, std::uint32_t survivors, const std::int32_t* sums,
                              std::int32_t threshold, std::size_t position) const {
    QueryState& state = scratch.state[row.query];
    alignas(64) float lower[panel_width];
    alignas(64) float upper[panel_width];
    if (state.told_by == ToldBy::screen) {
      const CodedQuery& coded = scratch.coded[row.query];
      const double square = coded.square, factor = static_cast<double>(2u << coded.exponent);
      const double step = static_cast<double>(job.index.codes.step);
      for (int v = 0; v < registers; ++v) {
        Float(0.0f).store(lower + v * lanes);
        Float(infinite).store(upper + v * lanes);
      }
      for (std::uint32_t left = survivors; left; left &= left - 1) {
        const int lane = __builtin_ctz(left);
        const std::int32_t product = sums[lane] + threshold;
        const double error =
            coded.error +
            static_cast<double>(job.index.codes.error[position + static_cast<std::size_t>(lane)]);
        lower[lane] = code_lower(square, factor, product, error, step);
        upper[lane] = code_upper(square, factor, product, error, step);
      }
    }
    if (this->keep(row.query, survivors, position, lower, upper)) make_room_for(row);
  }

  /// P less the threshold of `height` queries and the rows of the panels [panel, panel + abreast).
  template <int height, int abreast>
  LANNER_INLINE void sum_products(const Row* rows, std::int32_t exponent, std::size_t panel,
                                  Word (&sum)[height][abreast * registers]) const {
    const CodeView& view = job.index.codes;
    constexpr int columns = abreast * registers;
    const std::size_t panel_bytes = view.groups * panel_width * code_features;
    const std::int8_t* r = view.codes + panel * panel_bytes;
    const std::uint8_t* q = scratch.code_tile;
#pragma GCC unroll 16
    for (int c = 0; c < columns; ++c) {
      const std::size_t at = panel * panel_width + c * lanes;
      const Word start = Word::load(view.start + at) - (Word::load(view.square + at) >> (exponent + 1));
#pragma GCC unroll 16
      for (int h = 0; h < height; ++h) sum[h][c] = start - Word(rows[h].threshold);
    }
    for (std::size_t left = view.groups;;) {
      constexpr std::size_t most = code_tile_features / code_features;
      const std::size_t some = left < most ? left : most;
#pragma GCC unroll 1
      for (std::size_t g = 0; g < some; ++g) {
        Word reference[columns];
#pragma GCC unroll 16
        for (int c = 0; c < columns; ++c) {
          const std::int8_t* const at =
              r + (c / registers) * panel_bytes + (c % registers) * lanes * code_features;
          __builtin_memcpy(&reference[c].v, at, sizeof reference[c].v);
          __builtin_prefetch(at + codes_ahead, 0, 2);
        }
#pragma GCC unroll 16
        for (int h = 0; h < height; ++h) {
          std::int32_t four;
          __builtin_memcpy(&four, q + h * code_tile_features, sizeof four);
          const Word codes(four);
#pragma GCC unroll 16
          for (int c = 0; c < columns; ++c) add_products<Tier>(sum[h][c], codes, reference[c]);
        }
        r += panel_width * code_features;
        q += code_features;
      }
      left -= some;
      if (left == 0) break;
      q += (height - 1) * code_tile_features;
    }
  }

  /// `height` queries against the panels [panel, end), `abreast` panels at a time.
  template <int height, int abreast>
  [[gnu::noinline]] void run_tile(Row* rows, std::int32_t exponent, std::size_t panel,
                                  std::size_t end) const {
    constexpr int columns = abreast * registers;
    constexpr std::uint32_t every = panel_width == 32 ? ~0u : (std::uint32_t{1} << (panel_width % 32)) - 1;
    alignas(64) Signs dropped[tiles_together * height * abreast / 2];
    std::size_t tiles = 0;
    bool asks_sums = any_asks_sums<height>(rows);
    for (; panel < end; panel += abreast) {
      Word sum[height][columns];
      sum_products<height, abreast>(rows, exponent, panel, sum);
      if (!asks_sums) {
        constexpr int units = height * abreast;
        Signs* const at = dropped + tiles * (units / 2);
#pragma GCC unroll 16
        for (int u = 0; u < units; u += 2)
          at[u / 2] = signs<Tier>(&sum[u / abreast][u % abreast * registers],
                                  &sum[(u + 1) / abreast][(u + 1) % abreast * registers]);
        if (++tiles == tiles_together) {
          take_found<height, abreast>(rows, dropped, tiles, panel + abreast - tiles * abreast);
          tiles = 0;
        }
        continue;
      }
      Word all = sum[0][0];  // negative where all are
#pragma GCC unroll 16
      for (int h = 0; h < height; ++h) {
#pragma GCC unroll 16
        for (int c = 0; c < columns; ++c) all = all & sum[h][c];
      }
      if (__builtin_expect(lane_bits(all) != (1u << lanes) - 1, 0)) {
        alignas(64) std::int32_t sums[height][columns * lanes];
#pragma GCC unroll 16
        for (int h = 0; h < height; ++h) {
#pragma GCC unroll 16
          for (int c = 0; c < columns; ++c) sum[h][c].store(sums[h] + c * lanes);
        }
        for (int h = 0; h < height; ++h) {
          const std::int32_t threshold = rows[h].threshold;  // those sums', since taking raises it
          for (int p = 0; p < abreast; ++p) {
            const std::int32_t* const at = sums[h] + p * panel_width;
            std::uint32_t kept = 0;
            for (int c = 0; c < registers; ++c) kept |= lane_bits(Word::load(at + c * lanes)) << (c * lanes);
            kept ^= every;
            if (kept) take(rows[h], kept, at, threshold, (panel + p) * panel_width);
          }
        }
        asks_sums = any_asks_sums<height>(rows);
      }
    }
    if (tiles) take_found<height, abreast>(rows, dropped, tiles, panel - tiles * abreast);
  }

  template <int height>
  LANNER_INLINE bool any_asks_sums(const Row* rows) const {
    for (int h = 0; h < height; ++h)
      if (scratch.state[rows[h].query].told_by == ToldBy::screen) return true;
    return false;
  }

  /// Takes the rows that `tiles` tiles leave over, from the panel on, of queries that ask for no sums. They
  /// are few: less is lost by limits that rise a little later than by a branch for each.
  template <int height, int abreast>
  LANNER_INLINE void take_found(Row* rows, const Signs* signs, std::size_t tiles, std::size_t panel) const {
    constexpr std::uint32_t pairs = height * abreast / 2;
    // Without branches, which nobody could predict.
    std::uint32_t pair[tiles_together * pairs + 1], some = 0;
    for (std::uint32_t i = 0; i < tiles * pairs; ++i) {
      pair[some] = i;
      some += signs[i] != static_cast<Signs>(-1);
    }
    std::uint32_t unit[tiles_together * pairs * 2 + 1], kept[tiles_together * pairs * 2 + 1], count = 0;
    for (std::uint32_t i = 0; i < some; ++i)
      for (std::uint32_t second = 0; second < 2; ++second) {
        unit[count] = 2 * pair[i] + second;
        kept[count] = not_negative<Tier>(signs[pair[i]], second);
        count += kept[count] != 0;
      }
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t tile = unit[i] / (2 * pairs), of_tile = unit[i] % (2 * pairs);
      Row& row = rows[of_tile / abreast];
      if (this->keep_positions(row.query, kept[i],
                               (panel + tile * abreast + of_tile % abreast) * panel_width))
        make_room_for(row);
    }
  }

  void make_room_for(Row& row) const {
    this->make_room(row.query, scratch.state[row.query]);
    row.threshold = threshold(row);
  }

  /// As many as stay in the second-level cache from one tile of queries to the next.
  LANNER_INLINE std::size_t cells_at_once() const {
    constexpr std::size_t cached = std::size_t{1} << 18;
    const std::size_t bytes = job.index.cell_end[job.index.cells - 1] * panel_width * job.index.codes.stride;
    const std::size_t some = cached * job.index.cells / (bytes + 1);
    return some > 1 ? some : 1;
  }

  /// Lays the codes of the `count` first of `active` out as a tile, the first's again where they are fewer.
  template <int height>
  void lay_out(const std::uint32_t* active, std::size_t count, float error, Row* rows) const {
    const std::size_t stride = job.index.codes.stride;
    for (int h = 0; h < height; ++h) {
      const std::uint32_t query = active[static_cast<std::size_t>(h) < count ? h : 0];
      for (std::size_t j = 0; j < stride; j += code_padding)
        __builtin_memcpy(scratch.code_tile + (j / code_tile_features * height + h) * code_tile_features +
                             j % code_tile_features,
                         scratch.codes + query * stride + j, code_padding);
      rows[h] = {0, query, scratch.coded[query].error + static_cast<double>(error)};
    }
  }

  /// The `count` first of `active`, at most `height`, against the cells [begin, end).
  template <int height, int abreast>
  void take_tile(std::size_t begin, std::size_t end, const std::uint32_t* active, std::size_t count) const {
    const CodeView& view = job.index.codes;
    float error = 0;
    for (std::size_t cell = begin; cell < end; ++cell)
      error = view.cell_error[cell] > error ? view.cell_error[cell] : error;
    Row rows[height];
    lay_out<height>(active, count, error, rows);
    for (int h = 0; h < height; ++h)
      rows[h].threshold = static_cast<std::size_t>(h) < count ? threshold(rows[h]) : -padding_start;
    run_tile<height, abreast>(rows, scratch.coded[active[0]].exponent, job.index.cell_begin[begin],
                              job.index.cell_end[end - 1]);
  }

  /// First limits, from a panel of one cell in so many: each lane's largest P is another row's, and the
  /// nearest of these rows bound the k-th neighbour's distance.
  void sample_limits(std::uint32_t* active, std::size_t count) const {
    constexpr std::size_t one_in = 16, cells_min = 8, cells_max = 64;
    const std::size_t cells = smaller(job.index.cells / one_in, cells_max);
    if (cells < cells_min || 2 * job.k > panel_width) return;
    while (count > 0) {
      std::size_t alike = this->alike(active, count);
      count -= alike;
      for (std::size_t some; alike > 0; active += some, alike -= some) {
        some = smaller(alike, tile_rows);
        sample_tile(active, some, cells);
      }
    }
  }

  /// Of each lane's rows the one of the largest P.
  struct Largest {
    Word product[registers];
    Word cell[registers];
  };
  [[gnu::noinline]] void sample_tile(const std::uint32_t* active, std::size_t count,
                                     std::size_t cells) const {
    const IndexView& index = job.index;
    Largest largest[tile_rows];
    for (Largest& of_query : largest)
      for (int c = 0; c < registers; ++c) of_query.product[c] = of_query.cell[c] = Word(padding_start + 1);
    Row rows[tile_rows];
    lay_out<tile_rows>(active, count, 0, rows);
    for (std::size_t i = 0; i < cells; ++i) {
      const std::size_t cell = i * index.cells / cells;
      if (index.cell_begin[cell] == index.cell_end[cell]) continue;
      Word sum[tile_rows][registers];
      sum_products<tile_rows, 1>(rows, scratch.coded[active[0]].exponent, index.cell_begin[cell], sum);
#pragma GCC unroll 16
      for (int h = 0; h < tile_rows; ++h) {
#pragma GCC unroll 16
        for (int c = 0; c < registers; ++c) {
          Largest& of_query = largest[h];
          of_query.cell[c] = select(sum[h][c] > of_query.product[c], Word(static_cast<std::int32_t>(cell)),
                                    of_query.cell[c]);
          of_query.product[c] = simd::maximum(sum[h][c], of_query.product[c]);
        }
      }
    }
    for (std::size_t h = 0; h < count; ++h)
      if (scratch.state[active[h]].bounded) limit_by(active[h], largest[h]);
  }
  void limit_by(std::size_t query, const Largest& largest) const {
    QueryState& state = scratch.state[query];
    alignas(64) std::int32_t product[panel_width], cell[panel_width];
    for (int c = 0; c < registers; ++c) {
      largest.product[c].store(product + c * lanes);
      largest.cell[c].store(cell + c * lanes);
    }
    const std::int32_t least = kth_largest(product, job.k + job.k / 2 + 2);
    for (int i = 0; i < panel_width; ++i) {
      if (product[i] < least || product[i] <= padding_start + 1) continue;
      const std::size_t position = job.index.cell_begin[cell[i]] * panel_width + static_cast<std::size_t>(i);
      if (position != state.self) state.position[state.count++] = static_cast<std::uint32_t>(position);
    }
    if (state.count >= job.k) {
      this->measure(query, state);
      const std::uint32_t padded = this->pad(state, infinite, infinite);
      const float kth = this->bound_holding(state.upper, nullptr, padded, job.k, 0);
      state.limit = screen_limit(static_cast<double>(kth));
      state.told_by = ToldBy::measure;
    }
    state.count = state.measured = 0;
  }

  /// Of a panel's values, which are few; the least where they are fewer than k.
  static std::int32_t kth_largest(const std::int32_t* values, std::size_t k) {
    std::int32_t found = values[0];
    for (int i = 0; i < panel_width; ++i) {
      std::size_t above = 0;
      for (int other = 0; other < panel_width; ++other) above += values[other] > values[i];
      if (above < k && values[i] < found) found = values[i];
    }
    return found;
  }
};

}  // namespace lanner::nearest
