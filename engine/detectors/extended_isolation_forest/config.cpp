// What can be set, and fitting: trees of hyperplanes on samples of the rows.
#include <span>
#include <utility>
#include <vector>

#include "engine/detectors/extended_isolation_forest/extended_isolation_forest.hpp"
#include "engine/detectors/extended_isolation_forest/grow.hpp"
#include "engine/detectors/extended_isolation_forest/model.hpp"
#include "engine/detectors/references.hpp"
#include "engine/detectors/samples.hpp"
#include "engine/detectors/tree_parameters.hpp"

namespace lanner::engine::extended_isolation_forest {
namespace {

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      trees_parameter(),
      samples_parameter(),
      {"extension_level",
       Kind::integer,
       "full",
       "How many features a cut mixes, less one: 0 cuts one feature at a time, as isolation_forest does; "
       "full, or as many as there are: all",
       {"full"},
       0,
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
  if (!settings.is("extension_level", "full"))
    growing.mixed = static_cast<std::size_t>(settings.integer("extension_level")) + 1;
  growing.seed = request.seed;
  return std::make_shared<Model>(
      std::make_shared<const Grown>(grow(request.device, request.rows, growing, request.progress)));
}

}  // namespace

Detector detector() {
  return {"extended_isolation_forest",
          "How few random cuts by hyperplanes set a row apart from the training rows.",
          "Hariri, Carrasco Kind & Brunner 2021, Extended Isolation Forest",
          parameters(),
          fit,
          [](const TensorReader& reader, const Settings&) -> std::shared_ptr<const Fitted> {
            return Model::load(reader);
          }};
}

}  // namespace lanner::engine::extended_isolation_forest
