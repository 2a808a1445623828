#include "engine/detectors/autoencoder/import.hpp"

#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "engine/detectors/networks.hpp"

namespace lanner::engine::autoencoder {
namespace {

constexpr std::size_t hidden_max = 4096;

[[noreturn]] void refuse(const std::string& where, const std::string& found, const std::string& allowed) {
  throw std::invalid_argument(where + ": found " + found + ", allowed " + allowed);
}

// Scores need a standardisation, if only one that changes nothing.
mlp::Standardisation standardisation_of(const ForeignScale& given, std::size_t inputs) {
  mlp::Standardisation input{std::vector<float>(inputs, 0.0f), std::vector<float>(inputs, 1.0f),
                             std::numeric_limits<float>::max()};
  if (given.mean.empty() && given.scale.empty()) return input;
  for (const auto& [name, values] : {std::pair{"mean", given.mean}, std::pair{"scale", given.scale}})
    if (values.size() != inputs)
      refuse(name, std::to_string(values.size()) + " values", "one a feature: " + std::to_string(inputs));
  for (std::size_t j = 0; j < inputs; ++j) {
    input.shift[j] = static_cast<float>(given.mean[j]);
    if (!std::isfinite(input.shift[j]))
      refuse("mean of feature " + std::to_string(j), std::to_string(given.mean[j]), "a finite float32");
    input.scale[j] = static_cast<float>(1 / given.scale[j]);
    if (!(input.scale[j] > 0) || !std::isfinite(input.scale[j]))
      refuse("scale of feature " + std::to_string(j), std::to_string(given.scale[j]),
             "a number above 0 whose inverse is a finite float32");
  }
  return input;
}

}  // namespace

Imported import_network(std::vector<mlp::Layer> layers, const ForeignScale& scale) {
  if (layers.size() < 2)
    refuse("layers", std::to_string(layers.size()), "at least 2: an autoencoder has a hidden one");
  std::string hidden;
  for (std::size_t l = 0; l + 1 < layers.size(); ++l) {
    if (layers[l].outputs > hidden_max)
      refuse("layer " + std::to_string(l), std::to_string(layers[l].outputs) + " outputs",
             "at most " + std::to_string(hidden_max));
    hidden += (l > 0 ? "," : "") + std::to_string(layers[l].outputs);
  }
  const std::size_t inputs = layers.front().inputs, outputs = layers.back().outputs;
  mlp::Network network{std::move(layers)};
  mlp::validate(network);
  if (inputs != outputs)
    refuse("layers", std::to_string(inputs) + " inputs and " + std::to_string(outputs) + " outputs",
           "as many outputs as inputs");
  network.input = standardisation_of(scale, inputs);
  const std::map<std::string, std::string> settings{
      {"hidden", hidden}, {"activation", std::string(name_of(network.layers.front().activation))}};
  return {"autoencoder", std::make_shared<Reconstruction>(std::move(network)), settings};
}

}  // namespace lanner::engine::autoencoder
