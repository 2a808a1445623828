// The forward pass between the contract (mlp.hpp) and its CPU tiers: packed weights and one tier's work.
//
// Lanes are rows: a tile of rows is transposed to [feature][row], and a block of outputs x rows stays in
// registers while its inputs pass by. Every output is its own chain, so the tiers give the same bits.
#pragma once

#include <cstddef>

#include "kernels/mlp/mlp.hpp"
#include "kernels/rows.hpp"

namespace lanner::mlp {

/// What a tier holds in registers: `outputs` x `rows` values, and the rows that a tile has.
struct TileShape {
  std::size_t outputs, rows;
};

/// weight: [ceil(outputs / together)][inputs][together], the last panel filled up with zeros; bias alike.
struct PackedLayer {
  std::size_t inputs = 0, outputs = 0;
  const float* weight = nullptr;
  const float* bias = nullptr;
  Activation activation = Activation::identity;
  /// Proven of these very weights: no chain overflows, so that bounds against that change nothing.
  bool overflows_never = false;
};

struct PackedNetwork {
  const PackedLayer* layers = nullptr;
  std::size_t count = 0;
  /// Floats of scratch before the first and the second hidden buffer, before the output buffer, and in all.
  std::size_t hidden[2] = {}, output = 0, scratch = 0;
  /// Standardisation of the inputs, filled up with zeros to a multiple of 8; nullptr for none.
  const float* shift = nullptr;
  const float* scale = nullptr;
  float limit = 0;
};

/// Either `out` (forward) or `error`, and then perhaps `parts`, is asked for: of the outputs compared with
/// the rows, or with nothing (their squared length; no parts).
struct ForwardTask {
  PackedNetwork network;
  Rows rows;
  MutableRows out;
  float* error = nullptr;
  MutableRows parts;
  bool against_rows = true;
};

struct ForwardTier {
  TileShape shape;
  /// Rows [begin, end) with the scratch of one worker, 64-byte aligned.
  void (*run)(const ForwardTask&, std::size_t begin, std::size_t end, float* scratch);
};

extern const ForwardTier forward_scalar, forward_avx2, forward_avx512;

}  // namespace lanner::mlp
