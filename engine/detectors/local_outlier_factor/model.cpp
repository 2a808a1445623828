#include "engine/detectors/local_outlier_factor/model.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/detectors/local_outlier_factor/scorer.hpp"
#include "engine/detectors/references.hpp"
#include "kernels/density/reachability_formula.hpp"

namespace lanner::engine::local_outlier_factor {

void Model::save(TensorWriter& writer) const {
  save_references(learned_->references, writer);
  const std::int64_t k = static_cast<std::int64_t>(learned_->k);
  writer.add("k", {1}, std::span(&k, 1));
  writer.add("k_distance", {learned_->k_distance.size()}, std::span(learned_->k_distance));
  writer.add("density", {learned_->density.size()}, std::span(learned_->density));
}

std::shared_ptr<const Model> Model::load(const TensorReader& reader) {
  auto learned = std::make_shared<Learned>();
  learned->references = load_references(reader);
  const std::size_t distinct = learned->references.distinct();
  const auto k = reader.integers("k");
  require(k.size() == 1 && k[0] >= 1 &&
              static_cast<std::uint64_t>(k[0]) <= std::max<std::size_t>(distinct - 1, 1),
          "k is not a number of neighbours between 1 and the number of other distinct rows");
  learned->k = static_cast<std::size_t>(k[0]);
  learned->k_distance = reader.floats("k_distance");
  learned->density = reader.doubles("density");
  require(learned->k_distance.size() == distinct && learned->density.size() == distinct,
          "k_distance and density do not hold one value for each distinct row");
  const auto possible = [&](float distance) {
    return std::isfinite(distance) && (distance > 0 || distinct == 1);
  };
  require(std::all_of(learned->k_distance.begin(), learned->k_distance.end(), possible),
          "k_distance holds a value that is not finite and above 0");
  // Densities are the inverse of means of float32 distances: others could overflow a factor.
  require(std::all_of(learned->density.begin(), learned->density.end(),
                      [](double x) { return x > 1e-39 && x < 1e46; }),
          "density holds a value that is no inverse of a distance");
  return std::make_shared<Model>(std::move(learned));
}

std::unique_ptr<Scorer> Model::resident(Device& device) const {
  return std::make_unique<FactorScorer>(device, learned_);
}

std::vector<float> Model::leave_one_out_scores(Device& device) const {
  const nearest::ReferenceSet& references = learned_->references;
  const std::size_t distinct = references.distinct(), k = learned_->k;
  // Of a single distinct row, what is left is the row itself, or nothing to compare it with.
  if (distinct == 1) return std::vector<float>(references.rows(), 1.0f);

  const auto index = nearest::make_index(device, references, k);
  std::vector<std::uint32_t> self(distinct), row(distinct * k), taken(distinct * k), count(distinct);
  std::vector<float> distance(distinct * k), scores(distinct);
  for (std::size_t i = 0; i < distinct; ++i)
    self[i] = references.weight[i] == 1 ? static_cast<std::uint32_t>(i) : nearest::no_self;
  auto workspace = device.array<std::byte>(index->workspace_bytes(distinct, k, nearest::Count::distinct));
  const nearest::Neighbours found = {k, row.data(), distance.data(), taken.data(), count.data()};
  Stream stream = device.stream();
  nearest::search(stream, *index, references.view(), k, nearest::Count::distinct, self, workspace.span(),
                  found);
  for (std::size_t i = 0; i < distinct; ++i)
    scores[i] = density::finite_factor(
        density::neighbourhood(learned_->training(), found, i, static_cast<std::uint32_t>(i)).factor());
  return for_every_row(references, scores);
}

}  // namespace lanner::engine::local_outlier_factor
