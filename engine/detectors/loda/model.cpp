#include "engine/detectors/loda/model.hpp"

#include <algorithm>

#include "engine/detectors/binned_penalties.hpp"
#include "engine/detectors/loda/scorer.hpp"
#include "engine/detectors/networks.hpp"
#include "engine/detectors/references.hpp"

namespace lanner::engine::loda {

void Model::save(TensorWriter& writer) const {
  save_network(learned_->projections, writer);
  save_tables(learned_->tables, writer);
}

std::shared_ptr<const Model> Model::load(const TensorReader& reader) {
  auto learned = std::make_shared<Learned>(Learned{load_network(reader), load_tables(reader)});
  const mlp::Layer& layer = learned->projections.layers.front();
  require(learned->projections.layers.size() == 1 && layer.activation == mlp::Activation::identity &&
              std::all_of(layer.bias.begin(), layer.bias.end(), [](float b) { return b == 0; }),
          "the projections are more than one matrix");
  require(learned->tables.width() == layer.outputs, "there is not one histogram a projection");
  return std::make_shared<Model>(std::move(learned));
}

std::unique_ptr<Scorer> Model::resident(Device& device) const {
  return std::make_unique<ProjectionScorer>(device, learned_);
}

}  // namespace lanner::engine::loda
