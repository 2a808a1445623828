// The body of histogram_avx2.cpp and histogram_avx512.cpp: lanes are rows. A block of rows is transposed, a
// few features at a time, into a buffer that stays in the first-level cache; then each feature's tables are
// loaded into registers once and serve the whole block by permutations. Larger tables are gathered from.
#pragma once

#include "kernels/density/histogram_layout.hpp"
#include "kernels/simd/lanes.hpp"

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
    LANNER_INLINE F operator[](I index) const { return gathered(from, index); }
  };

  template <class Edges>
  struct EvenBins {
    Edges edges;
    F first, per_width, last;
    LANNER_INLINE explicit EvenBins(const FeatureHistogram& feature)
        : edges(feature.edges),
          first(feature.first),
          per_width(feature.per_width),
          last(static_cast<float>(feature.last)) {}
    LANNER_INLINE I operator()(F x) const {
      const F position = maximum(minimum((x - first) * per_width, last), F(0.0f));
      const I near = to_bits(position + F(0x1.8p23f)) & I(0x3FFFFF);
      return near - (x >= edges[near]);
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

  /// Eight rows' values of `count` <= 8 features, from feature `first` on, into columns `block` floats apart.
  LANNER_INLINE static void transpose(const float* const* rows, std::size_t first, int count, float* to) {
    __m256 r[8], t[8];
    if (count == group) {
      for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(rows[i] + first);
    } else {
      // Nothing beyond a row's width may be read.
      const __m256i wanted =
          _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
      for (int i = 0; i < 8; ++i) r[i] = _mm256_maskload_ps(rows[i] + first, wanted);
    }
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
      t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
      r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
      r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
      r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
      r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
    for (int i = 0; i < 4; ++i) {
      _mm256_storeu_ps(to + i * block, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
      _mm256_storeu_ps(to + (i + 4) * block, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
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
        for (std::size_t r = 0; r < lanes; r += 8) {
          const float* source[8];
          for (std::size_t i = 0; i < 8; ++i) {
            const std::size_t row =
                r + i < count ? r + i : count - 1;  // lanes without a row repeat the last one
            source[i] = rows.data + (begin + row) * rows.stride;
          }
          transpose(source, first, static_cast<int>(features), columns + r);
        }
        for (std::size_t f = 0; f < features; ++f) {
          add(tables.features[first + f], columns + f * block, static_cast<int>(lanes), sums,
              parts.data ? penalties : nullptr);
          if (!parts.data) continue;
          for (std::size_t r = 0; r < count; ++r)
            parts.data[(begin + r) * parts.stride + first + f] = penalties[r];
        }
      }
      constexpr float largest = 0x1.fffffep127f;
      for (std::size_t r = 0; r < lanes; r += F::width)
        minimum(maximum(F::load(sums + r), F(-largest)), F(largest)).store(sums + r);
      for (std::size_t r = 0; r < count; ++r) scores[begin + r] = sums[r];
    }
  }
};

}  // namespace lanner::density
