#include "engine/detectors/random_cut_forest/model.hpp"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "engine/detectors/random_cut_forest/scorer.hpp"
#include "engine/detectors/references.hpp"

namespace lanner::engine::random_cut_forest {
namespace {

constexpr std::size_t samples_max = std::size_t{1} << 30;

void check_masses(const Grown& grown) {
  const cut_forest::CutForest& forest = grown.forest;
  for (std::size_t t = 0; t < forest.trees(); ++t) {
    std::size_t sum = 0;
    for (std::size_t leaf = forest.node_begin[t] + t; leaf <= forest.node_begin[t + 1] + t; ++leaf) {
      require(grown.mass[leaf] > 0, "leaf_mass holds a leaf without rows");
      sum += grown.mass[leaf];
    }
    require(sum == grown.samples, "leaf_mass doesn't add up to a tree's rows");
  }
}

}  // namespace

void Model::save(TensorWriter& writer) const {
  const cut_forest::CutForest& forest = grown_->forest;
  const auto samples = static_cast<std::int64_t>(grown_->samples);
  writer.add("input.shift", {forest.width}, std::span(forest.input.shift));
  writer.add("input.scale", {forest.width}, std::span(forest.input.scale));
  writer.add("input.limit", {1}, std::span(&forest.input.limit, 1));
  writer.add("samples", {1}, std::span(&samples, 1));
  writer.add("node_begin", {forest.node_begin.size()}, std::span(forest.node_begin));
  writer.add("feature", {forest.nodes()}, std::span(forest.feature));
  writer.add("threshold", {forest.nodes()}, std::span(forest.threshold));
  writer.add("child", {forest.nodes(), 2}, std::span(forest.child));
  writer.add("leaf_point", {forest.leaves()}, std::span(forest.leaf_point));
  writer.add("leaf_mass", {forest.leaves()}, std::span(grown_->mass));
  writer.add("points", {forest.points.size() / forest.width, forest.width}, std::span(forest.points));
}

std::shared_ptr<const Model> Model::load(const TensorReader& reader, Measure measure) {
  auto grown = std::make_shared<Grown>();
  cut_forest::CutForest& forest = grown->forest;
  const std::vector<std::size_t>& shape = reader.shape("points");
  require(shape.size() == 2 && shape[1] > 0, "points is no matrix with columns");
  forest.width = shape[1];
  forest.points = reader.floats("points");
  forest.input.shift = reader.floats("input.shift");
  forest.input.scale = reader.floats("input.scale");
  const std::vector<float> limit = reader.floats("input.limit");
  require(limit.size() == 1, "input.limit is not one number");
  forest.input.limit = limit[0];
  const std::vector<std::int64_t> samples = reader.integers("samples");
  require(samples.size() == 1 && samples[0] > 0 && samples[0] <= static_cast<std::int64_t>(samples_max),
          "samples is not one number from 1 to 2^30");
  grown->samples = static_cast<std::size_t>(samples[0]);
  grown->measure = measure;
  forest.node_begin = reader.unsigned_integers("node_begin");
  forest.feature = reader.unsigned_integers("feature");
  forest.threshold = reader.floats("threshold");
  require(reader.shape("child") == std::vector<std::size_t>{forest.nodes(), 2},
          "child is not two numbers a node");
  forest.child = reader.unsigned_integers("child");
  forest.leaf_point = reader.unsigned_integers("leaf_point");
  grown->mass = reader.unsigned_integers("leaf_mass");
  require(grown->mass.size() == forest.leaves(), "leaf_mass is not one number a leaf");
  // Values follow from trees that are valid, which is not to be asked of values that are not there yet.
  forest.value.resize(forest.nodes());
  forest.leaf_apart.resize(forest.leaves());
  forest.leaf_same.resize(forest.leaves());
  try {
    cut_forest::validate(forest);
  } catch (const std::invalid_argument& wrong) {
    throw InvalidModel(wrong.what());
  }
  check_masses(*grown);
  set_values(*grown);
  return std::make_shared<Model>(std::move(grown));
}

std::unique_ptr<Scorer> Model::resident(Device& device) const {
  return std::make_unique<CutForestScorer>(device, *grown_);
}

}  // namespace lanner::engine::random_cut_forest
