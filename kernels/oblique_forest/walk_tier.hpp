// The body of walk_avx2.cpp and walk_avx512.cpp: lanes are the features of a cut, then rows.
//
// Sixteen rows go down a tree together, each by its own way, so that none waits for its own next node alone.
// At each level every row's chains are run over the weights of its node; of eight rows they are added up side
// by side into one register, a lane a row. A row that is in a leaf stays there and its sum is for nothing,
// which costs less than asking would: most trees end at their last level. A block of rows goes down a tree
// before the next tree's turn, so that weights come from the nearest caches.
#pragma once

#include <immintrin.h>

#include "kernels/oblique_forest/attribution.hpp"
#include "kernels/oblique_forest/oblique_forest_layout.hpp"
#include "kernels/simd/lanes.hpp"
#include "kernels/simd/sums.hpp"

namespace lanner::oblique_forest {

template <class Tier>
struct WalkKernel {
  using F = simd::Floats<Tier>;
  using Eight = simd::Floats<simd::Avx2>;
  static constexpr unsigned together = 16;

  LANNER_INLINE static Eight low_half(F v) {
    if constexpr (F::width == group) {
      return v;
    } else {
#if defined(__AVX512F__)
      return Eight(_mm512_castps512_ps256(v.v));
#else
      return Eight(simd::Halves<F>(v).low);
#endif
    }
  }
  LANNER_INLINE static Eight high_half(F v) {
#if defined(__AVX512F__)
    return Eight(_mm512_extractf32x8_ps(v.v, 1));
#else
    return Eight(simd::Halves<F>(v).high);
#endif
  }

  /// Features of a row, one after the other or by their numbers.
  template <bool all, class L>
  LANNER_INLINE static L values(const float* y, const std::uint32_t* indices) {
    if constexpr (all) {
      return L::load(y);
    } else if constexpr (L::width == group) {
      return Eight(_mm256_i32gather_ps(y, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(indices)), 4));
    } else {
#if defined(__AVX512F__)
      return L(_mm512_i32gather_ps(_mm512_loadu_si512(indices), y, 4));
#else
      return simd::Halves<L>(values<false, Eight>(y, indices).v, values<false, Eight>(y, indices + group).v)
          .whole();
#endif
    }
  }

  /// The chains of a cut, those half of `chains` apart added up.
  template <bool all>
  LANNER_INLINE static Eight chains_of(const float* y, const std::uint32_t* indices, const float* weights,
                                       unsigned pitch) {
    Eight low(0.0f), high(0.0f);
    unsigned i = 0;
    if constexpr (F::width == chains) {
      F both(0.0f);
      for (; i + chains <= pitch; i += chains)
        both = fma(F::load(weights + i), values<all, F>(y + (all ? i : 0), indices + i), both);
      low = low_half(both);
      high = high_half(both);
    } else {
      for (; i + chains <= pitch; i += chains) {
        low = fma(Eight::load(weights + i), values<all, Eight>(y + (all ? i : 0), indices + i), low);
        high = fma(Eight::load(weights + i + group),
                   values<all, Eight>(y + (all ? i + group : 0), indices + i + group), high);
      }
    }
    if (i < pitch)
      low = fma(Eight::load(weights + i), values<all, Eight>(y + (all ? i : 0), indices + i), low);
    return low + high;
  }

  /// The sum of a cut of a few features, up to half of `chains`, none of which shares a chain: lanes don't
  /// pay.
  template <unsigned mixed>
  LANNER_INLINE static float few_sum(const float* y, const std::uint32_t* indices, const float* weights) {
    float e[mixed];
    for (unsigned i = 0; i < mixed; ++i) e[i] = fma(weights[i], y[indices[i]], 0.0f);
    for (unsigned half = chains / 4; half > 0; half /= 2)
      for (unsigned c = 0; c < half; ++c)
        if (c + half < mixed) e[c] = e[c] + e[c + half];
    return e[0];
  }

  /// Moves walkers one level down. y_of(r): the row of a walker.
  template <class Cuts, class RowOf>
  LANNER_INLINE static void step(const ForestTables& forest, const Cuts& cuts, const Node* (&at)[together],
                                 const RowOf& y_of) {
    alignas(32) float sums[together];
    if constexpr (Cuts::few) {
#pragma GCC unroll 16
      for (unsigned r = 0; r < together; ++r)
        sums[r] = few_sum<Cuts::size>(y_of(r), forest.indices + at[r]->cut, forest.weights + at[r]->cut);
    } else {
      for (unsigned part = 0; part < together; part += group) {
        Eight parts[group];
#pragma GCC unroll 8
        for (unsigned r = 0; r < group; ++r) {
          const std::size_t cut = at[part + r]->cut;
          parts[r] = chains_of<Cuts::all>(y_of(part + r), Cuts::all ? nullptr : forest.indices + cut,
                                          forest.weights + cut, cuts.size);
        }
        simd::lane_sums(parts).store(sums + part);
      }
    }
#pragma GCC unroll 16
    for (unsigned r = 0; r < together; ++r)
      at[r] = forest.nodes + at[r]->left + (sums[r] > at[r]->threshold ? 1 : 0);
  }

  /// Adds to ticks [count] what the trees give the rows y [count, row_pitch]: so many rows down a tree at
  /// once, and of what is left each row down so many trees.
  template <class Cuts>
  LANNER_INLINE static void walk(const ForestTables& forest, const Cuts& cuts, const float* y,
                                 std::size_t count, std::int64_t* ticks) {
    const Node* at[together];
    const std::size_t whole = count / together * together;
    for (std::uint32_t t = 0; t < forest.tree_count; ++t) {
      const Tree tree = forest.trees[t];
      for (std::size_t first = 0; first < whole; first += together) {
        const float* const rows = y + first * forest.row_pitch;
        for (unsigned r = 0; r < together; ++r) at[r] = forest.nodes + tree.root;
        for (std::uint32_t level = 0; level < tree.depth; ++level)
          step(forest, cuts, at, [&](unsigned r) { return rows + r * forest.row_pitch; });
        for (unsigned r = 0; r < together; ++r) ticks[first + r] += at[r]->ticks;
      }
    }
    for (std::size_t i = whole; i < count; ++i) {
      const float* const row = y + i * forest.row_pitch;
      for (std::uint32_t t = 0; t < forest.tree_count; t += together) {
        const std::uint32_t trees = forest.tree_count - t < together ? forest.tree_count - t : together;
        std::uint32_t depth = 0;
        for (unsigned r = 0; r < together; ++r) {
          const Tree tree = forest.trees[r < trees ? t + r : t];
          at[r] = forest.nodes + tree.root;
          depth = tree.depth > depth ? tree.depth : depth;
        }
        for (std::uint32_t level = 0; level < depth; ++level)
          step(forest, cuts, at, [&](unsigned) { return row; });
        for (unsigned r = 0; r < trees; ++r) ticks[i] += at[r]->ticks;
      }
    }
  }

  /// Cuts that mix all features, some, or a few; size: the pitch. Common pitches stand
  /// in the code, whose loops over features are then none.
  template <unsigned pitch>
  struct AllOf {
    static constexpr bool all = true, few = false;
    static constexpr unsigned size = pitch;
  };
  struct All {
    static constexpr bool all = true, few = false;
    unsigned size;
  };
  struct Some {
    static constexpr bool all = false, few = false;
    unsigned size;
  };
  template <unsigned mixed>
  struct FewOf {
    static constexpr bool all = false, few = true;
    static constexpr unsigned size = mixed;
  };

  LANNER_INLINE static void walk_chosen(const ForestTables& forest, const float* y, std::size_t count,
                                        std::int64_t* ticks) {
    if (!forest.indices) {
      switch (forest.pitch) {
        case group:
          return walk(forest, AllOf<group>{}, y, count, ticks);
        case 4 * group:
          return walk(forest, AllOf<4 * group>{}, y, count, ticks);
        default:
          return walk(forest, All{forest.pitch}, y, count, ticks);
      }
    }
    switch (forest.pitch) {
      case 1:
        return walk(forest, FewOf<1>{}, y, count, ticks);
      case 2:
        return walk(forest, FewOf<2>{}, y, count, ticks);
      case 4:
        return walk(forest, FewOf<4>{}, y, count, ticks);
      case group:
        return walk(forest, FewOf<group>{}, y, count, ticks);
      default:
        return walk(forest, Some{forest.pitch}, y, count, ticks);
    }
  }

  LANNER_INLINE static void isolation(const ForestTables& forest, Rows rows, float* y, float* scores) {
    const std::size_t block = block_rows(forest.row_pitch);
    for (std::size_t begin = 0; begin < rows.count; begin += block) {
      const std::size_t count = rows.count - begin < block ? rows.count - begin : block;
      const Rows part{rows.data + begin * rows.stride, count, rows.width, rows.stride};
      standardise(forest, part, y);
      std::int64_t ticks[block_rows_max] = {};
      walk_chosen(forest, y, count, ticks);
      for (std::size_t r = 0; r < count; ++r)
        scores[begin + r] = score_of(forest, static_cast<double>(ticks[r]), part.data + r * rows.stride);
    }
  }

  /// Of weights that stand apart, not in groups.
  LANNER_INLINE static float projection(const float* y, const std::uint32_t* feature, const float* weight,
                                        std::size_t mixed) {
    alignas(64) float e[chains] = {};
    std::size_t i = 0;
    if (!feature) {
      Eight low(0.0f), high(0.0f);
      for (; i + chains <= mixed; i += chains) {
        low = fma(Eight::load(weight + i), Eight::load(y + i), low);
        high = fma(Eight::load(weight + i + group), Eight::load(y + i + group), high);
      }
      low.store(e);
      high.store(e + group);
    }
    for (; i < mixed; ++i) e[i % chains] = fma(weight[i], y[feature ? feature[i] : i], e[i % chains]);
    return oblique_forest::sum_of(e);
  }

  // For attribution: see PlainCuts, which serves cuts of some features.
  using Cut = PlainCuts::Cut;
  LANNER_INLINE static float sum_of_lanes(Eight sums) {
    const __m128 fours = _mm_add_ps(_mm256_castps256_ps128(sums.v), _mm256_extractf128_ps(sums.v, 1));
    const __m128 twos = _mm_add_ps(fours, _mm_movehl_ps(fours, fours));
    return _mm_cvtss_f32(_mm_add_ss(twos, _mm_shuffle_ps(twos, twos, 1)));
  }
  LANNER_INLINE static float sum(const Cut& cut, const float* y) {
    if (cut.indices) return PlainCuts::sum(cut, y);
    return sum_of_lanes(chains_of<true>(y, nullptr, cut.weights, cut.pitch));
  }
  LANNER_INLINE static Eight reach_at(const Cut& cut, const float* y, unsigned i) {
    return reach_of(Eight::load(y + i), Eight::load(cut.weights + i), Eight::load(cut.centres + i));
  }
  LANNER_INLINE static float reach(const Cut& cut, const float* y) {
    if (cut.indices) return PlainCuts::reach(cut, y);
    Eight low(0.0f), high(0.0f);
    for (unsigned i = 0; i < cut.pitch; i += chains) {
      low = low + reach_at(cut, y, i);
      if (i + group < cut.pitch) high = high + reach_at(cut, y, i + group);
    }
    return sum_of_lanes(low + high);
  }
  LANNER_INLINE static void share(const Cut& cut, const float* y, float share, float* parts) {
    if (cut.indices) return PlainCuts::share(cut, y, share, parts);
    for (unsigned i = 0; i < cut.pitch; i += group)
      fma(Eight(share), reach_at(cut, y, i), Eight::load(parts + i)).store(parts + i);
  }
};

}  // namespace lanner::oblique_forest
