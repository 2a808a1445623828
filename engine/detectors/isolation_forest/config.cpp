// What can be set, and fitting: trees grown on samples of the rows.
#include <span>
#include <utility>
#include <vector>

#include "engine/detectors/isolation_forest/grow.hpp"
#include "engine/detectors/isolation_forest/isolation_forest.hpp"
#include "engine/detectors/isolation_forest/model.hpp"
#include "engine/detectors/references.hpp"
#include "engine/detectors/samples.hpp"
#include "engine/detectors/tree_parameters.hpp"

namespace lanner::engine::isolation_forest {
namespace {

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      trees_parameter(),
      samples_parameter(),
      {"features",
       Kind::count_or_share,
       "all",
       "Features that each tree may split, drawn for each, or the share of them",
       {"all"},
       1,
       1e6},
  };
  return table;
}

std::shared_ptr<const Fitted> fit(const FitRequest& request) {
  check_training_rows(request.rows);
  const Settings& settings = request.settings;
  Growing growing;
  growing.trees = static_cast<std::size_t>(settings.integer("trees"));
  growing.samples = count_of(settings.number("samples"), request.rows.count);
  if (!settings.is("features", "all"))
    growing.features = count_of(settings.number("features"), request.rows.width);
  growing.seed = request.seed;
  Grown grown = grow(request.device, request.rows, growing, request.progress);
  return std::make_shared<Model>(std::make_shared<const Grown>(std::move(grown)));
}

}  // namespace

Detector detector() {
  return {"isolation_forest",
          "How few random splits it takes to set a row apart from the training rows.",
          "Liu, Ting & Zhou 2008, Isolation Forest",
          parameters(),
          fit,
          [](const TensorReader& reader, const Settings&) -> std::shared_ptr<const Fitted> {
            return Model::load(reader);
          }};
}

}  // namespace lanner::engine::isolation_forest
