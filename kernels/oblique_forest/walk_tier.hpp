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

  /// Adds to ticks what a tree gives `together` rows.
  template <bool all>
  LANNER_INLINE static void walk_tree(const ForestTables& forest, const Tree& tree, unsigned pitch,
                                      const float* y, std::int64_t* ticks) {
    const Node* const nodes = forest.nodes + tree.first_node;
    const float* const weights = forest.weights + tree.first_weight;
    const std::uint32_t* const indices = all ? nullptr : forest.indices + tree.first_weight;
    const Node* at[together];
    for (unsigned r = 0; r < together; ++r) at[r] = nodes;
    for (std::uint32_t level = 0; level < tree.depth; ++level) {
      alignas(32) float sums[together];
      for (unsigned part = 0; part < together; part += group) {
        Eight parts[group];
#pragma GCC unroll 8
        for (unsigned r = 0; r < group; ++r) {
          const std::size_t cut = at[part + r]->cut;
          parts[r] = chains_of<all>(y + (part + r) * forest.row_pitch, all ? nullptr : indices + cut,
                                    weights + cut, pitch);
        }
        simd::lane_sums(parts).store(sums + part);
      }
#pragma GCC unroll 16
      for (unsigned r = 0; r < together; ++r)
        at[r] = nodes + at[r]->left + (sums[r] > at[r]->threshold ? 1 : 0);
    }
    for (unsigned r = 0; r < together; ++r) ticks[r] += at[r]->ticks;
  }

  template <bool all>
  LANNER_INLINE static void walk_trees(const ForestTables& forest, unsigned pitch, const float* y,
                                       std::size_t count, std::int64_t* ticks) {
    for (std::uint32_t t = 0; t < forest.tree_count; ++t)
      for (std::size_t r = 0; r < count; r += together)
        walk_tree<all>(forest, forest.trees[t], pitch, y + r * forest.row_pitch, ticks + r);
  }

  LANNER_INLINE static void isolation(const ForestTables& forest, Rows rows, float* y, float* scores) {
    const std::size_t block = block_rows(forest.row_pitch);
    for (std::size_t begin = 0; begin < rows.count; begin += block) {
      const std::size_t count = rows.count - begin < block ? rows.count - begin : block;
      const std::size_t whole = (count + together - 1) / together * together;
      const Rows part{rows.data + begin * rows.stride, count, rows.width, rows.stride};
      standardise(forest, part, y);
      for (std::size_t i = count * forest.row_pitch; i < whole * forest.row_pitch; ++i) y[i] = 0;
      std::int64_t ticks[block_rows_max] = {};
      if (forest.indices) {
        walk_trees<false>(forest, forest.pitch, y, count, ticks);
      } else if (forest.pitch == group) {
        walk_trees<true>(forest, group, y, count, ticks);
      } else if (forest.pitch == 4 * group) {
        walk_trees<true>(forest, 4 * group, y, count, ticks);
      } else {
        walk_trees<true>(forest, forest.pitch, y, count, ticks);
      }
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
