// Which features a score is by. Explains few rows, on any CPU: no tier has a file of its own.
#include <algorithm>
#include <limits>

#include "kernels/cut_forest/cut_forest_layout.hpp"

namespace lanner::cut_forest {
namespace {

// Shares of less would be by a quotient that overflows.
constexpr float least_shared = std::numeric_limits<float>::min();

// parts[j] += share * how far y[j] lies outside.
void add_shares(const float* box, const float* y, std::uint32_t groups, float share, float* parts) {
  for (std::uint32_t g = 0; g < groups; ++g)
    for (unsigned c = 0; c < chains; ++c) {
      float& part = parts[g * chains + c];
      part =
          fma(share, excess(y[g * chains + c], box[g * 2 * chains + c], box[(g * 2 + 1) * chains + c]), part);
    }
}

void add_differences(const float* point, const float* y, std::uint32_t groups, float share, float* parts) {
  for (std::uint32_t i = 0; i < groups * chains; ++i)
    parts[i] = fma(share, absolute(y[i] - point[i]), parts[i]);
}

float distance(const float* point, const float* y, std::uint32_t groups) {
  float sums[chains] = {};
  for (std::uint32_t g = 0; g < groups; ++g)
    for (unsigned c = 0; c < chains; ++c)
      sums[c] = sums[c] + absolute(y[g * chains + c] - point[g * chains + c]);
  float sum = 0;
  for (const float part : sums) sum += part;
  return sum;
}

// Adds to parts, and returns what falls to no feature and what the tree gives in ticks.
struct OfTree {
  float even, ticks;
};
OfTree attribute_tree(const ForestTables& forest, const Tree& tree, const float* y, float centre,
                      float* parts) {
  Given<float> given{1, 0};
  float even = 0;
  std::uint32_t at = 0;
  while (at < tree.nodes) {
    const std::size_t here = std::size_t{tree.first_node} + at;
    const Node& node = forest.nodes[here];
    const float all = outside(forest.box(here), y, forest.groups), rest = given.rest;
    at_node(given, all, node.range, node.value);
    const float gained = (rest - given.rest) * (node.value - centre);
    if (all >= least_shared) {
      add_shares(forest.box(here), y, forest.groups, gained / all, parts);
    } else {
      even += gained;
    }
    at = node.child[y[node.feature] > node.threshold ? 1 : 0];
  }
  const Leaf& leaf = forest.leaves[std::size_t{tree.first_leaf} + (at - tree.nodes)];
  const float* const point = forest.point(leaf.point);
  const float all = distance(point, y, forest.groups), value = all > 0 ? leaf.apart : leaf.same;
  const float gained = given.rest * (value - centre);
  if (all >= least_shared) {
    add_differences(point, y, forest.groups, gained / all, parts);
  } else {
    even += gained;
  }
  return {even, in_ticks(given, value)};
}

}  // namespace

void attribute(const ForestTables& forest, Rows rows, float base, float* y, MutableRows out) {
  const double trees = forest.tree_count, scale = forest.factor * trees * static_cast<double>(ticks);
  const auto centre = static_cast<float>(static_cast<double>(base) / scale);
  float* const parts = y + std::size_t{forest.groups} * chains;
  for (std::size_t i = 0; i < rows.count; ++i) {
    standardise(forest, rows.slice(i, i + 1), y);
    std::fill_n(parts, std::size_t{forest.groups} * chains, 0.0f);
    double even = 0, given = 0;
    for (std::uint32_t t = 0; t < forest.tree_count; ++t) {
      const OfTree of_tree = attribute_tree(forest, forest.trees[t], y, centre, parts);
      even += static_cast<double>(of_tree.even);
      given += static_cast<double>(of_tree.ticks);
    }
    double sum = 0;
    for (std::size_t j = 0; j < rows.width; ++j) {
      const double part =
          (static_cast<double>(parts[j]) + even / static_cast<double>(rows.width)) * scale / trees;
      out.row(i)[j] = static_cast<float>(part);
      sum += static_cast<double>(out.row(i)[j]);
    }
    const double score = static_cast<double>(score_of(given, forest.factor));
    const double left = (score - static_cast<double>(base) - sum) / static_cast<double>(rows.width);
    for (std::size_t j = 0; j < rows.width; ++j) out.row(i)[j] += static_cast<float>(left);
  }
}

}  // namespace lanner::cut_forest
