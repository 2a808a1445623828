#include "kernels/mlp/mlp.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>

#include "kernels/device/gpu.hpp"
#include "kernels/mlp/forward_gpu.hpp"
#include "kernels/mlp/packed.hpp"

namespace lanner::mlp {
namespace {

constexpr std::size_t alignment = 64;

std::size_t round_up(std::size_t n, std::size_t to) {
  return (n + to - 1) / to * to;
}

const ForwardTier& tier_of(CpuTier tier) {
  switch (tier) {
    case CpuTier::avx512:
      return forward_avx512;
    case CpuTier::avx2:
      return forward_avx2;
    case CpuTier::scalar:
      break;
  }
  return forward_scalar;
}

/// Whether any finite input becomes another one.
bool changes(const Standardisation& input) {
  const auto is = [](float wanted) {
    return
        [wanted](float v) { return std::bit_cast<std::int32_t>(v) == std::bit_cast<std::int32_t>(wanted); };
  };
  return !(std::ranges::all_of(input.shift, is(0.0f)) && std::ranges::all_of(input.scale, is(1.0f)) &&
           (input.shift.empty() || input.limit == std::numeric_limits<float>::max()));
}

/// At most how far an output is from 0 before its activation, by sizes in double; twice that leaves room for
/// every rounding of a chain.
double furthest(const Layer& layer, double input) {
  double most = 0;
  for (std::size_t o = 0; o < layer.outputs; ++o) {
    double sum = std::fabs(static_cast<double>(layer.bias[o]));
    for (std::size_t i = 0; i < layer.inputs; ++i)
      sum += std::fabs(static_cast<double>(layer.weight[o * layer.inputs + i])) * input;
    most = std::max(most, sum);
  }
  return 2 * most;
}

class CpuNetwork final : public ResidentNetwork {
 public:
  CpuNetwork(Device& device, const Network& network)
      : tier_(device.tier()), threads_(device.threads()), forward_(tier_of(tier_)) {
    const std::size_t together = forward_.shape.outputs;
    const bool is_standardised = changes(network.input);
    const std::size_t features = round_up(network.inputs(), 16);
    std::size_t values = is_standardised ? 2 * features : 0;
    for (const Layer& layer : network.layers) {
      const std::size_t outputs = round_up(layer.outputs, together);
      values += round_up(outputs * layer.inputs, 16) + round_up(outputs, 16);
      operations_ += 2 * layer.outputs * layer.inputs;
    }
    packed_ = device.array<float>(values);
    float* next = packed_.data();
    if (is_standardised) {
      std::copy(network.input.shift.begin(), network.input.shift.end(), next);
      std::copy(network.input.scale.begin(), network.input.scale.end(), next + features);
      next += 2 * features;
    }
    constexpr double largest = std::numeric_limits<float>::max();
    double input = network.input.shift.empty() ? largest : static_cast<double>(network.input.limit);
    for (const Layer& layer : network.layers) {
      const std::size_t outputs = round_up(layer.outputs, together);
      float* weight = next;
      float* bias = weight + round_up(outputs * layer.inputs, 16);
      next = bias + round_up(outputs, 16);
      for (std::size_t o = 0; o < layer.outputs; ++o) {
        float* panel = weight + o / together * together * layer.inputs + o % together;
        for (std::size_t i = 0; i < layer.inputs; ++i)
          panel[i * together] = layer.weight[o * layer.inputs + i];
      }
      std::copy(layer.bias.begin(), layer.bias.end(), bias);
      const double output = furthest(layer, input);
      input = std::clamp(output, 1.0, largest);  // what the curved activations give is within 1
      layers_.push_back({layer.inputs, layer.outputs, weight, bias, layer.activation, output < largest});
    }
    // A buffer is [features, filled up to 8][rows of a tile]: what panels write and transposes read.
    const auto buffer = [&](std::size_t width) {
      return round_up(round_up(width, 8) * forward_.shape.rows, 16);
    };
    std::size_t hidden[2] = {};
    for (std::size_t l = 0; l + 1 < layers_.size(); ++l)
      hidden[l & 1] = std::max(hidden[l & 1], layers_[l].outputs);
    network_.layers = layers_.data();
    network_.count = layers_.size();
    if (is_standardised) {
      network_.shift = packed_.data();
      network_.scale = packed_.data() + features;
      network_.limit = network.input.limit;
    }
    network_.hidden[0] = buffer(network.inputs());
    network_.hidden[1] = network_.hidden[0] + buffer(hidden[0]);
    network_.output = network_.hidden[1] + buffer(hidden[1]);
    network_.scratch = network_.output + buffer(network.outputs());
  }

  std::size_t inputs() const override { return layers_.front().inputs; }
  std::size_t outputs() const override { return layers_.back().outputs; }
  std::size_t workspace_bytes(std::size_t) const override {
    return threads_ * network_.scratch * sizeof(float) + alignment;
  }

  void forward(Stream& stream, Rows rows, std::span<std::byte> workspace, MutableRows out) const override {
    run(stream, {{}, rows, out, nullptr, {}, false}, workspace);
  }
  void reconstruction_error(Stream& stream, Rows rows, std::span<std::byte> workspace, std::span<float> error,
                            MutableRows parts) const override {
    run(stream, {{}, rows, {}, error.data(), parts, true}, workspace);
  }
  void squared_length(Stream& stream, Rows rows, std::span<std::byte> workspace,
                      std::span<float> lengths) const override {
    run(stream, {{}, rows, {}, lengths.data(), {}, false}, workspace);
  }

 private:
  void run(Stream& stream, ForwardTask task, std::span<std::byte> workspace) const {
    if (stream.backend() != Backend::cpu || stream.tier() != tier_ || stream.device().threads() != threads_)
      throw std::invalid_argument("mlp: the network is resident on another device");
    task.network = network_;
    void* memory = workspace.data();
    std::size_t size = workspace.size();
    float* scratch =
        static_cast<float*>(std::align(alignment, threads_ * network_.scratch * sizeof(float), memory, size));
    auto piece = [&](std::size_t begin, std::size_t end, unsigned worker) {
      forward_.run(task, begin, end, scratch + worker * network_.scratch);
    };
    stream.for_range(task.rows.count, grain(), piece);
  }

  // Rows enough to be worth waking a thread for, in whole tiles.
  std::size_t grain() const { return round_up(5'000'000 / operations_ + 1, forward_.shape.rows); }

  CpuTier tier_;
  std::size_t threads_;
  const ForwardTier& forward_;
  std::size_t operations_ = 0;
  Array<float> packed_;
  std::vector<PackedLayer> layers_;
  PackedNetwork network_;
};

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

void check_rows(const ResidentNetwork& network, Rows rows) {
  if (rows.width != network.inputs())
    throw std::invalid_argument("mlp: rows have " + std::to_string(rows.width) +
                                " features, the network takes " + std::to_string(network.inputs()));
}

void check_output(Rows out, std::size_t count, std::size_t width) {
  if (out.count != count || out.width != width)
    throw std::invalid_argument("mlp: the output is [" + std::to_string(out.count) + ", " +
                                std::to_string(out.width) + "], needs [" + std::to_string(count) + ", " +
                                std::to_string(width) + "]");
}

void check_workspace(const ResidentNetwork& network, std::size_t rows, std::span<std::byte> workspace) {
  if (workspace.size() < network.workspace_bytes(rows))
    throw std::invalid_argument("mlp: the workspace has " + std::to_string(workspace.size()) +
                                " bytes, needs " + std::to_string(network.workspace_bytes(rows)));
}

}  // namespace

void validate(const Standardisation& input, std::size_t inputs) {
  if (input.shift.empty() && input.scale.empty()) return;
  if (input.shift.size() != inputs || input.scale.size() != inputs)
    throw std::invalid_argument("mlp: the standardisation is not one shift and one scale an input");
  const auto positive = [](float v) { return std::isfinite(v) && v > 0; };
  if (!all_finite(input.shift) || !std::all_of(input.scale.begin(), input.scale.end(), positive) ||
      !positive(input.limit))
    throw std::invalid_argument(
        "mlp: the standardisation has a value that isn't finite, or a scale or limit not above 0");
}

void validate(const Network& network) {
  if (network.layers.empty()) throw std::invalid_argument("mlp: a network needs at least one layer");
  validate(network.input, network.inputs());
  for (std::size_t l = 0; l < network.layers.size(); ++l) {
    const Layer& layer = network.layers[l];
    const std::string where = "mlp: layer " + std::to_string(l);
    if (layer.inputs == 0 || layer.outputs == 0) throw std::invalid_argument(where + " has a width of zero");
    if (l > 0 && layer.inputs != network.layers[l - 1].outputs)
      throw std::invalid_argument(where + " takes " + std::to_string(layer.inputs) +
                                  " inputs, the layer before gives " +
                                  std::to_string(network.layers[l - 1].outputs));
    if (layer.weight.size() / layer.inputs != layer.outputs || layer.weight.size() % layer.inputs != 0)
      throw std::invalid_argument(where + ": the number of weights is not outputs x inputs");
    if (layer.bias.size() != layer.outputs)
      throw std::invalid_argument(where + ": the number of biases is not its outputs");
    if (!all_finite(layer.weight) || !all_finite(layer.bias))
      throw std::invalid_argument(where + " has a weight or bias that isn't finite");
    if (layer.activation != Activation::identity && layer.activation != Activation::rectifier &&
        layer.activation != Activation::tanh && layer.activation != Activation::sigmoid)
      throw std::invalid_argument(where + " has an unknown activation");
  }
}

std::shared_ptr<const ResidentNetwork> make_resident(Device& device, const Network& network) {
  validate(network);
  if (device.backend() != Backend::cpu) return LANNER_ON_GPU(device, make_resident, device, network);
  return std::make_shared<CpuNetwork>(device, network);
}

void forward(Stream& stream, const ResidentNetwork& network, Rows rows, std::span<std::byte> workspace,
             MutableRows out) {
  check_rows(network, rows);
  check_output(out, rows.count, network.outputs());
  check_workspace(network, rows.count, workspace);
  network.forward(stream, rows, workspace, out);
}

void reconstruction_error(Stream& stream, const ResidentNetwork& network, Rows rows,
                          std::span<std::byte> workspace, std::span<float> error, MutableRows parts) {
  check_rows(network, rows);
  if (network.outputs() != network.inputs())
    throw std::invalid_argument("mlp: a reconstruction has as many outputs as inputs");
  if (error.size() != rows.count) throw std::invalid_argument("mlp: one error a row");
  if (parts.data) check_output(parts, rows.count, rows.width);
  if (rows.count == 0) return;
  check_workspace(network, rows.count, workspace);
  network.reconstruction_error(stream, rows, workspace, error, parts);
}

void squared_length(Stream& stream, const ResidentNetwork& network, Rows rows, std::span<std::byte> workspace,
                    std::span<float> lengths) {
  check_rows(network, rows);
  if (lengths.size() != rows.count) throw std::invalid_argument("mlp: one length a row");
  if (rows.count == 0) return;
  check_workspace(network, rows.count, workspace);
  network.squared_length(stream, rows, workspace, lengths);
}

}  // namespace lanner::mlp
