// The plain reference: one row, one output, one input after the other.
#include <algorithm>

#include "kernels/mlp/formula.hpp"
#include "kernels/mlp/packed.hpp"

namespace lanner::mlp {
namespace {

float activate(float z, Activation activation) {
  switch (activation) {
    case Activation::rectifier:
      return rectify(z);
    case Activation::tanh:
    case Activation::sigmoid:
      return curved(activation, saturate(z));
    case Activation::identity:
      break;
  }
  return saturate(z);
}

void run_layer(const PackedLayer& layer, const float* x, float* y) {
  for (std::size_t o = 0; o < layer.outputs; ++o) {
    float a = layer.bias[o];
    for (std::size_t i = 0; i < layer.inputs; ++i) a = fma(layer.weight[o * layer.inputs + i], x[i], a);
    y[o] = activate(a, layer.activation);
  }
}

void run(const ForwardTask& task, std::size_t begin, std::size_t end, float* scratch) {
  const PackedNetwork& network = task.network;
  for (std::size_t r = begin; r < end; ++r) {
    const float* row = task.rows.row(r);
    if (network.shift) {
      for (std::size_t j = 0; j < task.rows.width; ++j)
        scratch[j] = standardised(row[j], network.shift[j], network.scale[j], network.limit);
      row = scratch;
    }
    const float* x = row;
    for (std::size_t l = 0; l < network.count; ++l) {
      float* y = scratch + (l + 1 == network.count ? network.output : network.hidden[l & 1]);
      run_layer(network.layers[l], x, y);
      x = y;
    }
    const std::size_t outputs = network.layers[network.count - 1].outputs;
    if (!task.error) {
      std::copy(x, x + outputs, task.out.row(r));
      continue;
    }
    const float width = task.against_rows ? static_cast<float>(outputs) : 1;
    float e = 0;
    for (std::size_t j = 0; j < outputs; ++j) {
      const float d = task.against_rows ? x[j] - row[j] : x[j];
      e = fma(d, d, e);
      if (task.parts.data) task.parts.row(r)[j] = minimum((d * d) / width, largest);
    }
    task.error[r] = minimum(e / width, largest);
  }
}

}  // namespace

constinit const ForwardTier forward_scalar{{1, 1}, run};

}  // namespace lanner::mlp
