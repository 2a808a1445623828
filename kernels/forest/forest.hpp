// Isolation by trees: how soon splits set a row apart, as a score.
//
// Definition (the same bits on every backend). A row walks each tree from its root: at an inner node it goes
// left where row[feature] <= threshold, else right, until it is in a leaf, whose length it is given. With L
// the sum of its lengths over all trees and m the number of `constants` that the row differs from,
//   score = exp(-rate * max(L - unseen * m, 0))
// in float64 (kernels/arithmetic/elementary.hpp), rounded to float32 once. With rate = ln 2 / (trees *
// c(samples)) that is 2^(-mean length / c(samples)) of Liu, Ting & Zhou 2008, "Isolation Forest", equation 2.
//
// Lengths and `unseen` are multiples of 2^-18 that never add up to more than 2^27, so every sum of them is
// exact in float64 (and as an integer of 64 bits), in whatever order it is taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/device/device.hpp"
#include "kernels/rows.hpp"

namespace lanner::forest {

/// Lengths are multiples of 1 / ticks, and at most length_max in size.
inline constexpr double ticks = 0x1p18;
inline constexpr float length_max = 64;
inline constexpr std::size_t width_max = std::size_t{1} << 20;
inline constexpr std::size_t trees_max = std::size_t{1} << 20;
/// What trees * length_max, and constants * unseen, are at most.
inline constexpr double total_max = 0x1p26;

/// Plain data. Tree t owns the nodes tree_begin[t] .. tree_begin[t+1], the root first; nodes are numbered
/// within their tree. A node's children stand side by side, after it.
struct Forest {
  std::size_t width = 0;                  ///< features of a row
  std::vector<std::uint32_t> tree_begin;  ///< [trees + 1]
  std::vector<std::uint32_t> left;        ///< [nodes] the left child, the right one being the next; 0: a leaf
  std::vector<std::uint32_t> feature;     ///< [nodes] of an inner node; 0 of a leaf
  std::vector<float> threshold;           ///< [nodes] of an inner node, finite; 0 of a leaf
  /// [nodes] of a leaf its length. Of an inner node not used here: what a row is expected to be given there.
  std::vector<float> length;
  std::vector<std::uint32_t> constant_feature;  ///< [constants]
  std::vector<float> constant_value;            ///< [constants] finite
  double unseen = 0;                            ///< at least 0
  double rate = 1;                              ///< above 0

  std::size_t trees() const { return tree_begin.empty() ? 0 : tree_begin.size() - 1; }
  std::size_t nodes() const { return left.size(); }
  std::size_t constants() const { return constant_feature.size(); }
};

/// How many nodes a tree can have: a node's number and a feature's share 31 bits.
std::size_t nodes_max(std::size_t width);

/// Throws std::invalid_argument, with the reason, for what doesn't fit the description above.
void validate(const Forest&);

class ResidentForest {
 public:
  virtual ~ResidentForest() = default;
  virtual std::size_t width() const = 0;
  virtual std::size_t workspace_bytes() const = 0;
  /// What the function below calls once it has checked the request: at least one row, room for all scores.
  virtual void isolation(Stream&, Rows rows, std::span<std::byte> workspace, float* scores) const = 0;
};
/// Throws as validate does.
std::shared_ptr<const ResidentForest> make_resident(Device&, const Forest&);

/// scores [n]. workspace: workspace_bytes() of it, on a multiple of 4. Throws std::invalid_argument for
/// shapes that don't fit. Allocates nothing.
void isolation(Stream&, const ResidentForest&, Rows rows, std::span<std::byte> workspace,
               std::span<float> scores);

}  // namespace lanner::forest
