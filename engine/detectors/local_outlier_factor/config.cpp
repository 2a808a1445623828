// What can be set, and fitting: each distinct row's k-distance and local reachability density.
#include <algorithm>
#include <numeric>
#include <vector>

#include "engine/detectors/local_outlier_factor/local_outlier_factor.hpp"
#include "engine/detectors/local_outlier_factor/model.hpp"
#include "engine/detectors/references.hpp"
#include "kernels/density/reachability_formula.hpp"
#include "kernels/nearest/plan.hpp"

namespace lanner::engine::local_outlier_factor {
namespace {

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      {"k", Kind::integer, "20", "How many distinct neighbours a row's density is compared with", {}, 1, 1e6},
  };
  return table;
}

void learn_densities(Device& device, Learned& learned, const Progress& progress) {
  const nearest::ReferenceSet& references = learned.references;
  const std::size_t distinct = references.distinct(), k = learned.k;
  learned.k_distance.assign(distinct, 0);
  learned.density.assign(distinct, 1);
  if (distinct == 1) return;

  const auto index = nearest::make_index(device, references, k);
  std::vector<std::uint32_t> self(distinct), row(distinct * k), taken(distinct * k), count(distinct);
  std::vector<float> distance(distinct * k);
  std::iota(self.begin(), self.end(), 0u);
  auto workspace = device.array<std::byte>(index->workspace_bytes(distinct, k, nearest::Count::distinct));
  const nearest::Neighbours found = {k, row.data(), distance.data(), taken.data(), count.data()};
  Stream stream = device.stream();
  nearest::search(stream, *index, references.view(), k, nearest::Count::distinct, self, workspace.span(),
                  found);
  if (progress) progress(0.9, "neighbours found");

  for (std::size_t i = 0; i < distinct; ++i) learned.k_distance[i] = distance[i * k + count[i] - 1];
  // In place: a row's density needs the k-distances alone, never another row's density.
  std::vector<double> local_density(distinct);
  for (std::size_t i = 0; i < distinct; ++i) {
    density::Neighbourhood sums = density::neighbourhood(learned.training(), found, i);
    sums.add(static_cast<double>(references.weight[i]) - 1, learned.k_distance[i], 0);
    local_density[i] = sums.local_density();
  }
  learned.density = std::move(local_density);
}

std::shared_ptr<const Fitted> fit(const FitRequest& request) {
  check_training_rows(request.rows);
  auto learned = std::make_shared<Learned>();
  learned->references = nearest::distinct_rows(request.rows);
  const std::size_t others = std::max<std::size_t>(learned->references.distinct() - 1, 1);
  learned->k = std::min(static_cast<std::size_t>(request.settings.integer("k")), others);
  learned->references.plan = nearest::plan_index(learned->references, learned->k);
  learn_densities(request.device, *learned, request.progress);
  if (request.progress) request.progress(1, "densities learned");
  return std::make_shared<Model>(std::move(learned));
}

}  // namespace

Detector detector() {
  return {"local_outlier_factor",
          "How much sparser a row's neighbourhood is than those of its neighbours.",
          "Breunig, Kriegel, Ng & Sander 2000, LOF: Identifying Density-Based Local Outliers",
          parameters(),
          fit,
          [](const TensorReader& reader, const Settings&) -> std::shared_ptr<const Fitted> {
            return Model::load(reader);
          }};
}

}  // namespace lanner::engine::local_outlier_factor
