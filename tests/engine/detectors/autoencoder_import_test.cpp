#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "engine/detectors/autoencoder/import.hpp"
#include "tests/engine/detectors/every_device.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the tests' own folder
using autoencoder::ForeignScale;
using autoencoder::import_network;
using mlp::Activation;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

using Layers = std::vector<mlp::Layer>;

Layers random_layers(const std::vector<std::size_t>& widths, const std::vector<Activation>& activations,
                     std::uint64_t seed = 1) {
  Random random(seed);
  Layers layers;
  for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
    mlp::Layer layer{widths[l], widths[l + 1], {}, {}, activations[l]};
    for (std::size_t i = 0; i < layer.inputs * layer.outputs; ++i)
      layer.weight.push_back(
          static_cast<float>(random.normal() / std::sqrt(static_cast<double>(layer.inputs))));
    for (std::size_t o = 0; o < layer.outputs; ++o) layer.bias.push_back(static_cast<float>(random.normal()));
    layers.push_back(std::move(layer));
  }
  return layers;
}

Layers usual_layers() {
  return random_layers({5, 8, 3, 8, 5},
                       {Activation::rectifier, Activation::tanh, Activation::sigmoid, Activation::identity});
}

double activated(Activation activation, double z) {
  switch (activation) {
    case Activation::rectifier:
      return std::max(z, 0.0);
    case Activation::tanh:
      return std::tanh(z);
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-z));
    case Activation::identity:
      break;
  }
  return z;
}

double error_of(const Layers& layers, const std::vector<double>& row) {
  std::vector<double> x = row;
  for (const mlp::Layer& layer : layers) {
    std::vector<double> y;
    for (std::size_t o = 0; o < layer.outputs; ++o) {
      double z = layer.bias[o];
      for (std::size_t i = 0; i < layer.inputs; ++i) z += layer.weight[o * layer.inputs + i] * x[i];
      y.push_back(activated(layer.activation, z));
    }
    x = y;
  }
  double sum = 0;
  for (std::size_t j = 0; j < row.size(); ++j) sum += (x[j] - row[j]) * (x[j] - row[j]);
  return sum / static_cast<double>(row.size());
}

TEST(AutoencoderImport, ScoresAreTheReconstructionErrorOnTheNetworksScale) {
  const Table queries = normal_rows(200, 5, 2, 30, 10);
  const std::vector<double> mean = {10, -3, 0, 12.5, 9}, scale = {30, 25, 100, 1.5, 20};
  for (const Activation last :
       {Activation::identity, Activation::rectifier, Activation::tanh, Activation::sigmoid}) {
    Layers layers = usual_layers();
    layers.back().activation = last;
    const auto plain = scores(*import_network(layers).fitted, queries);
    const auto scaled = scores(*import_network(layers, {mean, scale}).fitted, queries);
    for (std::size_t i = 0; i < queries.count(); ++i) {
      std::vector<double> row(queries.rows().row(i), queries.rows().row(i) + 5);
      EXPECT_NEAR(plain[i] / error_of(layers, row), 1, 1e-5);
      for (std::size_t j = 0; j < 5; ++j) row[j] = (row[j] - mean[j]) / scale[j];
      EXPECT_NEAR(scaled[i] / error_of(layers, row), 1, 1e-4);
    }
  }
}

// A fitted one counts what is further out than 20 deviations as so far out.
TEST(AutoencoderImport, NoValueIsHeldWithinALimit) {
  const Layers layers = random_layers({2, 2, 2}, {Activation::tanh, Activation::identity});
  const Table queries(2, {0, 1e6f, 0, 2e6f});
  const std::vector<double> zero = {0, 0}, one = {1, 1};
  for (const ForeignScale& scale : {ForeignScale{}, ForeignScale{zero, one}}) {
    const auto found = scores(*import_network(layers, scale).fitted, queries);
    EXPECT_NEAR(found[0] / 5e11f, 1, 1e-3);
    EXPECT_NEAR(found[1] / 2e12f, 1, 1e-3);
  }
}

TEST(AutoencoderImport, HasTheSameBitsOnEveryDeviceAndWhenSavedAndLoaded) {
  Table queries = normal_rows(150, 5, 3);
  queries.append(queries_for(queries, 4).rows());
  const std::vector<double> mean = {1, 2, 3, 4, 5}, scale = {1e-3, 1, 10, 0.3, 7};
  expect_same_everywhere("autoencoder", *import_network(usual_layers(), {mean, scale}).fitted, queries);
  // Too large to be fused on a GPU; the last one compares what a sigmoid gives.
  const Layers large = random_layers({40, 300, 40}, {Activation::sigmoid, Activation::sigmoid});
  expect_same_everywhere("autoencoder", *import_network(large).fitted, normal_rows(70, 40, 5));
}

TEST(AutoencoderImport, SettingsSayTheHiddenLayers) {
  const Imported imported = import_network(usual_layers());
  EXPECT_EQ(imported.detector, "autoencoder");
  EXPECT_EQ(imported.settings,
            (std::map<std::string, std::string>{{"hidden", "8,3,8"}, {"activation", "rectifier"}}));
  const Detector& detector = *find_detector("autoencoder");
  EXPECT_NO_THROW(Settings::parse(detector.parameters, imported.settings));
}

TEST(AutoencoderImport, RefusesWhatIsNoAutoencoder) {
  const auto refused = [](const std::function<void(Layers&)>& damage, const std::string& text) {
    Layers layers = usual_layers();
    damage(layers);
    EXPECT_THAT([&] { import_network(layers); }, ThrowsMessage<std::invalid_argument>(HasSubstr(text)));
  };
  refused([](Layers& l) { l.clear(); }, "layers: found 0, allowed at least 2");
  refused([](Layers& l) { l.resize(1); }, "layers: found 1, allowed at least 2");
  refused([](Layers& l) { l.pop_back(); },
          "layers: found 5 inputs and 8 outputs, allowed as many outputs as inputs");
  refused([](Layers& l) { std::swap(l[0], l[3]); }, "layer 1 takes 8 inputs, the layer before gives 5");
  refused([](Layers& l) { l[1].weight.pop_back(); }, "layer 1: the number of weights");
  refused([](Layers& l) { l[2].bias.clear(); }, "layer 2: the number of biases");
  refused([](Layers& l) { l[3].weight[7] = std::nanf(""); },
          "layer 3 has a weight or bias that isn't finite");
  refused([](Layers& l) { l[0].bias[0] = std::numeric_limits<float>::infinity(); },
          "layer 0 has a weight or bias");
  refused([](Layers& l) { l[0].outputs = 0; }, "width of zero");
  refused([](Layers& l) { l[0].outputs = l[1].inputs = std::size_t{1} << 62; }, "allowed at most 4096");
  refused([](Layers& l) { l[1].activation = static_cast<Activation>(17); }, "unknown activation");

  constexpr double infinity = std::numeric_limits<double>::infinity();
  const auto scale_refused = [](std::vector<double> mean, std::vector<double> scale,
                                const std::string& text) {
    EXPECT_THAT(
        [&] {
          import_network(usual_layers(), {mean, scale});
        },
        ThrowsMessage<std::invalid_argument>(HasSubstr(text)));
  };
  scale_refused({0, 0, 0, 0}, {1, 1, 1, 1, 1}, "mean: found 4 values, allowed one a feature: 5");
  scale_refused({0, 0, 0, 0, 0}, {}, "scale: found 0 values");
  scale_refused({0, 0, infinity, 0, 0}, {1, 1, 1, 1, 1}, "mean of feature 2");
  scale_refused({0, 0, 0, 0, 1e39}, {1, 1, 1, 1, 1}, "mean of feature 4");
  for (const double bad : {0.0, -1.0, infinity, std::nan(""), 1e-39, 1e300})
    scale_refused({0, 0, 0, 0, 0}, {1, bad, 1, 1, 1}, "scale of feature 1: found");
}

}  // namespace
}  // namespace lanner::engine
