// Scores rows by -log density.
//
// Contributions: the base is the lowest score there can be, (d / 2) log(2 pi h^2): all training rows at the
// row itself. What a score exceeds it by splits over the features as the kernel-weighted mean of (q_j -
// r_j)^2 / (2 h^2) (density::attraction); evenly, where that is zero in every feature.
#pragma once

#include <memory>

#include "engine/detectors/detector.hpp"
#include "kernels/density/kernel_sum.hpp"

namespace lanner::engine::kernel_density {

class DensityScorer final : public Scorer {
 public:
  DensityScorer(Device&, std::shared_ptr<const nearest::ReferenceSet>, double bandwidth);

  std::size_t width() const override { return kernel_->width(); }
  std::size_t workspace_bytes(std::size_t rows_max) const override;
  void score(Stream&, Rows rows, std::span<std::byte> workspace, std::span<float> scores) const override;
  void contributions(Stream&, Rows rows, std::span<std::byte> workspace, MutableRows out) const override;
  float base() const override { return base_; }

 private:
  std::shared_ptr<const density::ResidentKernelSum> kernel_;
  double log_rows_;
  double lowest_;
  float base_;
};

}  // namespace lanner::engine::kernel_density
