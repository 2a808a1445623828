// A forest as every backend keeps it: nodes of 8 bytes, level by level, so that the upper levels, which every
// row comes through, lie together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/device/resident.hpp"
#include "kernels/forest/forest.hpp"
#include "kernels/forest/forest_formula.hpp"

namespace lanner::forest {

struct Tree {
  std::uint32_t begin;  ///< its first node
  std::uint32_t nodes;
  std::uint32_t depth;  ///< of its deepest leaf; the root's is 0
};

/// An inner node of a shallow tree. Slots are numbers of the tree's inner nodes.
struct ShallowNode {
  float threshold;  ///< not -0
  std::uint32_t feature;
  std::uint16_t to_left, to_right;  ///< the child's slot; slot_of_leaves where it is a leaf
};
/// A tree of at most `levels_max` levels of inner nodes.
struct ShallowTree {
  static constexpr int levels_max = 8;
  static constexpr std::uint16_t slot_of_leaves = (1u << levels_max) - 1;
  std::uint32_t begin;                    ///< its first node
  std::uint32_t lengths;                  ///< its first length
  std::int32_t levels;                    ///< of inner nodes
  std::uint16_t level_nodes[levels_max];  ///< inner nodes of each level
};

struct Constant {
  float value;
  std::uint32_t feature;
};

/// Made on the host.
struct PackedForest {
  std::size_t width = 0;
  unsigned feature_bits = 0;
  std::vector<Tree> trees;
  std::vector<Node> nodes;
  std::vector<std::int32_t> lengths;  ///< [nodes] ticks; 0 of an inner node
  /// Where all trees are shallow, as many as trees; otherwise none.
  std::vector<ShallowTree> shallow_trees;
  std::vector<ShallowNode> shallow_nodes;
  /// Ticks by the path: a bit a level, the root's first, 1 for the right; below a leaf 0. 2^levels a tree.
  std::vector<std::int32_t> shallow_lengths;
  std::vector<Constant> constants;
  double unseen = 0;  ///< ticks
  double rate = 0;    ///< of a tick
};
/// Of a valid forest.
PackedForest pack(const Forest&);

/// The same where a device's kernels read it.
struct ForestTables {
  const Tree* trees;
  const Node* nodes;
  const std::int32_t* lengths;
  const ShallowTree* shallow_trees;  ///< nullptr where a tree is not shallow
  const ShallowNode* shallow_nodes;
  const std::int32_t* shallow_lengths;
  const Constant* constants;
  std::uint32_t tree_count, constant_count;
  std::uint32_t feature_bits;
  double unseen, rate;
};

class ResidentArrays {
 public:
  ResidentArrays(Device& device, const PackedForest& packed)
      : trees_(resident_copy(device, packed.trees)),
        nodes_(resident_copy(device, packed.nodes)),
        lengths_(resident_copy(device, packed.lengths)),
        shallow_trees_(resident_copy(device, packed.shallow_trees)),
        shallow_nodes_(resident_copy(device, packed.shallow_nodes)),
        shallow_lengths_(resident_copy(device, packed.shallow_lengths)),
        constants_(resident_copy(device, packed.constants)),
        feature_bits_(packed.feature_bits),
        unseen_(packed.unseen),
        rate_(packed.rate) {}

  bool shallow() const { return shallow_trees_.size() > 0; }
  ForestTables tables() const {
    return {trees_.data(),
            nodes_.data(),
            lengths_.data(),
            shallow() ? shallow_trees_.data() : nullptr,
            shallow_nodes_.data(),
            shallow_lengths_.data(),
            constants_.data(),
            static_cast<std::uint32_t>(trees_.size()),
            static_cast<std::uint32_t>(constants_.size()),
            feature_bits_,
            unseen_,
            rate_};
  }

 private:
  Array<Tree> trees_;
  Array<Node> nodes_;
  Array<std::int32_t> lengths_;
  Array<ShallowTree> shallow_trees_;
  Array<ShallowNode> shallow_nodes_;
  Array<std::int32_t> shallow_lengths_;
  Array<Constant> constants_;
  std::uint32_t feature_bits_;
  double unseen_, rate_;
};

/// What one row walks.
LANNER_FORMULA float walk_row(const ForestTables& forest, const float* row) {
  const unsigned bits = forest.feature_bits;
  double length = 0;
  for (std::uint32_t t = 0; t < forest.tree_count; ++t) {
    const Node* nodes = forest.nodes + forest.trees[t].begin;
    std::uint32_t at = 0, next = 0;
    do {
      at = next;
      next = next_of(nodes[at], bits, row[feature_of(nodes[at], bits)]);
    } while (next != at);  // a child's number is higher: only a leaf is its own
    length += forest.lengths[forest.trees[t].begin + at];
  }
  for (std::uint32_t c = 0; c < forest.constant_count; ++c)
    if (row[forest.constants[c].feature] != forest.constants[c].value) length -= forest.unseen;
  return static_cast<float>(isolation_of(length, forest.rate));
}

/// Rows that are turned over together into columns: [width * column_rows] floats for each thread.
inline constexpr std::size_t column_rows = 256;

/// Scores of all rows given.
using Walk = void (*)(const ForestTables&, Rows rows, float* columns, float* scores);
void walk_scalar(const ForestTables&, Rows rows, float* columns, float* scores);
void walk_avx2(const ForestTables&, Rows rows, float* columns, float* scores);
void walk_avx512(const ForestTables&, Rows rows, float* columns, float* scores);

}  // namespace lanner::forest
