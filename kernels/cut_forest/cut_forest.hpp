// Random cut trees: what a row is expected to be given where a cut would part it from a tree's points.
//
// A tree halves its points by cuts; each of its nodes has the bounding box of the points below. Were a row
// put in by Guha, Mishra, Roy & Schrijvers 2016, "Robust Random Cut Forest Based Anomaly Detection on
// Streams" (algorithm 2, InsertPoint), then at each node on its way a random cut of the box extended by the
// row would part it from all points with the probability p = the cut's chance to fall outside the box; else
// the row goes on by the node's own cut. Here nothing is drawn and nothing put in: a row is given the mean of
// a value that each node has, over where it might be parted. That is the expectation of the value over the
// algorithm's random numbers, the trees being as they are.
//
// Definition (the same bits on every backend). A row is standardised (kernels/mlp/mlp.hpp), giving y. In each
// tree, with rest = 1 and sum = 0, from the root on:
//   at an inner node with the box [low, high], the range R (its sides' sum in float64, rounded once) and the
//   value a, all operations in float32:
//     16 chains e[c] = 0; for feature j in order: e[j mod 16] += max(max(low[j] - y[j], y[j] - high[j]), 0)
//     E = their sum: e[c] + e[c + 8], of these those 4 apart, then 2, then 1
//     p = E / (R + E);  w = rest * p;  sum = fma(w, a, sum);  rest = rest - w
//   then left where y[feature] <= threshold, else right; at a leaf, which is a point,
//     sum = fma(rest, y equals the point ? its value `same` : its value `apart`, sum)
// The tree gives the row sum * 2^24, rounded to a whole number, ties to even. These add up exactly in any
// order, and
//   score = float32(scale * (their sum / (trees * 2^24)))
// in float64. Values are in [0, 1], so that sums stay below 2^53.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/device/device.hpp"
#include "kernels/mlp/mlp.hpp"
#include "kernels/rows.hpp"

namespace lanner::cut_forest {

inline constexpr std::size_t width_max = std::size_t{1} << 20;
inline constexpr std::size_t trees_max = std::size_t{1} << 20;
/// Floats of all boxes: 2 a feature (their number rounded up to a multiple of 16) and inner node. 2 GiB.
inline constexpr std::size_t box_floats_max = std::size_t{1} << 29;

/// Of a standardisation: a sum over 2^20 features of differences stays finite.
inline constexpr float limit_max = 0x1p64f;

/// Plain data. Tree t owns the inner nodes node_begin[t] .. node_begin[t+1], the root first, each after its
/// parent, and one leaf more than that: a tree's i-th leaf stands at node_begin[t] + t + i. A tree without
/// inner nodes is one leaf.
struct CutForest {
  mlp::Standardisation input;             ///< of rows, its limit at most limit_max; points are so already
  std::size_t width = 0;                  ///< features of a row
  std::vector<std::uint32_t> node_begin;  ///< [trees + 1]
  std::vector<std::uint32_t> feature;     ///< [nodes] that is cut
  std::vector<float> threshold;           ///< [nodes]
  /// [nodes, 2] left and right: below the tree's number k of inner nodes one of these, else k + one of its
  /// leaves.
  std::vector<std::uint32_t> child;
  std::vector<float> value;               ///< [nodes] a, in [0, 1]
  std::vector<std::uint32_t> leaf_point;  ///< [leaves] which of the points
  std::vector<float> leaf_apart;          ///< [leaves] in [0, 1]
  std::vector<float> leaf_same;           ///< [leaves] in [0, 1]
  std::vector<float> points;              ///< [points, width], within the input's limit
  double scale = 1;                       ///< above 0, at most 2^64

  std::size_t trees() const { return node_begin.empty() ? 0 : node_begin.size() - 1; }
  std::size_t nodes() const { return feature.size(); }
  std::size_t leaves() const { return leaf_point.size(); }
};

/// How many inner nodes all trees can have together, for their boxes.
std::size_t nodes_max(std::size_t width);

/// Throws std::invalid_argument, with the reason, for what doesn't fit the description above: also where the
/// points left and right of a cut are not on its sides, which takes a look at all boxes.
void validate(const CutForest&);

class ResidentCutForest {
 public:
  virtual ~ResidentCutForest() = default;
  virtual std::size_t width() const = 0;
  virtual std::size_t workspace_bytes() const = 0;
  /// What the functions below call once they have checked the request: at least one row, room for all.
  virtual void separation(Stream&, Rows rows, std::span<std::byte> workspace, float* scores) const = 0;
  virtual void attribution(Stream&, Rows rows, std::span<std::byte> workspace, float base,
                           MutableRows parts) const = 0;
};
/// Throws as validate does.
std::shared_ptr<const ResidentCutForest> make_resident(Device&, const CutForest&);

/// scores [n]. workspace: workspace_bytes() of it, on a multiple of 64. Throws std::invalid_argument for
/// shapes that don't fit. Allocates nothing.
void separation(Stream&, const ResidentCutForest&, Rows rows, std::span<std::byte> workspace,
                std::span<float> scores);

/// parts [n, width]: how the score less `base` falls to the features. Each node gives scale * w * (a - base /
/// scale) / trees to the features in proportion to what each adds to E, a leaf likewise by the differences
/// from its point; what is given at a leaf that the row equals is parted evenly. So are the last bits, that
/// base and parts add up to the score. cpu backend only.
void attribution(Stream&, const ResidentCutForest&, Rows rows, std::span<std::byte> workspace, float base,
                 MutableRows parts);

}  // namespace lanner::cut_forest
