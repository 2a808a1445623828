#include "engine/detectors/autoencoder/model.hpp"

#include <stdexcept>
#include <string>
#include <vector>

#include "engine/detectors/autoencoder/scorer.hpp"
#include "engine/detectors/references.hpp"

namespace lanner::engine::autoencoder {
namespace {

// The numbers that stand for activations in files.
constexpr mlp::Activation activations[] = {mlp::Activation::identity, mlp::Activation::rectifier,
                                           mlp::Activation::tanh};

std::uint32_t number_of(mlp::Activation activation) {
  std::uint32_t number = 0;
  while (activations[number] != activation) ++number;
  return number;
}

std::string name_of(std::size_t layer, std::string_view part) {
  return "layers." + std::to_string(layer) + "." + std::string(part);
}

}  // namespace

void Model::save(TensorWriter& writer) const {
  const mlp::Standardisation& input = network_.input;
  writer.add("input.shift", {input.shift.size()}, std::span(input.shift));
  writer.add("input.scale", {input.scale.size()}, std::span(input.scale));
  writer.add("input.limit", {1}, std::span(&input.limit, 1));
  std::vector<std::uint32_t> numbers;
  for (std::size_t l = 0; l < network_.layers.size(); ++l) {
    const mlp::Layer& layer = network_.layers[l];
    writer.add(name_of(l, "weight"), {layer.outputs, layer.inputs}, std::span(layer.weight));
    writer.add(name_of(l, "bias"), {layer.outputs}, std::span(layer.bias));
    numbers.push_back(number_of(layer.activation));
  }
  writer.add("activations", {numbers.size()}, std::span(numbers));
}

std::shared_ptr<const Model> Model::load(const TensorReader& reader) {
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
                              reader.floats(name_of(l, "bias")), activations[number]});
  }
  try {
    mlp::validate(network);
  } catch (const std::invalid_argument& wrong) {
    throw InvalidModel(wrong.what());
  }
  require(network.inputs() == network.outputs(), "the network's outputs are not as many as its inputs");
  require(network.input.shift.size() == network.inputs(), "input.shift is not one value a feature");
  return std::make_shared<Model>(std::move(network));
}

std::unique_ptr<Scorer> Model::resident(Device& device) const {
  return std::make_unique<AutoencoderScorer>(device, network_);
}

}  // namespace lanner::engine::autoencoder
