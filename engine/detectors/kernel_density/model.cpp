#include "engine/detectors/kernel_density/model.hpp"

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>
#include <vector>

#include "engine/detectors/kernel_density/scorer.hpp"
#include "engine/detectors/references.hpp"
#include "kernels/density/kernel_sum_formula.hpp"

namespace lanner::engine::kernel_density {

double lowest_score(std::size_t width, double bandwidth) {
  return static_cast<double>(width) / 2 * std::log(2 * std::numbers::pi * bandwidth * bandwidth);
}

Model::Model(nearest::ReferenceSet references, double bandwidth)
    : references_(std::make_shared<const nearest::ReferenceSet>(std::move(references))),
      bandwidth_(bandwidth) {}

void Model::save(TensorWriter& writer) const {
  save_references(*references_, writer);
  writer.add("bandwidth", {1}, std::span(&bandwidth_, 1));
}

std::shared_ptr<const Model> Model::load(const TensorReader& reader) {
  nearest::ReferenceSet references = load_references(reader);
  const auto bandwidth = reader.doubles("bandwidth");
  require(bandwidth.size() == 1 && bandwidth[0] >= bandwidth_least && bandwidth[0] <= bandwidth_most,
          "bandwidth is not one number from 1e-18 to 1e18");
  return std::make_shared<Model>(std::move(references), bandwidth[0]);
}

std::unique_ptr<Scorer> Model::resident(Device& device) const {
  return std::make_unique<DensityScorer>(device, references_, bandwidth_);
}

std::vector<float> Model::leave_one_out_scores(Device& device) const {
  const std::size_t distinct = references_->distinct(), rows = references_->rows();
  const double lowest = lowest_score(width(), bandwidth_);
  // Without its only row a set has no density to tell.
  if (rows == 1) return {};
  const auto kernel = density::make_kernel_sum(device, *references_, bandwidth_);
  auto workspace = device.array<std::byte>(kernel->workspace_bytes(distinct));
  std::vector<std::uint32_t> self(distinct);
  std::iota(self.begin(), self.end(), 0u);
  std::vector<double> sums(distinct);
  Stream stream = device.stream();
  density::log_kernel_sum(stream, *kernel, references_->view(), self, workspace.span(), sums);
  std::vector<float> scores(distinct);
  const double log_rows = std::log(static_cast<double>(rows - 1));
  for (std::size_t i = 0; i < distinct; ++i)
    scores[i] = density::kernel_sum::negative_log_density(sums[i], lowest, log_rows);
  return for_every_row(*references_, scores);
}

}  // namespace lanner::engine::kernel_density
