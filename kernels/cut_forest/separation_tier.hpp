// The body of separation_avx2.cpp and separation_avx512.cpp: lanes are a box's features, then rows.
//
// Eight rows go through a tree together, each by its own way, so that none waits for its own next node alone.
// At each step every row's chains are run over its node's box; the eight registers of chains are added up
// side by side into one, a lane a row, in which the rest is done for all rows at once. A block of rows goes
// through a tree before the next tree's turn: boxes come from the second-level cache.
#pragma once

#include <immintrin.h>

#include "kernels/cut_forest/cut_forest_layout.hpp"
#include "kernels/simd/lanes.hpp"
#include "kernels/simd/sums.hpp"

namespace lanner::cut_forest {

template <class Tier>
struct SeparationKernel {
  using F = simd::Floats<Tier>;
  using Eight = simd::Floats<simd::Avx2>;
  static constexpr unsigned together = 8;

  /// The chains of a box, those half of `chains` apart added up.
  LANNER_INLINE static Eight chains_of(const float* box, const float* y, std::uint32_t groups) {
    if constexpr (F::width == chains) {
      F sums(0.0f);
      for (std::uint32_t g = 0; g < groups; ++g, box += 2 * chains, y += chains)
        sums = sums + excess(F::load(y), F::load(box), F::load(box + chains));
#if defined(__AVX512F__)
      return Eight(_mm512_castps512_ps256(sums.v)) + Eight(_mm512_extractf32x8_ps(sums.v, 1));
#else
      const simd::Halves<F> half(sums);
      return Eight(half.low) + Eight(half.high);
#endif
    } else {
      Eight low(0.0f), high(0.0f);
      for (std::uint32_t g = 0; g < groups; ++g, box += 2 * chains, y += chains) {
        low = low + excess(Eight::load(y), Eight::load(box), Eight::load(box + chains));
        high = high + excess(Eight::load(y + 8), Eight::load(box + 8), Eight::load(box + chains + 8));
      }
      return low + high;
    }
  }

  /// What a tree gives up to eight rows, y[r * pitch] each.
  LANNER_INLINE static Eight of_tree(const ForestTables& forest, const Tree& tree, const float* y,
                                     unsigned count) {
    const std::size_t pitch = std::size_t{forest.groups} * chains;
    const Node* const nodes = forest.nodes + tree.first_node;
    const float* const boxes = forest.box(tree.first_node);
    std::uint32_t at[together];
    unsigned walking = 0;
    for (unsigned r = 0; r < together; ++r) {
      at[r] = r < count ? 0 : tree.nodes;  // a row that isn't there is in a leaf
      walking += at[r] < tree.nodes ? 1u : 0u;
    }
    Given<Eight> given{Eight(1.0f), Eight(0.0f)};
    while (walking > 0) {
      Eight parts[together];
      alignas(32) float range[together], value[together];
#pragma GCC unroll 8
      for (unsigned r = 0; r < together; ++r) {
        if (at[r] < tree.nodes) {
          const Node& node = nodes[at[r]];
          const float* const own = y + r * pitch;
          parts[r] = chains_of(boxes + at[r] * 2 * pitch, own, forest.groups);
          range[r] = node.range;
          value[r] = node.value;
          at[r] = node.child[own[node.feature] > node.threshold ? 1 : 0];
          walking -= at[r] < tree.nodes ? 0u : 1u;
        } else {  // nothing of it changes
          parts[r] = Eight(0.0f);
          range[r] = 1;
          value[r] = 0;
        }
      }
      at_node(given, chance_of(simd::lane_sums(parts), Eight::load(range)), Eight::load(value));
    }
    alignas(32) float of_leaf[together];
    for (unsigned r = 0; r < together; ++r) {
      const Leaf& leaf = forest.leaves[std::size_t{tree.first_leaf} + (at[r] - tree.nodes)];
      of_leaf[r] =
          r < count && equal(forest.point(leaf.point), y + r * pitch, forest.groups) ? leaf.same : leaf.apart;
    }
    return in_ticks(given, Eight::load(of_leaf));
  }

  LANNER_INLINE static void separate(const ForestTables& forest, Rows rows, float* y, float* scores) {
    const std::size_t pitch = std::size_t{forest.groups} * chains;
    const std::size_t block = block_rows(forest.groups);
    for (std::size_t begin = 0; begin < rows.count; begin += block) {
      const std::size_t count = rows.count - begin < block ? rows.count - begin : block;
      standardise(forest, Rows{rows.data + begin * rows.stride, count, rows.width, rows.stride}, y);
      double sums[block_rows_max];
      for (std::size_t r = 0; r < (count + together - 1) / together * together; ++r) sums[r] = 0;
      for (std::uint32_t t = 0; t < forest.tree_count; ++t)
        for (std::size_t r = 0; r < count; r += together) {
          const auto part = static_cast<unsigned>(count - r < together ? count - r : together);
          const Eight given = of_tree(forest, forest.trees[t], y + r * pitch, part);
          for (unsigned i = 0; i < together; ++i)
            sums[r + i] += static_cast<double>(given[static_cast<int>(i)]);
        }
      for (std::size_t r = 0; r < count; ++r) scores[begin + r] = score_of(sums[r], forest.factor);
    }
  }

  // For attribution: see PlainBoxes.
  LANNER_INLINE static float sum_of(Eight sums) {
    const __m128 fours = _mm_add_ps(_mm256_castps256_ps128(sums.v), _mm256_extractf128_ps(sums.v, 1));
    const __m128 twos = _mm_add_ps(fours, _mm_movehl_ps(fours, fours));
    return _mm_cvtss_f32(_mm_add_ss(twos, _mm_shuffle_ps(twos, twos, 1)));
  }
  LANNER_INLINE static float outside(const float* box, const float* y, std::uint32_t groups) {
    return sum_of(chains_of(box, y, groups));
  }
  LANNER_INLINE static float distance(const float* point, const float* y, std::uint32_t groups) {
    Eight low(0.0f), high(0.0f);
    for (std::uint32_t g = 0; g < groups; ++g, point += chains, y += chains) {
      low = low + absolute(Eight::load(y) - Eight::load(point));
      high = high + absolute(Eight::load(y + 8) - Eight::load(point + 8));
    }
    return sum_of(low + high);
  }
  LANNER_INLINE static void share_outside(const float* box, const float* y, std::uint32_t groups, float share,
                                          float* parts) {
    for (std::uint32_t g = 0; g < groups; ++g, box += 2 * chains, y += chains, parts += chains)
      for (unsigned c = 0; c < chains; c += F::width)
        fma(F(share), excess(F::load(y + c), F::load(box + c), F::load(box + chains + c)), F::load(parts + c))
            .store(parts + c);
  }
  LANNER_INLINE static void share_distance(const float* point, const float* y, std::uint32_t groups,
                                           float share, float* parts) {
    for (std::uint32_t i = 0; i < groups * chains; i += F::width)
      fma(F(share), absolute(F::load(y + i) - F::load(point + i)), F::load(parts + i)).store(parts + i);
  }
};

}  // namespace lanner::cut_forest
