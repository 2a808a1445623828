// Between the loop of a training (train.cpp) and the devices that it runs on: a network in training, and how
// it lies in memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "kernels/device/device.hpp"
#include "kernels/mlp/mlp.hpp"
#include "kernels/mlp/training.hpp"
#include "kernels/rows.hpp"

namespace lanner::mlp {

/// A network, the rows that it is trained on, and what has come of both. Minibatches are rows order[first,
/// first + count) of the order that the epoch has. All calls but errors(), kept() and gradient() may return
/// before their work is done.
class Trainer {
 public:
  virtual ~Trainer() = default;
  /// An epoch: `order` of the rows, which stays until errors() returns.
  virtual void begin(std::span<const std::size_t> order) = 0;
  /// The error of a minibatch, and the gradient of its mean.
  virtual void differentiate(std::size_t first, std::size_t count) = 0;
  /// The weights follow that gradient.
  virtual void step(const AdamStep&) = 0;
  /// The error of a minibatch alone.
  virtual void measure(std::size_t first, std::size_t count) = 0;
  /// Sums of squared differences: one for each call of differentiate and measure in this epoch, in order.
  virtual std::span<const double> errors() = 0;
  /// Remembers the weights as they are now, in place of those before.
  virtual void keep() = 0;
  virtual Network kept() = 0;
  /// The last one, in the shape of the network.
  virtual Network gradient() = 0;
};

/// What a Trainer is made of. rows: in the host's memory, for as long as it lives.
struct TrainerTask {
  const Network& start;
  Rows rows;
  std::size_t batch_max;  ///< rows of a minibatch
  std::size_t calls_max;  ///< of differentiate and measure, an epoch
};
std::unique_ptr<Trainer> make_cpu_trainer(Device&, const TrainerTask&);

/// Of a matrix: filled up with zeros.
inline std::size_t columns_of(std::size_t width) {
  return (width + column_multiple - 1) / column_multiple * column_multiple;
}
/// Rows a whole number of kilobytes apart would all fall into the same few sets of a CPU's cache.
inline std::size_t stride_of(std::size_t width) {
  const std::size_t columns = columns_of(width);
  return columns % 256 == 0 ? columns + column_multiple : columns;
}

/// Where things are, in floats: all parameters in one array, all values of a row in another.
struct TrainingLayout {
  struct Layer {
    std::size_t inputs, outputs;
    Activation activation;
    std::size_t weight,
        bias;                // begin among the parameters: [outputs, stride of inputs], [columns of outputs]
    std::size_t transposed;  // of weights: [columns of inputs, stride of outputs], in an array of their own
    std::size_t values;      // times batch_max: begin of [batch_max, stride of outputs], after the inputs
  };
  std::vector<Layer> layers;
  std::size_t parameters = 0, transposed = 0, values = 0, widest = 0;

  explicit TrainingLayout(const Network& network) {
    values = widest = stride_of(network.inputs());
    for (const mlp::Layer& from : network.layers) {
      Layer layer{from.inputs, from.outputs, from.activation, parameters, 0, transposed, values};
      layer.bias = layer.weight + layer.outputs * stride_of(layer.inputs);
      parameters = layer.bias + columns_of(layer.outputs);
      transposed += columns_of(layer.inputs) * stride_of(layer.outputs);
      values += stride_of(layer.outputs);
      widest = std::max(widest, stride_of(layer.outputs));
      layers.push_back(layer);
    }
  }

  /// A network's parameters into an array of zeros, and out of one.
  void write(const Network& network, float* to) const {
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const mlp::Layer& from = network.layers[l];
      for (std::size_t o = 0; o < from.outputs; ++o)
        std::copy_n(&from.weight[o * from.inputs], from.inputs,
                    to + layers[l].weight + o * stride_of(from.inputs));
      std::copy(from.bias.begin(), from.bias.end(), to + layers[l].bias);
    }
  }
  Network read(const float* from, const Standardisation& input) const {
    Network network;
    network.input = input;
    for (const Layer& at : layers) {
      mlp::Layer layer{at.inputs, at.outputs, {}, {}, at.activation};
      for (std::size_t o = 0; o < at.outputs; ++o) {
        const float* row = from + at.weight + o * stride_of(at.inputs);
        layer.weight.insert(layer.weight.end(), row, row + at.inputs);
      }
      layer.bias.assign(from + at.bias, from + at.bias + at.outputs);
      network.layers.push_back(std::move(layer));
    }
    return network;
  }
};

/// A row as the network's first layer takes it.
void standardise(const Standardisation&, const float* row, std::size_t width, float* to);

/// What a difference of outputs and inputs is multiplied by in the gradient of its mean square.
inline float loss_scale(std::size_t rows, std::size_t width) {
  return static_cast<float>(2.0 / (static_cast<double>(rows) * static_cast<double>(width)));
}

}  // namespace lanner::mlp
