// A forest as every backend keeps it. A cut's weights are in groups of 8 floats (of listed features also 1, 2
// or 4), what is beyond k being zero, which adds nothing to a chain; so are rows, once they are standardised.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/device/resident.hpp"
#include "kernels/forest/forest.hpp"
#include "kernels/forest/forest_formula.hpp"
#include "kernels/mlp/formula.hpp"
#include "kernels/oblique_forest/oblique_forest.hpp"
#include "kernels/oblique_forest/oblique_forest_formula.hpp"

namespace lanner::oblique_forest {

inline constexpr unsigned group = 8;

LANNER_FORMULA std::size_t pitch_of(std::size_t floats) {
  return (floats + group - 1) / group * group;
}
/// Of a cut's weights. listed: not all that cuts see, and then fewer than a group are not filled up to one.
LANNER_FORMULA std::size_t cut_pitch(std::size_t mixed, bool listed) {
  if (!listed || mixed > group / 2) return pitch_of(mixed);
  return mixed > 2 ? 4 : mixed;
}

/// Numbers are of all trees' nodes and weights. A leaf's threshold is infinity, its left child itself and its
/// cut any, so that a row that is there stays.
struct Node {
  float threshold;
  std::uint32_t left;
  std::uint32_t cut;   ///< where its weights, centres and indices begin
  std::int32_t ticks;  ///< of a leaf its length
};
struct Tree {
  std::uint32_t root;
  std::uint32_t depth;  ///< of its deepest leaf; the root's is 0
};
/// A feature that cuts see, or one that they don't: then the shift is its value.
struct Feature {
  std::uint32_t column;
  float shift, scale;
};

/// Made on the host.
struct PackedForest {
  std::size_t width = 0, mixed = 0, pitch = 0;
  std::vector<Tree> trees;
  std::vector<Node> nodes;
  std::vector<float> expected;         ///< [nodes]
  std::vector<float> weights;          ///< [cuts, pitch]
  std::vector<float> centres;          ///< [cuts, pitch]
  std::vector<std::uint32_t> indices;  ///< [cuts, pitch], or empty
  std::vector<Feature> seen, constants;
  float limit = 0;
  double unseen = 0;  ///< ticks
  double rate = 0;    ///< of a tick
};
/// Throws as validate does.
PackedForest pack(const ObliqueForest&);

/// The same where a device's kernels read it.
struct ForestTables {
  const Tree* trees;
  const Node* nodes;
  const float* expected;  ///< on a CPU, like centres
  const float* weights;
  const float* centres;
  const std::uint32_t* indices;  ///< nullptr: every cut mixes all
  const Feature* seen;
  const Feature* constants;
  std::uint32_t tree_count, seen_count, constant_count;
  std::uint32_t mixed;
  std::uint32_t pitch;      ///< floats of a cut
  std::uint32_t row_pitch;  ///< floats of a standardised row
  float limit;
  double unseen, rate;
};

class ResidentArrays {
 public:
  ResidentArrays(Device& device, const PackedForest& packed)
      : trees_(resident_copy(device, packed.trees)),
        nodes_(resident_copy(device, packed.nodes)),
        weights_(resident_copy(device, packed.weights)),
        indices_(resident_copy(device, packed.indices)),
        seen_(resident_copy(device, packed.seen)),
        constants_(resident_copy(device, packed.constants)),
        mixed_(packed.mixed),
        pitch_(packed.pitch),
        limit_(packed.limit),
        unseen_(packed.unseen),
        rate_(packed.rate) {
    if (device.backend() != Backend::cpu) return;
    expected_ = resident_copy(device, packed.expected);
    centres_ = resident_copy(device, packed.centres);
  }

  ForestTables tables() const {
    return {trees_.data(),
            nodes_.data(),
            expected_.data(),
            weights_.data(),
            centres_.data(),
            indices_.size() > 0 ? indices_.data() : nullptr,
            seen_.data(),
            constants_.data(),
            static_cast<std::uint32_t>(trees_.size()),
            static_cast<std::uint32_t>(seen_.size()),
            static_cast<std::uint32_t>(constants_.size()),
            static_cast<std::uint32_t>(mixed_),
            static_cast<std::uint32_t>(pitch_),
            static_cast<std::uint32_t>(pitch_of(seen_.size())),
            limit_,
            unseen_,
            rate_};
  }

 private:
  Array<Tree> trees_;
  Array<Node> nodes_;
  Array<float> expected_, weights_, centres_;
  Array<std::uint32_t> indices_;
  Array<Feature> seen_, constants_;
  std::size_t mixed_, pitch_;
  float limit_;
  double unseen_, rate_;
};

/// Rows that go down a tree on a CPU before the next tree's turn: as many as pay for fetching it, of wide
/// rows fewer, since they take room themselves. A multiple of 16.
inline constexpr std::size_t block_rows_max = 256;
LANNER_FORMULA std::size_t block_rows(std::size_t row_pitch) {
  constexpr std::size_t least = 64, floats = std::size_t{1} << 14;
  const std::size_t fit = floats / (row_pitch > 0 ? row_pitch : 1) / 16 * 16;
  return fit < least ? least : fit < block_rows_max ? fit : block_rows_max;
}

/// y [count, row_pitch] of as many rows: what cuts see of them, standardised.
LANNER_FORMULA void standardise(const ForestTables& forest, Rows rows, float* y) {
  for (std::size_t i = 0; i < rows.count; ++i, y += forest.row_pitch) {
    const float* const row = rows.data + i * rows.stride;
    for (std::uint32_t j = 0; j < forest.seen_count; ++j) {
      const Feature& feature = forest.seen[j];
      y[j] = mlp::standardised(row[feature.column], feature.shift, feature.scale, forest.limit);
    }
    for (std::uint32_t j = forest.seen_count; j < forest.row_pitch; ++j) y[j] = 0;
  }
}

/// What unseen values take off, in ticks.
LANNER_FORMULA double unseen_of(const ForestTables& forest, const float* row) {
  double ticks = 0;
  for (std::uint32_t c = 0; c < forest.constant_count; ++c)
    if (row[forest.constants[c].column] != forest.constants[c].shift) ticks += forest.unseen;
  return ticks;
}
LANNER_FORMULA float score_of(const ForestTables& forest, double ticks, const float* row) {
  return static_cast<float>(forest::isolation_of(ticks - unseen_of(forest, row), forest.rate));
}

/// The sum of a cut, one feature after the other.
LANNER_FORMULA float plain_sum(const float* y, const std::uint32_t* indices, const float* weights,
                               std::size_t mixed) {
  float e[chains] = {};
  for (std::size_t i = 0; i < mixed; ++i)
    e[i % chains] = fma(weights[i], y[indices ? indices[i] : i], e[i % chains]);
  return sum_of(e);
}

float projection_scalar(const float* y, const std::uint32_t* feature, const float* weight, std::size_t mixed);
float projection_avx2(const float* y, const std::uint32_t* feature, const float* weight, std::size_t mixed);
float projection_avx512(const float* y, const std::uint32_t* feature, const float* weight, std::size_t mixed);

/// Scores of all rows given. y: [block_rows(row_pitch), row_pitch], for the kernel's own use, on a multiple
/// of 64.
using Isolation = void (*)(const ForestTables&, Rows rows, float* y, float* scores);
void isolation_scalar(const ForestTables&, Rows rows, float* y, float* scores);
void isolation_avx2(const ForestTables&, Rows rows, float* y, float* scores);
void isolation_avx512(const ForestTables&, Rows rows, float* y, float* scores);

/// What attribution in oblique_forest.hpp says of all rows given. y as above.
using Attribution = void (*)(const ForestTables&, Rows rows, float* y, MutableRows moved, double* lengths);
void attribution_scalar(const ForestTables&, Rows rows, float* y, MutableRows moved, double* lengths);
void attribution_avx2(const ForestTables&, Rows rows, float* y, MutableRows moved, double* lengths);
void attribution_avx512(const ForestTables&, Rows rows, float* y, MutableRows moved, double* lengths);

}  // namespace lanner::oblique_forest
