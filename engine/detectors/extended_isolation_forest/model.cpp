#include "engine/detectors/extended_isolation_forest/model.hpp"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "engine/detectors/extended_isolation_forest/scorer.hpp"
#include "engine/detectors/isolation_forest/grow.hpp"
#include "engine/detectors/references.hpp"

namespace lanner::engine::extended_isolation_forest {

void Model::save(TensorWriter& writer) const {
  const oblique_forest::ObliqueForest& forest = grown_->forest;
  const auto samples = static_cast<std::int64_t>(grown_->samples);
  writer.add("input.shift", {forest.width}, std::span(forest.input.shift));
  writer.add("input.scale", {forest.width}, std::span(forest.input.scale));
  writer.add("input.limit", {1}, std::span(&forest.input.limit, 1));
  writer.add("samples", {1}, std::span(&samples, 1));
  writer.add("seen", {forest.seen.size()}, std::span(forest.seen));
  writer.add("tree_begin", {forest.tree_begin.size()}, std::span(forest.tree_begin));
  writer.add("left", {forest.nodes()}, std::span(forest.left));
  writer.add("length", {forest.nodes()}, std::span(forest.length));
  if (!forest.feature.empty())
    writer.add("feature", {forest.cuts(), forest.mixed}, std::span(forest.feature));
  writer.add("weight", {forest.cuts(), forest.mixed}, std::span(forest.weight));
  writer.add("centre", {forest.cuts(), forest.mixed}, std::span(forest.centre));
  writer.add("threshold", {forest.cuts()}, std::span(forest.threshold));
}

std::shared_ptr<const Model> Model::load(const TensorReader& reader) {
  auto grown = std::make_shared<Grown>();
  oblique_forest::ObliqueForest& forest = grown->forest;
  forest.input.shift = reader.floats("input.shift");
  forest.input.scale = reader.floats("input.scale");
  forest.width = forest.input.shift.size();
  require(forest.width > 0, "input.shift is of no features");
  const std::vector<float> limit = reader.floats("input.limit");
  require(limit.size() == 1, "input.limit is not one number");
  forest.input.limit = limit[0];
  const std::vector<std::int64_t> samples = reader.integers("samples");
  require(samples.size() == 1 && samples[0] >= 2 &&
              samples[0] <= static_cast<std::int64_t>(isolation_forest::samples_max),
          "samples is not one number from 2 to 2^30");
  grown->samples = static_cast<std::size_t>(samples[0]);
  forest.seen = reader.unsigned_integers("seen");
  forest.tree_begin = reader.unsigned_integers("tree_begin");
  require(forest.trees() > 0, "tree_begin holds no tree");
  forest.left = reader.unsigned_integers("left");
  forest.length = reader.floats("length");
  require(std::all_of(forest.length.begin(), forest.length.end(), [](float x) { return x >= 0; }),
          "length holds a value that is no length");
  const std::vector<std::size_t>& shape = reader.shape("weight");
  require(shape.size() == 2, "weight is no matrix");
  forest.mixed = shape[1];
  require(reader.shape("centre") == shape, "centre and weight are not of the same shape");
  require(!reader.has("feature") || reader.shape("feature") == shape,
          "feature and weight are not of the same shape");
  if (reader.has("feature")) forest.feature = reader.unsigned_integers("feature");
  forest.weight = reader.floats("weight");
  forest.centre = reader.floats("centre");
  forest.threshold = reader.floats("threshold");
  set_scale(*grown);
  try {
    oblique_forest::validate(forest);
  } catch (const std::invalid_argument& wrong) {
    throw InvalidModel(wrong.what());
  }
  return std::make_shared<Model>(std::move(grown));
}

std::unique_ptr<Scorer> Model::resident(Device& device) const {
  return std::make_unique<ObliqueForestScorer>(device, grown_->forest);
}

}  // namespace lanner::engine::extended_isolation_forest
