// What can be set, and fitting: standardise, train, set constants apart.
#include <algorithm>
#include <vector>

#include "engine/detectors/autoencoder/autoencoder.hpp"
#include "engine/detectors/networks.hpp"
#include "engine/detectors/references.hpp"
#include "engine/detectors/standardisation.hpp"

namespace lanner::engine::autoencoder {
namespace {

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      {"hidden",
       Kind::integers,
       "auto",
       "Widths of the hidden layers; auto is h, b, h with as many as there are features, h = 8 to 64, b = 2 "
       "to "
       "16 and half of them",
       {"auto"},
       1,
       4096},
      {"activation",
       Kind::word,
       "tanh",
       "What a hidden layer does to its sums; tanh ranks and explains better, rectifier scores faster",
       {"tanh", "rectifier", "sigmoid", "identity"}},
      {"epochs", Kind::integer, "40", "Most passes over the training rows", {}, 1, 100000},
      {"batch", Kind::integer, "128", "Rows between two steps of training", {}, 1, 1048576},
      {"learning_rate", Kind::number, "0.001", "Adam's step size", {}, 1e-8, 1},
      {"validation_share",
       Kind::number,
       "0.1",
       "Share of the rows held out to tell when to stop; 0 stops at the last epoch",
       {},
       0,
       0.5},
      {"patience",
       Kind::integer,
       "5",
       "Epochs without a better validation error before stopping",
       {},
       1,
       100000},
  };
  return table;
}

std::vector<std::size_t> widths_of(const Settings& settings, std::size_t features) {
  std::vector<std::size_t> widths = {features};
  if (settings.is("hidden", "auto")) {
    const std::size_t outer = std::clamp<std::size_t>(features, 8, 64);
    const std::size_t inner = std::clamp<std::size_t>(features / 2, 2, 16);
    widths.insert(widths.end(), {outer, inner, outer});
  } else {
    for (std::int64_t width : settings.integers("hidden")) widths.push_back(static_cast<std::size_t>(width));
  }
  widths.push_back(features);
  return widths;
}

mlp::Activation activation_of(const Settings& settings) {
  return activation_named(settings.word("activation")).value();
}

std::shared_ptr<const Fitted> fit(const FitRequest& request) {
  check_training_rows(request.rows);
  const Settings& settings = request.settings;
  mlp::Training training;
  training.widths = widths_of(settings, request.rows.width);
  training.input = standardisation_of(request.rows, 20);
  training.hidden = activation_of(settings);
  training.epochs_max = static_cast<int>(settings.integer("epochs"));
  training.batch = static_cast<std::size_t>(settings.integer("batch"));
  training.learning_rate = settings.number("learning_rate");
  training.validation_share = settings.number("validation_share");
  training.patience = static_cast<int>(settings.integer("patience"));
  training.seed = request.seed;
  const auto progress = [&](int epochs, double, double) {
    if (request.progress && epochs < training.epochs_max)
      request.progress(static_cast<double>(epochs) / training.epochs_max, "network training");
  };
  mlp::Network network = mlp::train(request.gpu_or_cpu(), request.rows, training, progress);
  set_apart(network, constant_features(request.rows));
  if (request.progress) request.progress(1, "network trained");
  return std::make_shared<Reconstruction>(std::move(network));
}

}  // namespace

Detector detector() {
  return {
      "autoencoder",
      "How badly a small neural network, trained to reproduce the training rows, reproduces a row.",
      "Hawkins, He, Williams & Baxter 2002, Outlier Detection Using Replicator Neural Networks; Sakurada & "
      "Yairi 2014",
      parameters(),
      fit,
      [](const TensorReader& reader, const Settings&) -> std::shared_ptr<const Fitted> {
        return std::make_shared<Reconstruction>(load_network(reader));
      }};
}

}  // namespace lanner::engine::autoencoder
