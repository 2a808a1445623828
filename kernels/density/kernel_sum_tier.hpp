// The body of kernel_sum_avx2.cpp and kernel_sum_avx512.cpp. Lanes are references, so that a lane is a chain;
// a tile of queries times a panel of references is held in registers while the features stream by. Blocks
// that a query's bound shows to be dropped are not computed for it: each block gathers the queries that still
// need it into full tiles.
#pragma once

#include "kernels/density/kernel_sum_layout.hpp"
#include "kernels/simd/lanes.hpp"

namespace lanner::density::kernel_sum {

template <class Tier>
struct Kernel {
  using F = simd::Floats<Tier>;
  using D = simd::Doubles<Tier>;
  static constexpr std::size_t width = F::width;
  static constexpr std::size_t tile_max = width == 8 ? 6 : tile_queries_max;
  static constexpr std::uint32_t no_row = 0xFFFFFFFF;  // nearest::no_self

  LANNER_INLINE static float no_exponent() { return from_bits(std::int32_t{-0x800000}); }  // -infinity

  LANNER_INLINE static float largest_lane(F x) {
    __m256 half;
    if constexpr (width == 16) {
      const simd::Halves<F> halves(x);
      half = _mm256_max_ps(halves.low, halves.high);
    } else {
      half = x.v;
    }
    __m128 quarter = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    quarter = _mm_max_ps(quarter, _mm_movehl_ps(quarter, quarter));
    return _mm_cvtss_f32(_mm_max_ss(quarter, _mm_shuffle_ps(quarter, quarter, 1)));
  }

  /// The exponents of `queries` packed queries and a block's rows: [queries, block_rows]. `registers` of
  /// references at a time: enough independent chains to keep the units busy whatever the number of queries.
  template <std::size_t queries, std::size_t registers>
  LANNER_INLINE static void exponents(const float* block, std::size_t features, const float* packed,
                                      float scale, float* out) {
    constexpr std::size_t step = registers * width;
    for (std::size_t row = 0; row < block_rows; row += step) {
      F s[queries][registers];
#pragma GCC unroll 16
      for (std::size_t q = 0; q < queries; ++q)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < registers; ++v) s[q][v] = F(0.0f);
      const float* panel = block + row * features;
      const float* query = packed;
      for (std::size_t j = 0; j < features; ++j) {
        F r[registers];
#pragma GCC unroll 16
        for (std::size_t v = 0; v < registers; ++v)
          r[v] = F::load(panel + v * width / panel_rows * panel_rows * features + v * width % panel_rows);
#pragma GCC unroll 16
        for (std::size_t q = 0; q < queries; ++q) {
          const F x(query[q]);
#pragma GCC unroll 16
          for (std::size_t v = 0; v < registers; ++v) {
            const F d = x - r[v];
            s[q][v] = fma(d, d, s[q][v]);
          }
        }
        panel += panel_rows;
        query += queries;
      }
#pragma GCC unroll 16
      for (std::size_t q = 0; q < queries; ++q)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < registers; ++v)
          exponent(s[q][v], F(scale)).store(out + q * block_rows + row + v * width);
    }
  }

  LANNER_INLINE static void pack(Rows rows, const std::uint32_t* chosen, std::size_t count,
                                 std::size_t queries, float* packed) {
    for (std::size_t q = 0; q < queries; ++q) {
      const float* row =
          rows.data + chosen[q < count ? q : 0] * rows.stride;  // lanes without a query repeat the first
      for (std::size_t j = 0; j < rows.width; ++j) packed[j * queries + q] = row[j];
    }
  }

  template <std::size_t queries, std::size_t registers>
  [[gnu::noinline]] static void exponents_of(const Tables& tables, std::size_t block, const float* packed,
                                             float* out) {
    exponents<queries, registers>(tables.values + block * block_rows * tables.width, tables.width, packed,
                                  tables.scale, out);
  }
  template <std::size_t queries, std::size_t registers>
  LANNER_INLINE static void exponents_of(const Tables& tables, std::size_t block, Rows rows,
                                         const std::uint32_t* chosen, std::size_t count, float* packed,
                                         float* out) {
    pack(rows, chosen, count, queries, packed);
    exponents_of<queries, registers>(tables, block, packed, out);
  }

  /// Where the packed queries of compute_blocks begin, behind a tile for those that are packed as they come.
  LANNER_INLINE static float* whole_tiles(const Tables& tables, const Workspace& w) {
    return w.packed + tile_max * tables.width;
  }

  /// Up to tile_max queries; out [count, block_rows].
  LANNER_INLINE static void tile(const Tables& tables, std::size_t block, Rows rows,
                                 const std::uint32_t* chosen, std::size_t count, const Workspace& w,
                                 float* out) {
    if (count == 1) return exponents_of<1, 8>(tables, block, rows, chosen, count, w.packed, out);
    if (count == 2) return exponents_of<2, 4>(tables, block, rows, chosen, count, w.packed, out);
    constexpr std::size_t few = width == 8 ? 2 : 4;
    if (count <= 4) return exponents_of<4, few>(tables, block, rows, chosen, count, w.packed, out);
    if (count == tile_max && chosen[0] % tile_max == 0 && chosen[count - 1] == chosen[0] + count - 1)
      return exponents_of<tile_max, 2>(tables, block, whole_tiles(tables, w) + chosen[0] * tables.width, out);
    if constexpr (tile_max > 8)
      if (count <= 8) return exponents_of<8, 2>(tables, block, rows, chosen, count, w.packed, out);
    exponents_of<tile_max, 2>(tables, block, rows, chosen, count, w.packed, out);
  }

  struct Block {
    float largest;
    double sum;
  };

  /// tree_sum of the chains, widened.
  LANNER_INLINE static double chains_sum(const F* acc) {
    __m256 low, high;
    if constexpr (width == 16) {
      const simd::Halves<F> halves(acc[0]);
      low = halves.low;
      high = halves.high;
    } else {
      low = acc[0].v;
      high = acc[1].v;
    }
    const __m256d first = _mm256_add_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(low)),
                                        _mm256_cvtps_pd(_mm256_castps256_ps128(high)));
    const __m256d second = _mm256_add_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(low, 1)),
                                         _mm256_cvtps_pd(_mm256_extractf128_ps(high, 1)));
    const __m256d four = _mm256_add_pd(first, second);
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
  }

  LANNER_INLINE static float largest_of(const float* exponents) {
    F most[4];
    for (std::size_t k = 0; k < 4; ++k) most[k] = F::load(exponents + k * width);
    for (std::size_t i = 4 * width; i < block_rows; i += 4 * width)
      for (std::size_t k = 0; k < 4; ++k) most[k] = maximum(most[k], F::load(exponents + i + k * width));
    return largest_lane(maximum(maximum(most[0], most[1]), maximum(most[2], most[3])));
  }

  /// Rule 3.
  LANNER_INLINE static Block sum(const float* exponents, const float* weights) {
    const float most = largest_of(exponents);
    if (most == no_exponent()) return {most, 0};
    F acc[chains / width];
    for (std::size_t v = 0; v < chains / width; ++v) acc[v] = F(0.0f);
    for (std::size_t i = 0; i < block_rows; i += chains)
      for (std::size_t v = 0; v < chains / width; ++v) {
        const F t = F::load(exponents + i + v * width) - F(most);
        acc[v] = fma(F::load(weights + i + v * width), term(t), acc[v]);
      }
    return {most, chains_sum(acc)};
  }

  /// Takes out of a block what is no reference: the padding, whose weight is 0 anyway, and the query itself.
  struct Weights {
    const float* weights;
    float own[block_rows];

    LANNER_INLINE Weights(const Tables& tables, std::size_t block, std::uint32_t self, float* exponents)
        : weights(tables.weights + block * block_rows) {
      if (block + 1 == tables.blocks)
        for (std::size_t i = tables.last_block_rows; i < block_rows; ++i) exponents[i] = no_exponent();
      if (self == no_row) return;
      const std::size_t place = tables.place[self];
      if (place / block_rows != block) return;
      const std::size_t row = place % block_rows;
      if (weights[row] == 1.0f) exponents[row] = no_exponent();
      for (std::size_t i = 0; i < block_rows; i += width) F::load(weights + i).store(own + i);
      own[row] -= 1.0f;
      weights = own;
    }
  };

  /// No row of a block has a larger exponent than the bound: see kernel_sum_formula.hpp.
  LANNER_INLINE static void bounds(const Tables& tables, const float* query, float* out) {
    for (std::size_t block = 0; block < tables.block_stride; block += 2 * width) {
      F s[2] = {F(0.0f), F(0.0f)};
      const float* low = tables.low + block;
      const float* high = tables.high + block;
      for (std::size_t j = 0; j < tables.width; ++j) {
        const F x(query[j]);
        for (std::size_t v = 0; v < 2; ++v) {
          const F gap = box_gap(F::load(low + v * width), F::load(high + v * width), x);
          s[v] = fma(gap, gap, s[v]);
        }
        low += tables.block_stride;
        high += tables.block_stride;
      }
      for (std::size_t v = 0; v < 2; ++v) exponent(s[v], F(tables.scale)).store(out + block + v * width);
    }
  }

  struct Known {
    float largest[queries_max];       ///< of the blocks computed so far
    std::uint32_t home[queries_max];  ///< the block of highest bound
  };

  LANNER_INLINE static void compute(const Tables& tables, std::size_t block, Rows rows,
                                    const std::uint32_t* self, const std::uint32_t* chosen, std::size_t count,
                                    const Workspace& w, Known& known) {
    alignas(64) float exponents[tile_max * block_rows];
    for (std::size_t begin = 0; begin < count; begin += tile_max) {
      const std::size_t queries = count - begin < tile_max ? count - begin : tile_max;
      tile(tables, block, rows, chosen + begin, queries, w, exponents);
      for (std::size_t k = 0; k < queries; ++k) {
        const std::uint32_t q = chosen[begin + k];
        float* own = exponents + k * block_rows;
        const Weights weights(tables, block, self ? self[q] : no_row, own);
        const Block result = sum(own, weights.weights);
        w.largest[q * tables.block_stride + block] = result.largest;
        w.sums[q * tables.block_stride + block] = result.sum;
        known.largest[q] = maximum(known.largest[q], result.largest);
      }
    }
  }

  /// Every block that rule 4 keeps, and perhaps more, for each query.
  LANNER_INLINE static void compute_blocks(const Tables& tables, Rows rows, const std::uint32_t* self,
                                           const Workspace& w, Known& known) {
    std::uint32_t chosen[queries_max];
    for (std::size_t q = 0; q < rows.count; ++q) {
      float* bound = w.bounds + q * tables.block_stride;
      bounds(tables, rows.data + q * rows.stride, bound);
      std::uint32_t home = 0;
      for (std::size_t b = 1; b < tables.blocks; ++b)
        if (bound[b] > bound[home]) home = static_cast<std::uint32_t>(b);
      known.home[q] = home;
      known.largest[q] = no_exponent();
      for (std::size_t b = 0; b < tables.block_stride; b += width)
        F(no_exponent()).store(w.largest + q * tables.block_stride + b);
    }
    for (std::size_t q = 0; q + tile_max <= rows.count; q += tile_max) {
      for (std::size_t k = 0; k < tile_max; ++k) chosen[k] = static_cast<std::uint32_t>(q + k);
      pack(rows, chosen, tile_max, tile_max, whole_tiles(tables, w) + q * tables.width);
    }
    // Each query's most promising block first: it tells how far the others may lie.
    bool done[queries_max] = {};
    for (std::size_t q = 0; q < rows.count; ++q) {
      if (done[q]) continue;
      std::size_t count = 0;
      for (std::size_t other = q; other < rows.count; ++other)
        if (known.home[other] == known.home[q]) {
          chosen[count++] = static_cast<std::uint32_t>(other);
          done[other] = true;
        }
      compute(tables, known.home[q], rows, self, chosen, count, w, known);
    }
    for (std::size_t b = 0; b < tables.blocks; ++b) {
      std::size_t count = 0;
      for (std::size_t q = 0; q < rows.count; ++q) {
        chosen[count] = static_cast<std::uint32_t>(q);
        count += known.home[q] != b && !dropped(w.bounds[q * tables.block_stride + b], known.largest[q]);
      }
      if (count) compute(tables, b, rows, self, chosen, count, w, known);
    }
  }

  /// Rule 4.
  LANNER_INLINE static double total(const Tables& tables, std::size_t q, const Workspace& w, float most) {
    constexpr std::size_t wide = D::width;
    D acc[partial_sums / wide];
    for (std::size_t v = 0; v < partial_sums / wide; ++v) acc[v] = D(0.0);
    const float* largest = w.largest + q * tables.block_stride;
    const double* sums = w.sums + q * tables.block_stride;
    for (std::size_t b = 0; b < tables.block_stride; b += partial_sums)
      for (std::size_t v = 0; v < partial_sums / wide; ++v) {
        const std::size_t at = b + v * wide;
        const D t = simd::load_as_doubles<Tier>(largest + at) - D(static_cast<double>(most));
        const auto kept = t >= D(-static_cast<double>(cutoff));
        if (!lane_bits(kept)) continue;
        acc[v] = acc[v] + select(kept, D::load(sums + at) * block_factor(t), D(0.0));
      }
    double values[partial_sums];
    for (std::size_t v = 0; v < partial_sums / wide; ++v) acc[v].store(values + v * wide);
    return tree_sum<partial_sums>(values);
  }

  LANNER_INLINE static void log_sums(const Tables& tables, Rows rows, const std::uint32_t* self,
                                     const Workspace& w, double* out) {
    Known known;
    compute_blocks(tables, rows, self, w, known);
    for (std::size_t q = 0; q < rows.count; ++q) {
      const float most = known.largest[q];
      out[q] = most == no_exponent() ? nothing : log_sum(most, total(tables, q, w, most));
    }
  }

  LANNER_INLINE static void attraction(const Tables& tables, Rows rows, const Workspace& w, MutableRows out) {
    Known known;
    compute_blocks(tables, rows, nullptr, w, known);
    alignas(64) float exponents[block_rows], terms[block_rows];
    for (std::size_t q = 0; q < rows.count; ++q) {
      const auto chosen = static_cast<std::uint32_t>(q);
      const float* query = rows.data + q * rows.stride;
      for (std::size_t j = 0; j < tables.width; ++j) w.squares[j] = 0;
      for (std::size_t b = 0; b < tables.blocks; ++b) {
        const float most = w.largest[q * tables.block_stride + b];
        if (dropped(most, known.largest[q])) continue;
        const double factor = block_factor(static_cast<double>(most) - static_cast<double>(known.largest[q]));
        exponents_of<1, 8>(tables, b, rows, &chosen, 1, w.packed, exponents);
        const Weights weights(tables, b, no_row, exponents);
        for (std::size_t i = 0; i < block_rows; i += width)
          (F::load(weights.weights + i) * near_term(F::load(exponents + i) - F(most))).store(terms + i);
        const float* block = tables.values + b * block_rows * tables.width;
        for (std::size_t j = 0; j < tables.width; ++j) {
          F acc[chains / width];
          for (std::size_t v = 0; v < chains / width; ++v) acc[v] = F(0.0f);
          for (std::size_t i = 0; i < block_rows; i += chains)
            for (std::size_t v = 0; v < chains / width; ++v) {
              const F d = F(query[j]) - F::load(block + i * tables.width + j * panel_rows + v * width);
              acc[v] = fma(F::load(terms + i + v * width), minimum(d * d, F(largest)), acc[v]);
            }
          w.squares[j] = w.squares[j] + chains_sum(acc) * factor;
        }
      }
      const double sum = total(tables, q, w, known.largest[q]);
      for (std::size_t j = 0; j < tables.width; ++j)
        out.data[q * out.stride + j] = attraction_value(w.squares[j], sum, tables.attraction_scale);
    }
  }
};

}  // namespace lanner::density::kernel_sum
