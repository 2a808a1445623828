// What can be set, and fitting: trees and the mass of their leaves.
#include <span>
#include <utility>
#include <vector>

#include "engine/detectors/half_space_trees/grow.hpp"
#include "engine/detectors/half_space_trees/half_space_trees.hpp"
#include "engine/detectors/half_space_trees/model.hpp"
#include "engine/detectors/references.hpp"
#include "engine/detectors/tree_parameters.hpp"

namespace lanner::engine::half_space_trees {
namespace {

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      trees_parameter(),
      {"depth", Kind::integer, "15", "Most splits between a tree's root and a leaf", {}, 1, 20},
      {"leaf_share",
       Kind::number,
       "0.1",
       "A node that holds at most this share of the training rows is split no further",
       {},
       0.0001,
       0.5},
  };
  return table;
}

std::shared_ptr<const Fitted> fit(const FitRequest& request) {
  check_training_rows(request.rows);
  const Settings& settings = request.settings;
  Growing growing;
  growing.trees = static_cast<std::size_t>(settings.integer("trees"));
  growing.depth = static_cast<std::size_t>(settings.integer("depth"));
  growing.leaf_share = settings.number("leaf_share");
  growing.seed = request.seed;
  return std::make_shared<Model>(
      std::make_shared<const forest::Forest>(grow(request.device, request.rows, growing, request.progress)));
}

}  // namespace

Detector detector() {
  return {"half_space_trees",
          "How few of the training rows share the cells that random halvings of space put a row in.",
          "Tan, Ting & Liu 2011, Fast Anomaly Detection for Streaming Data",
          parameters(),
          fit,
          [](const TensorReader& reader, const Settings&) -> std::shared_ptr<const Fitted> {
            return Model::load(reader);
          }};
}

}  // namespace lanner::engine::half_space_trees
