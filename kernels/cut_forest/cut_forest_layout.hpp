// A forest as every backend keeps it. A box is laid out in groups of 16 features: 16 floats of the lower
// bounds, then 16 of the upper ones; points and rows in groups of 16 floats. What is beyond the width is zero
// everywhere, which adds nothing to a chain.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/cut_forest/cut_forest.hpp"
#include "kernels/cut_forest/cut_forest_formula.hpp"
#include "kernels/device/resident.hpp"
#include "kernels/mlp/formula.hpp"

namespace lanner::cut_forest {

struct Node {
  float threshold;
  std::uint32_t feature;
  std::uint32_t child[2];  ///< below the tree's inner nodes one of them, else a leaf
  float range, value;
};
struct Leaf {
  std::uint32_t point;
  float apart, same;
};
struct Tree {
  std::uint32_t first_node, nodes;  ///< inner ones
  std::uint32_t first_leaf;
};

LANNER_FORMULA std::size_t groups_of(std::size_t width) {
  return (width + chains - 1) / chains;
}

/// Made on the host.
struct PackedForest {
  std::size_t width = 0;
  std::vector<Tree> trees;
  std::vector<Node> nodes;
  std::vector<Leaf> leaves;
  std::vector<float> boxes;         ///< [nodes, groups, 2, 16]
  std::vector<float> points;        ///< [points, groups, 16]
  std::vector<float> shift, scale;  ///< [groups * 16]
  float limit = 0;
  double factor = 0;
};
/// Throws as validate does.
PackedForest pack(const CutForest&);

/// The same where a device's kernels read it.
struct ForestTables {
  const Tree* trees;
  const Node* nodes;
  const Leaf* leaves;
  const float* boxes;
  const float* points;
  const float* shift;
  const float* scale;
  float limit;
  std::uint32_t tree_count;
  std::uint32_t groups;  ///< of 16 features
  double factor;

  LANNER_FORMULA const float* box(std::size_t node) const { return boxes + node * groups * 2 * chains; }
  LANNER_FORMULA const float* point(std::size_t p) const { return points + p * groups * chains; }
};

class ResidentArrays {
 public:
  ResidentArrays(Device& device, const PackedForest& packed)
      : trees_(resident_copy(device, packed.trees)),
        nodes_(resident_copy(device, packed.nodes)),
        leaves_(resident_copy(device, packed.leaves)),
        boxes_(resident_copy(device, packed.boxes)),
        points_(resident_copy(device, packed.points)),
        shift_(resident_copy(device, packed.shift)),
        scale_(resident_copy(device, packed.scale)),
        limit_(packed.limit),
        groups_(static_cast<std::uint32_t>(groups_of(packed.width))),
        factor_(packed.factor) {}

  ForestTables tables() const {
    return {trees_.data(), nodes_.data(),  leaves_.data(),
            boxes_.data(), points_.data(), shift_.data(),
            scale_.data(), limit_,         static_cast<std::uint32_t>(trees_.size()),
            groups_,       factor_};
  }

 private:
  Array<Tree> trees_;
  Array<Node> nodes_;
  Array<Leaf> leaves_;
  Array<float> boxes_, points_, shift_, scale_;
  float limit_;
  std::uint32_t groups_;
  double factor_;
};

/// Rows that go through a tree on a CPU before the next tree's turn: as many as pay for fetching it, of wide
/// rows fewer, since they take room themselves.
inline constexpr std::size_t block_rows_max = 1024;
LANNER_FORMULA std::size_t block_rows(std::size_t groups) {
  constexpr std::size_t least = 64, floats = std::size_t{1} << 16;
  const std::size_t fit = floats / (groups * chains);
  return fit < least ? least : fit < block_rows_max ? fit : block_rows_max;
}

/// y [count, groups, 16] of as many rows: standardised, beyond the width zero.
LANNER_FORMULA void standardise(const ForestTables& forest, Rows rows, float* y) {
  const std::size_t pitch = forest.groups * chains;
  for (std::size_t i = 0; i < rows.count; ++i) {
    const float* const row = rows.data + i * rows.stride;
    for (std::size_t j = 0; j < rows.width; ++j)
      y[i * pitch + j] = mlp::standardised(row[j], forest.shift[j], forest.scale[j], forest.limit);
    for (std::size_t j = rows.width; j < pitch; ++j) y[i * pitch + j] = 0;
  }
}

/// Over features one by one.
struct PlainBoxes {
  /// The sum of chains, as it is defined.
  LANNER_FORMULA static float sum_of(float (&sums)[chains]) {
    for (unsigned half = chains / 2; half > 0; half /= 2)
      for (unsigned c = 0; c < half; ++c) sums[c] = sums[c] + sums[c + half];
    return sums[0];
  }
  /// How far y lies outside a box.
  LANNER_FORMULA static float outside(const float* box, const float* y, std::uint32_t groups) {
    float sums[chains] = {};
    for (std::uint32_t g = 0; g < groups; ++g)
      for (unsigned c = 0; c < chains; ++c)
        sums[c] = sums[c] + excess(y[g * chains + c], box[g * 2 * chains + c], box[(g * 2 + 1) * chains + c]);
    return sum_of(sums);
  }
  LANNER_FORMULA static float distance(const float* point, const float* y, std::uint32_t groups) {
    float sums[chains] = {};
    for (std::uint32_t g = 0; g < groups; ++g)
      for (unsigned c = 0; c < chains; ++c)
        sums[c] = sums[c] + absolute(y[g * chains + c] - point[g * chains + c]);
    return sum_of(sums);
  }
  /// parts[j] += share * how far y[j] lies outside; likewise by the distance.
  LANNER_FORMULA static void share_outside(const float* box, const float* y, std::uint32_t groups,
                                           float share, float* parts) {
    for (std::uint32_t g = 0; g < groups; ++g)
      for (unsigned c = 0; c < chains; ++c) {
        float& part = parts[g * chains + c];
        part = fma(share, excess(y[g * chains + c], box[g * 2 * chains + c], box[(g * 2 + 1) * chains + c]),
                   part);
      }
  }
  LANNER_FORMULA static void share_distance(const float* point, const float* y, std::uint32_t groups,
                                            float share, float* parts) {
    for (std::uint32_t i = 0; i < groups * chains; ++i)
      parts[i] = fma(share, absolute(y[i] - point[i]), parts[i]);
  }
};

LANNER_FORMULA bool equal(const float* point, const float* y, std::uint32_t groups) {
  for (std::uint32_t i = 0; i < groups * chains; ++i)
    if (y[i] != point[i]) return false;
  return true;
}

/// What a tree gives a standardised row.
LANNER_FORMULA float of_tree(const ForestTables& forest, const Tree& tree, const float* y) {
  Given<float> given{1, 0};
  std::uint32_t at = 0;
  while (at < tree.nodes) {
    const std::size_t here = std::size_t{tree.first_node} + at;
    const Node& node = forest.nodes[here];
    at_node(given, chance_of(PlainBoxes::outside(forest.box(here), y, forest.groups), node.range),
            node.value);
    at = node.child[y[node.feature] > node.threshold ? 1 : 0];
  }
  const Leaf& leaf = forest.leaves[std::size_t{tree.first_leaf} + (at - tree.nodes)];
  return in_ticks(given, equal(forest.point(leaf.point), y, forest.groups) ? leaf.same : leaf.apart);
}

/// Scores of all rows given. y: [block_rows(groups), groups, 16], for the kernel's own use, on a multiple
/// of 64.
using Separation = void (*)(const ForestTables&, Rows rows, float* y, float* scores);
void separation_scalar(const ForestTables&, Rows rows, float* y, float* scores);
void separation_avx2(const ForestTables&, Rows rows, float* y, float* scores);
void separation_avx512(const ForestTables&, Rows rows, float* y, float* scores);

/// Parts of all rows given, as attribution in cut_forest.hpp says. y as above.
using Attribution = void (*)(const ForestTables&, Rows rows, float base, float* y, MutableRows parts);
void attribution_scalar(const ForestTables&, Rows rows, float base, float* y, MutableRows parts);
void attribution_avx2(const ForestTables&, Rows rows, float base, float* y, MutableRows parts);
void attribution_avx512(const ForestTables&, Rows rows, float base, float* y, MutableRows parts);

}  // namespace lanner::cut_forest
