// What can be set, and fitting: trees of random cuts on samples of the rows.
#include <span>
#include <utility>
#include <vector>

#include "engine/detectors/random_cut_forest/grow.hpp"
#include "engine/detectors/random_cut_forest/model.hpp"
#include "engine/detectors/random_cut_forest/random_cut_forest.hpp"
#include "engine/detectors/references.hpp"
#include "engine/detectors/samples.hpp"
#include "engine/detectors/tree_parameters.hpp"

namespace lanner::engine::random_cut_forest {
namespace {

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      trees_parameter(),
      samples_parameter(),
      {"half_life",
       Kind::count_or_share,
       "none",
       "A row this many rows older than another, or this share of the training rows, is half as likely to be "
       "drawn; rows are in the order of time; none: all are as likely",
       {"none"},
       1,
       1e9},
      {"measure",
       Kind::word,
       "depth",
       "What makes a row anomalous: how near the root a cut would part it (depth), or how many rows would "
       "move down for it, or for rows like it (displacement, the paper's)",
       {"depth", "displacement"}},
  };
  return table;
}

Measure measure_of(const Settings& settings) {
  return settings.is("measure", "depth") ? Measure::depth : Measure::displacement;
}

std::shared_ptr<const Fitted> fit(const FitRequest& request) {
  check_training_rows(request.rows);
  const Settings& settings = request.settings;
  Growing growing;
  growing.trees = static_cast<std::size_t>(settings.integer("trees"));
  growing.samples = count_of(settings.number("samples"), request.rows.count);
  if (!settings.is("half_life", "none")) {
    const double given = settings.number("half_life");
    growing.half_life = given < 1 ? given * static_cast<double>(request.rows.count) : given;
  }
  growing.measure = measure_of(settings);
  growing.seed = request.seed;
  return std::make_shared<Model>(
      std::make_shared<const Grown>(grow(request.device, request.rows, growing, request.progress)));
}

}  // namespace

Detector detector() {
  return {"random_cut_forest",
          "How soon a random cut would part a row from the training rows; recent ones can count more.",
          "Guha, Mishra, Roy & Schrijvers 2016, Robust Random Cut Forest Based Anomaly Detection on Streams",
          parameters(),
          fit,
          [](const TensorReader& reader, const Settings& settings) -> std::shared_ptr<const Fitted> {
            return Model::load(reader, measure_of(settings));
          }};
}

}  // namespace lanner::engine::random_cut_forest
