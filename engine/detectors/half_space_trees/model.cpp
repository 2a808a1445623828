#include "engine/detectors/half_space_trees/model.hpp"

#include "engine/detectors/forests.hpp"
#include "engine/detectors/half_space_trees/grow.hpp"

namespace lanner::engine::half_space_trees {

void Model::save(TensorWriter& writer) const {
  save_forest(*forest_, writer);
}

std::shared_ptr<const Model> Model::load(const TensorReader& reader) {
  forest::Forest forest = load_forest(reader);
  set_scale(forest);
  check_forest(forest);
  return std::make_shared<Model>(std::make_shared<const forest::Forest>(std::move(forest)));
}

std::unique_ptr<Scorer> Model::resident(Device& device) const {
  return std::make_unique<ForestScorer>(device, forest_);
}

}  // namespace lanner::engine::half_space_trees
