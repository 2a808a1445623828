// Scores rows by the sum of their values' penalties, which are the contributions: exactly additive, base 0.
#pragma once

#include <memory>

#include "engine/detectors/detector.hpp"
#include "kernels/density/histogram.hpp"

namespace lanner::engine::histogram {

class HistogramScorer final : public Scorer {
 public:
  HistogramScorer(Device& device, const density::Histograms& histograms)
      : histograms_(density::make_histograms(device, histograms)) {}

  std::size_t width() const override { return histograms_->width(); }
  std::size_t workspace_bytes(std::size_t rows_max) const override;
  void score(Stream&, Rows rows, std::span<std::byte> workspace, std::span<float> scores) const override;
  void contributions(Stream&, Rows rows, std::span<std::byte> workspace, MutableRows out) const override;
  float base() const override { return 0; }

 private:
  std::shared_ptr<const density::ResidentHistograms> histograms_;
};

}  // namespace lanner::engine::histogram
