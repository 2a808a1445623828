// What was learned: the training rows, each distinct one once, and the bandwidth.
#pragma once

#include <memory>

#include "engine/detectors/detector.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::engine::kernel_density {

/// 1 / (2 h^2) is a normal float32 for every bandwidth h between these.
inline constexpr double bandwidth_least = 1e-18, bandwidth_most = 1e18;

/// -log of the density where all training rows lie at the row itself: (d / 2) log(2 pi h^2). No score is
/// lower.
double lowest_score(std::size_t width, double bandwidth);
class Model final : public Fitted {
 public:
  Model(nearest::ReferenceSet references, double bandwidth);
  static std::shared_ptr<const Model> load(const TensorReader&);

  std::size_t width() const override { return references_->width; }
  std::unique_ptr<Scorer> resident(Device&) const override;
  void save(TensorWriter&) const override;
  Rows reference_rows() const override { return references_->view(); }
  std::vector<float> leave_one_out_scores(Device&) const override;

 private:
  std::shared_ptr<const nearest::ReferenceSet> references_;
  double bandwidth_;
};

}  // namespace lanner::engine::kernel_density
