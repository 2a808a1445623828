// The body of histogram_avx2.cpp and histogram_avx512.cpp: lanes are rows. A block of rows is transposed, a
// few features at a time, into a buffer that stays in the first-level cache; then each feature's tables are
// loaded into registers once and serve the whole block by permutations. Larger tables are gathered from.
#pragma once

#include "kernels/density/histogram_layout.hpp"
#include "kernels/simd/lanes.hpp"
#include "kernels/simd/transpose.hpp"

namespace lanner::density {

template <class Tier>
struct HistogramKernel {
  using F = simd::Floats<Tier>;
  using I = simd::Lanes<Tier, std::int32_t>;
  static constexpr int block = 64;  ///< rows
  static constexpr int group = 8;   ///< features transposed together

  /// Eight lanes looked up in 8 * registers values.
  template <int registers>
  LANNER_INLINE static __m256 permuted(const __m256* table, __m256i index) {
    if constexpr (registers == 1) {
      return _mm256_permutevar8x32_ps(table[0], index);
    } else {
      constexpr int low = registers > 4 ? 4 : registers > 2 ? 2 : 1;
      constexpr int bit = low == 4 ? 5 : low == 2 ? 4 : 3;
      const __m256 below = permuted<low>(table, index);
      const __m256 above = permuted<registers - low>(table + low, index);
      return _mm256_blendv_ps(below, above, _mm256_castsi256_ps(_mm256_slli_epi32(index, 31 - bit)));
    }
  }

  /// All lanes looked up in `registers` registers' worth of values; higher bits of the index don't matter.
  template <int registers>
  LANNER_INLINE static F permuted(const F* table, I index) {
    if constexpr (F::width == 8) {
      __m256 parts[registers];
      for (int r = 0; r < registers; ++r) parts[r] = table[r].v;
      return permuted<registers>(parts, reinterpret_cast<__m256i>(index.v));
    } else {
#if defined(__AVX512F__)
      const __m512i at = reinterpret_cast<__m512i>(index.v);
      if constexpr (registers == 1) {
        return _mm512_permutexvar_ps(at, table[0].v);
      } else if constexpr (registers == 2) {
        return _mm512_permutex2var_ps(table[0].v, at, table[1].v);
      } else {
        const __m512 below = _mm512_permutex2var_ps(table[0].v, at, table[1].v);
        const __m512 above = permuted<registers - 2>(table + 2, index).v;
        return _mm512_mask_blend_ps(_mm512_test_epi32_mask(at, _mm512_set1_epi32(32)), below, above);
      }
#else
      __m256 parts[2 * registers];
      for (int r = 0; r < registers; ++r) {
        const simd::Halves<F> halves(table[r]);
        parts[2 * r] = halves.low;
        parts[2 * r + 1] = halves.high;
      }
      const simd::Halves<I> at(index);
      return simd::Halves<F>(permuted<2 * registers>(parts, reinterpret_cast<__m256i>(at.low)),
                             permuted<2 * registers>(parts, reinterpret_cast<__m256i>(at.high)))
          .whole();
#endif
    }
  }

  LANNER_INLINE static F gathered(const float* from, I index) {
    if constexpr (F::width == 8) {
      return _mm256_i32gather_ps(from, reinterpret_cast<__m256i>(index.v), 4);
    } else {
#if defined(__AVX512F__)
      return _mm512_i32gather_ps(reinterpret_cast<__m512i>(index.v), from, 4);
#else
      const simd::Halves<I> at(index);
      return simd::Halves<F>(_mm256_i32gather_ps(from, reinterpret_cast<__m256i>(at.low), 4),
                             _mm256_i32gather_ps(from, reinterpret_cast<__m256i>(at.high), 4))
          .whole();
#endif
    }
  }

  /// near, or the next one where the edge is not above x.
  LANNER_INLINE static I after(I near, F x, F edge) {
#if defined(__AVX512F__)
    if constexpr (F::width == 16) {
      const auto at = reinterpret_cast<__m512i>(near.v);
      return reinterpret_cast<typename I::Vector>(
          _mm512_mask_add_epi32(at, _mm512_cmp_ps_mask(x.v, edge.v, _CMP_GE_OQ), at, _mm512_set1_epi32(1)));
    }
#endif
    return near - (x >= edge);
  }

  /// A table kept in registers, or (registers == 0) left in memory.
  template <int registers>
  struct Table {
    F part[registers];
    LANNER_INLINE explicit Table(const float* from) {
      for (int r = 0; r < registers; ++r) part[r] = F::load(from + r * F::width);
    }
    LANNER_INLINE F operator[](I index) const { return permuted<registers>(part, index); }
  };
  struct FarTable {
    const float* from;
    LANNER_INLINE explicit FarTable(const float* table) : from(table) {}
    /// Without the bits of counted_from.
    LANNER_INLINE F operator[](I index) const { return gathered(from, index & I(0x3FFFFF)); }
  };

  template <class Edges>
  struct EvenBins {
    Edges edges;
    F first, per_width, highest;
    LANNER_INLINE explicit EvenBins(const FeatureHistogram& feature)
        : edges(feature.edges),
          first(feature.first),
          per_width(feature.per_width),
          highest(feature.highest) {}
    /// The bits of counted_from and the bin.
    LANNER_INLINE I operator()(F x) const {
      const I near = to_bits(nearest_edge(x, first, per_width, highest));
      return after(near, x, edges[near]);
    }
  };

  /// Unequal bins, the tree in registers.
  template <int levels>
  struct NearTree {
    static constexpr int first_levels = F::width == 8 ? 3 : 4;  // as many as the first register holds
    static_assert(levels >= first_levels);
    F tree[1 << (levels - first_levels)];
    LANNER_INLINE explicit NearTree(const FeatureHistogram& feature) {
      for (int r = 0; r < 1 << (levels - first_levels); ++r) tree[r] = F::load(feature.tree + r * F::width);
    }
    /// The nodes of a level beyond the first register fill whole registers, so the low bits of a node say
    /// where it is.
    template <int level>
    LANNER_INLINE I descend(I node, F x) const {
      if constexpr (level == levels) {
        return node;
      } else {
        constexpr int registers = level < first_levels ? 1 : 1 << (level - first_levels);
        const F edge = permuted<registers>(tree + (level < first_levels ? 0 : registers), node);
        return descend<level + 1>(node + node - (x >= edge), x);
      }
    }
    LANNER_INLINE I operator()(F x) const { return descend<0>(I(1), x) - I(1 << levels); }
  };
  /// The upper levels in registers, the others gathered from memory.
  struct FarTree {
    static constexpr int near_levels = NearTree<4>::first_levels + 2;
    NearTree<near_levels> near;
    const float* tree;
    int levels;
    LANNER_INLINE explicit FarTree(const FeatureHistogram& feature)
        : near(feature), tree(feature.tree), levels(feature.levels) {}
    LANNER_INLINE I operator()(F x) const {
      I node = near.template descend<0>(I(1), x);
      for (int level = near_levels; level < levels; ++level) node = node + node - (x >= gathered(tree, node));
      return node - I(1 << levels);
    }
  };

  template <class Bins, class Penalties>
  LANNER_INLINE static void add(const FeatureHistogram& feature, const float* x, int rows, float* scores,
                                float* parts) {
    const Bins bins(feature);
    const Penalties penalties(feature.penalties);
    for (int r = 0; r < rows; r += F::width) {
      const F penalty = penalties[bins(F::load(x + r))];
      (F::load(scores + r) + penalty).store(scores + r);
      if (parts) penalty.store(parts + r);
    }
  }

  template <int registers>
  LANNER_INLINE static void add_even(const FeatureHistogram& f, const float* x, int rows, float* scores,
                                     float* parts) {
    add<EvenBins<Table<registers>>, Table<registers>>(f, x, rows, scores, parts);
  }
  template <int levels>
  LANNER_INLINE static void add_tree(const FeatureHistogram& f, const float* x, int rows, float* scores,
                                     float* parts) {
    add<NearTree<levels>, Table<(1 << levels) / F::width>>(f, x, rows, scores, parts);
  }

  LANNER_INLINE static void add(const FeatureHistogram& f, const float* x, int rows, float* scores,
                                float* parts) {
    const int registers = (f.last + 2 + F::width - 1) / F::width;
    if (f.even) {
      if (registers == 1) return add_even<1>(f, x, rows, scores, parts);
      if (registers == 2) return add_even<2>(f, x, rows, scores, parts);
      if (registers == 3) return add_even<3>(f, x, rows, scores, parts);
      if (registers == 4) return add_even<4>(f, x, rows, scores, parts);
      if constexpr (F::width == 8) {
        if (registers == 5) return add_even<5>(f, x, rows, scores, parts);
        if (registers == 6) return add_even<6>(f, x, rows, scores, parts);
        if (registers <= 8) return add_even<8>(f, x, rows, scores, parts);
      }
      return add<EvenBins<FarTable>, FarTable>(f, x, rows, scores, parts);
    }
    constexpr int least = NearTree<4>::first_levels;
    if (f.levels <= least) return add_tree<least>(f, x, rows, scores, parts);
    if (f.levels == least + 1) return add_tree<least + 1>(f, x, rows, scores, parts);
    if (f.levels == least + 2) return add_tree<least + 2>(f, x, rows, scores, parts);
    if (f.levels == 6) return add_tree<6>(f, x, rows, scores, parts);
    add<FarTree, FarTable>(f, x, rows, scores, parts);
  }

  /// A row for every lane.
  struct FullLanes {
    static constexpr std::size_t rows_ahead = 64;
    const Rows& rows;
    LANNER_INLINE explicit FullLanes(const Rows& given) : rows(given) {}
    LANNER_INLINE void load(int set, std::size_t j, std::size_t count, F (&columns)[group]) const {
      const std::size_t row = static_cast<std::size_t>(set) * F::width;
      // Many rows at a time are no stream that the hardware would follow.
      if (j % 16 == 0)
        for (std::size_t r = 0; r < F::width; ++r)
          __builtin_prefetch(rows.data + (rows_ahead + row + r) * rows.stride + j);
      simd::load_columns<Tier>(rows.data + row * rows.stride + j, rows.stride, count, columns);
    }
  };
  /// Lanes without a row repeat the last one.
  template <int sets>
  struct SomeLanes {
    const float* row[sets * F::width];
    LANNER_INLINE explicit SomeLanes(const Rows& rows) {
      for (std::size_t r = 0; r < sets * F::width; ++r)
        row[r] = rows.data + (r < rows.count ? r : rows.count - 1) * rows.stride;
    }
    LANNER_INLINE void load(int set, std::size_t j, std::size_t count, F (&columns)[group]) const {
      simd::load_columns<Tier>(row + set * F::width, j, count, columns);
    }
  };

  /// Up to sets * F::width rows, where all features have Bins and Penalties: values stay in registers from
  /// the transposition to the sum. `zero` becomes NaN in lanes where a value is not finite.
  template <class Bins, class Penalties, int sets, class Source>
  LANNER_INLINE static void look_up_alike(const HistogramTables& tables, Rows rows, float* scores, F& zero) {
    constexpr std::size_t lanes = static_cast<std::size_t>(sets * F::width);
    const Source source(rows);
    F sums[sets], zeros[sets];
    for (int s = 0; s < sets; ++s) sums[s] = zeros[s] = F(0.0f);
    const auto add = [&](const FeatureHistogram& feature, const F(&columns)[sets][group], int f) {
      const Bins bins(feature);
      const Penalties penalties(feature.penalties);
#pragma GCC unroll 2
      for (int s = 0; s < sets; ++s) {
        sums[s] = sums[s] + penalties[bins(columns[s][f])];
        zeros[s] = fma(columns[s][f], F(0.0f), zeros[s]);
      }
    };
    for (std::size_t first = 0; first < tables.width; first += group) {
      const std::size_t features = tables.width - first;
      F columns[sets][group];
#pragma GCC unroll 2
      for (int s = 0; s < sets; ++s) source.load(s, first, features, columns[s]);
      const FeatureHistogram* const feature = tables.features + first;
      if (features >= group) {
#pragma GCC unroll 8
        for (int f = 0; f < group; ++f) add(feature[f], columns, f);
      } else {
#pragma GCC unroll 8
        for (int f = 0; f < group - 1; ++f)
          if (static_cast<std::size_t>(f) < features) add(feature[f], columns, f);
      }
    }
    alignas(64) float out[lanes];
    for (int s = 0; s < sets; ++s) held(sums[s]).store(out + s * F::width);
    for (int s = 0; s < sets; ++s) zero = zero + zeros[s];
    for (std::size_t r = 0; r < (rows.count < lanes ? rows.count : lanes); ++r) scores[r] = out[r];
  }

  /// Not inlined: each on its own keeps what it works on in registers.
  template <class Bins, class Penalties>
  [[gnu::noinline]] static bool look_up_alike(const HistogramTables& tables, Rows rows, float* scores) {
    constexpr std::size_t together = 2 * F::width;
    F zero(0.0f);
    std::size_t begin = 0;
    for (; rows.count - begin >= together; begin += together)
      look_up_alike<Bins, Penalties, 2, FullLanes>(tables, rows.slice(begin, rows.count), scores + begin,
                                                   zero);
    if (begin < rows.count) {
      rows = rows.slice(begin, rows.count);
      if (rows.count > F::width)
        look_up_alike<Bins, Penalties, 2, SomeLanes<2>>(tables, rows, scores + begin, zero);
      else
        look_up_alike<Bins, Penalties, 1, SomeLanes<1>>(tables, rows, scores + begin, zero);
    }
    return lane_bits(zero == F(0.0f)) == (1u << F::width) - 1;
  }
  template <int registers>
  static constexpr auto alike_even = look_up_alike<EvenBins<Table<registers>>, Table<registers>>;
  template <int levels>
  static constexpr auto alike_trees = look_up_alike<NearTree<levels>, Table<(1 << levels) / F::width>>;

  LANNER_INLINE static F held(F sum) {
    constexpr float largest = 0x1.fffffep127f;
    return minimum(maximum(sum, F(-largest)), F(largest));
  }

  /// Where tables.alike(): whether all values are finite; where not, the scores are worth nothing.
  LANNER_INLINE static bool look_up_alike(const HistogramTables& tables, Rows rows, float* scores) {
    switch (tables.all_even_within) {
      case 16:
        return alike_even<1>(tables, rows, scores);
      case 32:
        return alike_even<2>(tables, rows, scores);
      case 48:
        return alike_even<3>(tables, rows, scores);
      case 64:
        return alike_even<4>(tables, rows, scores);
    }
    if (tables.all_levels == 4) return alike_trees<4>(tables, rows, scores);
    if (tables.all_levels == 5) return alike_trees<5>(tables, rows, scores);
    return alike_trees<6>(tables, rows, scores);
  }

  LANNER_INLINE static void look_up(const HistogramTables& tables, Rows rows, float* scores,
                                    MutableRows parts) {
    alignas(64) float columns[group * block], sums[block], penalties[block];
    for (std::size_t begin = 0; begin < rows.count; begin += block) {
      const std::size_t count = rows.count - begin < block ? rows.count - begin : block;
      const std::size_t lanes = (count + F::width - 1) / F::width * F::width;
      for (std::size_t r = 0; r < lanes; r += F::width) F(0.0f).store(sums + r);
      for (std::size_t first = 0; first < tables.width; first += group) {
        const std::size_t features = tables.width - first < group ? tables.width - first : group;
        for (std::size_t r = 0; r < lanes; r += F::width) {
          const float* source[F::width];
          for (std::size_t i = 0; i < F::width; ++i) {
            const std::size_t row =
                r + i < count ? r + i : count - 1;  // lanes without a row repeat the last one
            source[i] = rows.data + (begin + row) * rows.stride;
          }
          F turned[group];
          simd::load_columns<Tier>(source, first, features, turned);
#pragma GCC unroll 8
          for (int f = 0; f < group; ++f) turned[f].store(columns + f * block + r);
        }
        for (std::size_t f = 0; f < features; ++f) {
          add(tables.features[first + f], columns + f * block, static_cast<int>(lanes), sums,
              parts.data ? penalties : nullptr);
          if (!parts.data) continue;
          for (std::size_t r = 0; r < count; ++r)
            parts.data[(begin + r) * parts.stride + first + f] = penalties[r];
        }
      }
      for (std::size_t r = 0; r < lanes; r += F::width) held(F::load(sums + r)).store(sums + r);
      for (std::size_t r = 0; r < count; ++r) scores[begin + r] = sums[r];
    }
  }
};

}  // namespace lanner::density
