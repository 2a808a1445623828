// What was learned: the distinct training rows, their k-distances and their local reachability densities.
#pragma once

#include <memory>
#include <vector>

#include "engine/detectors/detector.hpp"
#include "kernels/density/reachability.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::engine::local_outlier_factor {

struct Learned {
  nearest::ReferenceSet references;
  std::size_t k = 1;              ///< 1 <= k <= distinct rows
  std::vector<float> k_distance;  ///< [distinct], above 0 unless there is but one distinct row
  std::vector<double> density;    ///< [distinct], finite and above 0

  density::TrainingDensity training() const { return {references.weight, k_distance, density}; }
};

class Model final : public Fitted {
 public:
  explicit Model(std::shared_ptr<const Learned> learned) : learned_(std::move(learned)) {}
  static std::shared_ptr<const Model> load(const TensorReader&);

  std::size_t width() const override { return learned_->references.width; }
  std::unique_ptr<Scorer> resident(Device&) const override;
  void save(TensorWriter&) const override;
  Rows reference_rows() const override { return learned_->references.view(); }
  /// A row that occurred once is scored without itself, and one that occurred w > 1 times against w - 1 of
  /// them. The other rows' densities stay as they were fitted (as in the original paper's factors of the
  /// training rows).
  std::vector<float> leave_one_out_scores(Device&) const override;

 private:
  std::shared_ptr<const Learned> learned_;
};

}  // namespace lanner::engine::local_outlier_factor
