// An autoencoder that was trained elsewhere (PyTorch, ONNX), from plain arrays. The forward pass is that of
// kernels/mlp/mlp.hpp; scores are mean squared differences on the scale that the network works on.
#pragma once

#include <span>
#include <vector>

#include "engine/detectors/imported.hpp"
#include "kernels/mlp/mlp.hpp"

namespace lanner::engine::autoencoder {

/// What rows went through before the first layer: (x - mean) / scale, each [inputs]; both empty: nothing. No
/// value is held within a limit.
struct ForeignScale {
  std::span<const double> mean;   ///< finite
  std::span<const double> scale;  ///< finite, above 0
};

/// At least two layers, the first's inputs as many as the last's outputs, none wider than 4096 in between.
/// Throws std::invalid_argument, naming layer or feature, where shapes don't chain or a value isn't finite.
Imported import_network(std::vector<mlp::Layer> layers, const ForeignScale& = {});

}  // namespace lanner::engine::autoencoder
