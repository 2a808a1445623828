#include "engine/detectors/isolation_forest/model.hpp"

#include <algorithm>
#include <span>
#include <stdexcept>
#include <vector>

#include "engine/detectors/isolation_forest/scorer.hpp"
#include "engine/detectors/references.hpp"

namespace lanner::engine::isolation_forest {

void Model::save(TensorWriter& writer) const {
  const forest::Forest& forest = grown_->forest;
  const std::int64_t width = static_cast<std::int64_t>(forest.width),
                     samples = static_cast<std::int64_t>(grown_->samples);
  writer.add("width", {1}, std::span(&width, 1));
  writer.add("samples", {1}, std::span(&samples, 1));
  writer.add("tree_begin", {forest.tree_begin.size()}, std::span(forest.tree_begin));
  writer.add("left", {forest.nodes()}, std::span(forest.left));
  writer.add("feature", {forest.nodes()}, std::span(forest.feature));
  writer.add("threshold", {forest.nodes()}, std::span(forest.threshold));
  writer.add("length", {forest.nodes()}, std::span(forest.length));
  writer.add("constant_feature", {forest.constants()}, std::span(forest.constant_feature));
  writer.add("constant_value", {forest.constants()}, std::span(forest.constant_value));
}

std::shared_ptr<const Model> Model::load(const TensorReader& reader) {
  auto grown = std::make_shared<Grown>();
  forest::Forest& forest = grown->forest;
  const auto width = reader.integers("width"), samples = reader.integers("samples");
  require(width.size() == 1 && width[0] > 0, "width is not one number above 0");
  require(samples.size() == 1 && samples[0] >= 2 && samples[0] <= static_cast<std::int64_t>(samples_max),
          "samples is not one number of at least 2");
  forest.width = static_cast<std::size_t>(width[0]);
  grown->samples = static_cast<std::size_t>(samples[0]);
  forest.tree_begin = reader.unsigned_integers("tree_begin");
  forest.left = reader.unsigned_integers("left");
  forest.feature = reader.unsigned_integers("feature");
  forest.threshold = reader.floats("threshold");
  forest.length = reader.floats("length");
  forest.constant_feature = reader.unsigned_integers("constant_feature");
  forest.constant_value = reader.floats("constant_value");
  require(forest.trees() > 0, "tree_begin holds no tree");
  require(std::all_of(forest.length.begin(), forest.length.end(), [](float x) { return x >= 0; }),
          "length holds a value that is no length");
  set_scale(forest, grown->samples);
  try {
    forest::validate(forest);
  } catch (const std::invalid_argument& wrong) {
    throw InvalidModel(wrong.what());
  }
  return std::make_shared<Model>(std::move(grown));
}

std::unique_ptr<Scorer> Model::resident(Device& device) const {
  return std::make_unique<IsolationScorer>(device, grown_);
}

}  // namespace lanner::engine::isolation_forest
