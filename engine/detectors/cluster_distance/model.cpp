#include "engine/detectors/cluster_distance/model.hpp"

#include "engine/detectors/nearest_neighbours/scorer.hpp"
#include "engine/detectors/references.hpp"

namespace lanner::engine::cluster_distance {

void Model::save(TensorWriter& writer) const {
  save_references(*centres_, writer);
}

std::shared_ptr<const Model> Model::load(const TensorReader& reader) {
  return std::make_shared<Model>(load_references(reader));
}

std::unique_ptr<Scorer> Model::resident(Device& device) const {
  return std::make_unique<nearest_neighbours::NeighbourScorer>(device, centres_, 1, nearest::Summary::kth);
}

}  // namespace lanner::engine::cluster_distance
