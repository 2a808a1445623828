// The body of attribution, as cut_forest.hpp states it, for a class `Boxes` that says how a tier runs over
// features: outside(), distance() and what is shared out by them. Sums over features are elementwise, so that
// every tier gives the same parts, though nothing rests on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "kernels/cut_forest/cut_forest_layout.hpp"

namespace lanner::cut_forest {

/// What a tree's way falls to no feature with, and what the tree gives, in ticks.
struct Shared {
  float even, ticks;
};

/// Adds to parts [groups, 16].
template <class Boxes>
LANNER_FORMULA Shared share_tree(const ForestTables& forest, const Tree& tree, const float* y, float centre,
                                 float* parts) {
  // Shares of less would be by a quotient that overflows.
  constexpr float least = std::numeric_limits<float>::min();
  Given<float> given{1, 0};
  float even = 0;
  std::uint32_t at = 0;
  while (at < tree.nodes) {
    const std::size_t here = std::size_t{tree.first_node} + at;
    const Node& node = forest.nodes[here];
    const float all = Boxes::outside(forest.box(here), y, forest.groups), rest = given.rest;
    at_node(given, chance_of(all, node.range), node.value);
    const float gained = (rest - given.rest) * (node.value - centre);
    if (all >= least) {
      Boxes::share_outside(forest.box(here), y, forest.groups, gained / all, parts);
    } else {
      even += gained;
    }
    at = node.child[y[node.feature] > node.threshold ? 1 : 0];
  }
  const Leaf& leaf = forest.leaves[std::size_t{tree.first_leaf} + (at - tree.nodes)];
  const float* const point = forest.point(leaf.point);
  const float all = Boxes::distance(point, y, forest.groups), value = all > 0 ? leaf.apart : leaf.same;
  const float gained = given.rest * (value - centre);
  if (all >= least) {
    Boxes::share_distance(point, y, forest.groups, gained / all, parts);
  } else {
    even += gained;
  }
  return {even, in_ticks(given, value)};
}

template <class Boxes>
LANNER_FORMULA void attribute_rows(const ForestTables& forest, Rows rows, float base, float* y,
                                   MutableRows out) {
  const double trees = forest.tree_count, scale = forest.factor * trees * static_cast<double>(ticks);
  const double width = static_cast<double>(rows.width);
  const auto centre = static_cast<float>(static_cast<double>(base) / scale);
  float* const parts = y + std::size_t{forest.groups} * chains;
  for (std::size_t i = 0; i < rows.count; ++i) {
    standardise(forest, Rows{rows.data + i * rows.stride, 1, rows.width, rows.stride}, y);
    for (std::size_t j = 0; j < std::size_t{forest.groups} * chains; ++j) parts[j] = 0;
    double even = 0, given = 0;
    for (std::uint32_t t = 0; t < forest.tree_count; ++t) {
      const Shared shared = share_tree<Boxes>(forest, forest.trees[t], y, centre, parts);
      even += static_cast<double>(shared.even);
      given += static_cast<double>(shared.ticks);
    }
    float* const own = out.data + i * out.stride;
    double sum = 0;
    for (std::size_t j = 0; j < rows.width; ++j) {
      own[j] = static_cast<float>((static_cast<double>(parts[j]) + even / width) * (scale / trees));
      sum += static_cast<double>(own[j]);
    }
    const double score = static_cast<double>(score_of(given, forest.factor));
    const auto left = static_cast<float>((score - static_cast<double>(base) - sum) / width);
    for (std::size_t j = 0; j < rows.width; ++j) own[j] += left;
  }
}

}  // namespace lanner::cut_forest
