// The body of attribution, as oblique_forest.hpp states it, for a class `Cuts` that says how a tier runs over
// a cut's features. Sums over features are the same chains as a cut's, so that every tier gives the same
// parts, though nothing rests on it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/oblique_forest/oblique_forest_layout.hpp"

namespace lanner::oblique_forest {

inline constexpr std::size_t rows_together = 16;

/// How far a feature moves a row's sum from the centre's.
template <class F>
LANNER_FORMULA F reach_of(F y, F weight, F centre) {
  return absolute(weight * (y - centre));
}

/// A cut of features one by one.
struct PlainCuts {
  struct Cut {
    const std::uint32_t* indices;  ///< nullptr: all
    const float *weights, *centres;
    std::uint32_t mixed, pitch;
    LANNER_FORMULA std::uint32_t feature(std::uint32_t i) const { return indices ? indices[i] : i; }
  };
  LANNER_FORMULA static float sum(const Cut& cut, const float* y) {
    return plain_sum(y, cut.indices, cut.weights, cut.mixed);
  }
  LANNER_FORMULA static float reach(const Cut& cut, const float* y) {
    float e[chains] = {};
    for (std::uint32_t i = 0; i < cut.mixed; ++i)
      e[i % chains] = e[i % chains] + reach_of(y[cut.feature(i)], cut.weights[i], cut.centres[i]);
    return sum_of(e);
  }
  /// parts[f] += share * the reach of f.
  LANNER_FORMULA static void share(const Cut& cut, const float* y, float share, float* parts) {
    for (std::uint32_t i = 0; i < cut.mixed; ++i) {
      float& part = parts[cut.feature(i)];
      part = fma(share, reach_of(y[cut.feature(i)], cut.weights[i], cut.centres[i]), part);
    }
  }
};

/// Adds to parts [row_pitch] what a node's cut moves. Returns where the row goes.
template <class Cuts>
LANNER_FORMULA std::uint32_t attribute_step(const ForestTables& forest, std::uint32_t at, const float* y,
                                            float* parts) {
  constexpr float least = 1e-30f;  // a share of less would be by a quotient that overflows
  const Node& node = forest.nodes[at];
  const PlainCuts::Cut cut{forest.indices ? forest.indices + node.cut : nullptr, forest.weights + node.cut,
                           forest.centres + node.cut, forest.mixed, forest.pitch};
  const std::uint32_t next = node.left + (Cuts::sum(cut, y) > node.threshold ? 1u : 0u);
  const float moved = forest.expected[next] - forest.expected[at], all = Cuts::reach(cut, y);
  if (all >= least) {
    Cuts::share(cut, y, moved / all, parts);
  } else {
    for (std::uint32_t i = 0; i < cut.mixed; ++i)
      parts[cut.feature(i)] = parts[cut.feature(i)] + moved / static_cast<float>(cut.mixed);
  }
  return next;
}

/// Rows go down a tree together, a step of each in turn, so that none waits for its own last one and the tree
/// is in the nearest cache.
template <class Cuts>
LANNER_FORMULA void attribute_rows(const ForestTables& forest, Rows rows, float* y, MutableRows moved,
                                   double* lengths) {
  const std::size_t pitch = forest.row_pitch;
  float* const parts = y + rows_together * pitch;
  for (std::size_t begin = 0; begin < rows.count; begin += rows_together) {
    const std::size_t count = rows.count - begin < rows_together ? rows.count - begin : rows_together;
    const Rows some{rows.data + begin * rows.stride, count, rows.width, rows.stride};
    standardise(forest, some, y);
    for (std::size_t j = 0; j < count * pitch; ++j) parts[j] = 0;
    std::int64_t ticks[rows_together] = {};
    for (std::uint32_t t = 0; t < forest.tree_count; ++t) {
      std::uint32_t at[rows_together];
      for (std::size_t i = 0; i < count; ++i) at[i] = forest.trees[t].root;
      for (bool walking = true; walking;) {
        walking = false;
        for (std::size_t i = 0; i < count; ++i) {
          if (forest.nodes[at[i]].left == at[i]) continue;
          at[i] = attribute_step<Cuts>(forest, at[i], y + i * pitch, parts + i * pitch);
          walking = true;
        }
      }
      for (std::size_t i = 0; i < count; ++i) ticks[i] += forest.nodes[at[i]].ticks;
    }
    for (std::size_t i = 0; i < count; ++i) {
      const float* const row = some.data + i * rows.stride;
      lengths[begin + i] = (static_cast<double>(ticks[i]) - unseen_of(forest, row)) / forest::ticks;
      float* const own = moved.data + (begin + i) * moved.stride;
      for (std::uint32_t j = 0; j < forest.seen_count; ++j) own[forest.seen[j].column] = parts[i * pitch + j];
      for (std::uint32_t c = 0; c < forest.constant_count; ++c) {
        const Feature& constant = forest.constants[c];
        own[constant.column] = row[constant.column] != constant.shift
                                   ? static_cast<float>(-forest.unseen / forest::ticks)
                                   : 0.0f;
      }
    }
  }
}

}  // namespace lanner::oblique_forest
