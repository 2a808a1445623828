#include "engine/detectors/networks.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/detectors/references.hpp"
#include "engine/detectors/slot.hpp"
#include "kernels/arithmetic/scalar.hpp"

namespace lanner::engine {
namespace {

// By the numbers that stand for them in files.
struct Named {
  mlp::Activation activation;
  std::string_view name;
};
constexpr Named activations[] = {{mlp::Activation::identity, "identity"},
                                 {mlp::Activation::rectifier, "rectifier"},
                                 {mlp::Activation::tanh, "tanh"},
                                 {mlp::Activation::sigmoid, "sigmoid"}};

std::uint32_t number_of(mlp::Activation activation) {
  std::uint32_t number = 0;
  while (activations[number].activation != activation) ++number;
  return number;
}

std::string name_of(std::size_t layer, std::string_view part) {
  return "layers." + std::to_string(layer) + "." + std::string(part);
}

// One value as the kernels standardise it.
float standardised(const mlp::Standardisation& input, std::size_t j, float x) {
  return minimum(maximum((x - input.shift[j]) * input.scale[j], -input.limit), input.limit);
}

class ReconstructionScorer final : public Scorer {
 public:
  ReconstructionScorer(Device& device, const mlp::Network& network)
      : network_(mlp::make_resident(device, network)) {}

  std::size_t width() const override { return network_->inputs(); }
  float base() const override { return 0; }
  std::size_t workspace_bytes(std::size_t rows_max) const override {
    return workspace_alignment + piece_bytes<float>(rows_max) + network_->workspace_bytes(rows_max);
  }

  void score(Stream& stream, Rows rows, std::span<std::byte> workspace,
             std::span<float> scores) const override {
    check_scores(rows, width(), scores);
    if (rows.count > 0)
      mlp::reconstruction_error(stream, *network_, rows, workspace, scores.first(rows.count), {});
  }

  void contributions(Stream& stream, Rows rows, std::span<std::byte> workspace,
                     MutableRows out) const override {
    check_contributions(rows, width(), out);
    if (rows.count == 0) return;
    WorkspacePieces pieces(workspace);
    const std::span<float> scores = pieces.take<float>(rows.count);
    out.count = rows.count;
    mlp::reconstruction_error(stream, *network_, rows, pieces.rest(), scores, out);
  }

 private:
  std::shared_ptr<const mlp::ResidentNetwork> network_;
};

// The way back through the one layer of a network that has neither activation nor biases.
mlp::Network transposed(const mlp::Layer& layer) {
  mlp::Layer back{layer.outputs, layer.inputs, std::vector<float>(layer.weight.size()),
                  std::vector<float>(layer.inputs), mlp::Activation::identity};
  for (std::size_t o = 0; o < layer.outputs; ++o)
    for (std::size_t j = 0; j < layer.inputs; ++j)
      back.weight[j * layer.outputs + o] = layer.weight[o * layer.inputs + j];
  return {{std::move(back)}};
}

class SquaredLengthScorer final : public Scorer {
 public:
  SquaredLengthScorer(Device& device, std::shared_ptr<const mlp::Network> network)
      : plain_(std::move(network)),
        network_(mlp::make_resident(device, *plain_)),
        back_(mlp::make_resident(device, transposed(plain_->layers.front()))) {}

  std::size_t width() const override { return network_->inputs(); }
  float base() const override { return 0; }
  std::size_t workspace_bytes(std::size_t rows_max) const override {
    const std::size_t block = std::min(rows_max, explained_block);
    const std::size_t explained = piece_bytes<float>(block) + piece_bytes<float>(block * outputs()) +
                                  piece_bytes<float>(block * width()) +
                                  std::max(network_->workspace_bytes(block), back_->workspace_bytes(block));
    return workspace_alignment + std::max(network_->workspace_bytes(rows_max), explained);
  }

  void score(Stream& stream, Rows rows, std::span<std::byte> workspace,
             std::span<float> scores) const override {
    check_scores(rows, width(), scores);
    if (rows.count > 0)
      mlp::squared_length(stream, *network_, rows, WorkspacePieces(workspace).rest(),
                          scores.first(rows.count));
  }

  void contributions(Stream& stream, Rows rows, std::span<std::byte> workspace,
                     MutableRows out) const override {
    check_contributions(rows, width(), out);
    explain_in_blocks(explained_block, rows, out,
                      [&](Rows block, MutableRows of_block) { explain(stream, block, workspace, of_block); });
  }

 private:
  // Explained together: bounds the workspace, whatever the batch.
  static constexpr std::size_t explained_block = 64;

  std::size_t outputs() const { return network_->outputs(); }

  void explain(Stream& stream, Rows rows, std::span<std::byte> workspace, MutableRows out) const {
    WorkspacePieces pieces(workspace);
    const std::span<float> scores = pieces.take<float>(rows.count);
    const std::span<float> forward = pieces.take<float>(rows.count * outputs());
    const std::span<float> back = pieces.take<float>(rows.count * width());
    const std::span<std::byte> rest = pieces.rest();
    mlp::squared_length(stream, *network_, rows, rest, scores);
    mlp::forward(stream, *network_, rows, rest, {forward.data(), rows.count, outputs(), outputs()});
    mlp::forward(stream, *back_, {forward.data(), rows.count, outputs(), outputs()}, rest,
                 {back.data(), rows.count, width(), width()});
    for (std::size_t i = 0; i < rows.count; ++i)
      split(rows.row(i), static_cast<double>(scores[i]), back.data() + i * width(), out.row(i));
  }

  void split(const float* row, double score, const float* back, float* out) const {
    constexpr double largest = std::numeric_limits<float>::max();
    const mlp::Standardisation& input = plain_->input;
    const std::size_t n = input.shift.size();
    // Sums of four, so that an addition needn't wait for the last one.
    double sums[4] = {}, sizes[4] = {};
    for (std::size_t j = 0; j < n; ++j) {
      const double part = static_cast<double>(standardised(input, j, row[j])) * static_cast<double>(back[j]);
      sums[j % 4] += part;
      sizes[j % 4] += absolute(part);
      out[j] = static_cast<float>(minimum(maximum(part, -largest), largest));
    }
    const double sum = sums[0] + sums[1] + sums[2] + sums[3];
    const double size = sizes[0] + sizes[1] + sizes[2] + sizes[3];
    const double left = size > 0 ? (score - sum) / size : 0;
    for (std::size_t j = 0; j < n; ++j) {
      const double part = static_cast<double>(out[j]);
      out[j] = static_cast<float>(minimum(maximum(part + left * absolute(part), -largest), largest));
    }
  }

  std::shared_ptr<const mlp::Network> plain_;
  std::shared_ptr<const mlp::ResidentNetwork> network_, back_;
};

}  // namespace

std::string_view name_of(mlp::Activation activation) {
  return activations[number_of(activation)].name;
}

std::optional<mlp::Activation> activation_named(std::string_view name) {
  for (const Named& known : activations)
    if (known.name == name) return known.activation;
  return std::nullopt;
}

void save_network(const mlp::Network& network, TensorWriter& writer) {
  const mlp::Standardisation& input = network.input;
  writer.add("input.shift", {input.shift.size()}, std::span(input.shift));
  writer.add("input.scale", {input.scale.size()}, std::span(input.scale));
  writer.add("input.limit", {1}, std::span(&input.limit, 1));
  std::vector<std::uint32_t> numbers;
  for (std::size_t l = 0; l < network.layers.size(); ++l) {
    const mlp::Layer& layer = network.layers[l];
    writer.add(name_of(l, "weight"), {layer.outputs, layer.inputs}, std::span(layer.weight));
    writer.add(name_of(l, "bias"), {layer.outputs}, std::span(layer.bias));
    numbers.push_back(number_of(layer.activation));
  }
  writer.add("activations", {numbers.size()}, std::span(numbers));
}

mlp::Network load_network(const TensorReader& reader) {
  mlp::Network network;
  network.input.shift = reader.floats("input.shift");
  network.input.scale = reader.floats("input.scale");
  const std::vector<float> limit = reader.floats("input.limit");
  require(limit.size() == 1, "input.limit is not one number");
  network.input.limit = limit[0];
  for (std::uint32_t number : reader.unsigned_integers("activations")) {
    require(number < std::size(activations), "activations holds an unknown one");
    const std::size_t l = network.layers.size();
    const auto& shape = reader.shape(name_of(l, "weight"));
    require(shape.size() == 2, name_of(l, "weight") + " is not a matrix");
    network.layers.push_back({shape[1], shape[0], reader.floats(name_of(l, "weight")),
                              reader.floats(name_of(l, "bias")), activations[number].activation});
  }
  try {
    mlp::validate(network);
  } catch (const std::invalid_argument& wrong) {
    throw InvalidModel(wrong.what());
  }
  require(network.input.shift.size() == network.inputs(), "input.shift is not one value a feature");
  return network;
}

Reconstruction::Reconstruction(mlp::Network network) : network_(std::move(network)) {
  require(network_.inputs() == network_.outputs(), "the network's outputs are not as many as its inputs");
}

std::unique_ptr<Scorer> Reconstruction::resident(Device& device) const {
  return std::make_unique<ReconstructionScorer>(device, network_);
}

SquaredLength::SquaredLength(mlp::Network network)
    : network_(std::make_shared<const mlp::Network>(std::move(network))) {
  const mlp::Layer& layer = network_->layers.front();
  require(network_->layers.size() == 1 && layer.activation == mlp::Activation::identity &&
              std::all_of(layer.bias.begin(), layer.bias.end(), [](float b) { return b == 0; }),
          "the network is more than one matrix");
}

std::unique_ptr<Scorer> SquaredLength::resident(Device& device) const {
  return std::make_unique<SquaredLengthScorer>(device, network_);
}

}  // namespace lanner::engine
