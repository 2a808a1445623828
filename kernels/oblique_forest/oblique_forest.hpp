// Isolation by oblique trees: how soon cuts by hyperplanes set a row apart, as a score.
//
// Definition (the same bits on every backend). A row is standardised (kernels/mlp/mlp.hpp), and those of its
// features that cuts see are y[0] .. y[u-1]. It walks each tree from its root. At a cut of k features f[i]
// and weights w[i], all operations in float32:
//   16 chains e[c] = 0; for i in order: e[i mod 16] = fma(w[i], y[f[i]], e[i mod 16])
//   s = their sum: e[c] + e[c + 8], of these those 4 apart, then 2, then 1
// it goes left where s <= threshold, else right, until it is in a leaf, whose length it is given. With L the
// sum of its lengths over all trees and m the number of features that cuts don't see whose value differs from
// the standardisation's shift,
//   score = exp(-rate * max(L - unseen * m, 0))
// in float64, rounded to float32 once: kernels/forest/forest.hpp, whose lengths these are too, multiples of
// 2^-18, so that every sum of them is exact in whatever order. Cuts, lengths and rate as in Hariri, Carrasco
// Kind & Brunner 2021, "Extended Isolation Forest", make that the paper's score.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/device/device.hpp"
#include "kernels/mlp/mlp.hpp"
#include "kernels/rows.hpp"

namespace lanner::oblique_forest {

inline constexpr std::size_t width_max = std::size_t{1} << 20;
inline constexpr std::size_t trees_max = std::size_t{1} << 20;
/// Of all cuts' weights together, each cut's rounded up to a multiple of 8. 2 GiB.
inline constexpr std::size_t weights_max = std::size_t{1} << 29;
/// In size; with limit_max every sum over 2^20 features stays finite.
inline constexpr float weight_max = 64;
/// Of a standardisation.
inline constexpr float limit_max = 0x1p64f;

/// Plain data. Tree t owns the nodes tree_begin[t] .. tree_begin[t+1], the root first; nodes are numbered
/// within their tree. A node's children stand side by side, after it. Inner nodes are cuts, numbered through
/// all trees in the order of their nodes.
struct ObliqueForest {
  std::size_t width = 0;                  ///< features of a row
  mlp::Standardisation input;             ///< of rows, its limit at most limit_max
  std::vector<std::uint32_t> seen;        ///< [u] the features that cuts see, ascending
  std::vector<std::uint32_t> tree_begin;  ///< [trees + 1]
  std::vector<std::uint32_t> left;        ///< [nodes] the left child, the right one being the next; 0: a leaf
  /// [nodes] of a leaf its length. Of an inner node what a row is expected to be given there.
  std::vector<float> length;
  std::size_t mixed = 0;               ///< k, 1 .. u; 0 where u is 0
  std::vector<std::uint32_t> feature;  ///< [cuts, k] of y; empty where k is u: each cut mixes all, in order
  std::vector<float> weight;           ///< [cuts, k] at most weight_max in size
  std::vector<float> centre;     ///< [cuts, k] of y, within the limit: what attribution compares a row with
  std::vector<float> threshold;  ///< [cuts] finite
  double unseen = 0;             ///< at least 0
  double rate = 1;               ///< above 0

  std::size_t trees() const { return tree_begin.empty() ? 0 : tree_begin.size() - 1; }
  std::size_t nodes() const { return left.size(); }
  std::size_t cuts() const { return threshold.size(); }
};

/// How many cuts of so many features all trees can have together.
std::size_t cuts_max(std::size_t mixed);

/// Throws std::invalid_argument, with the reason, for what doesn't fit the description above.
void validate(const ObliqueForest&);

/// s of the definition, as every backend has it: what growing parts rows by. y: [u]; feature: [k], or nullptr
/// where a cut mixes all.
using Projection = float (*)(const float* y, const std::uint32_t* feature, const float* weight,
                             std::size_t mixed);
Projection projection(CpuTier);

class ResidentObliqueForest {
 public:
  virtual ~ResidentObliqueForest() = default;
  virtual std::size_t width() const = 0;
  virtual std::size_t workspace_bytes() const = 0;
  /// What the functions below call once they have checked the request: at least one row, room for all.
  virtual void isolation(Stream&, Rows rows, std::span<std::byte> workspace, float* scores) const = 0;
  virtual void attribution(Stream&, Rows rows, std::span<std::byte> workspace, MutableRows moved,
                           double* lengths) const = 0;
};
/// Throws as validate does.
std::shared_ptr<const ResidentObliqueForest> make_resident(Device&, const ObliqueForest&);

/// scores [n]. workspace: workspace_bytes() of it, on a multiple of 64. Throws std::invalid_argument for
/// shapes that don't fit. Allocates nothing.
void isolation(Stream&, const ResidentObliqueForest&, Rows rows, std::span<std::byte> workspace,
               std::span<float> scores);

/// lengths [n]: L - unseen * m. moved [n, width]: how far each feature moves that from the sum of the lengths
/// that the trees' roots expect. Each step of a walk moves what is expected from the node's length to the
/// child's, which is shared out among the cut's features in proportion to |w[i] (y[f[i]] - centre[i])|, or
/// alike where all of these are 0. What an unseen value takes off falls to its feature. cpu backend only.
void attribution(Stream&, const ResidentObliqueForest&, Rows rows, std::span<std::byte> workspace,
                 MutableRows moved, std::span<double> lengths);

}  // namespace lanner::oblique_forest
