// Scores rows by the lengths of their ways down trees of hyperplanes
// (kernels/oblique_forest/oblique_forest.hpp).
//
// Contributions: as engine/detectors/forests.hpp states for forests, but that a cut mixes features. What it
// moves the expected length by is shared out among them by how far each moves the row's sum away from that of
// the mean of the node's training rows: |weight (value - mean)|.
#pragma once

#include <memory>
#include <span>

#include "engine/detectors/detector.hpp"
#include "engine/detectors/forests.hpp"
#include "kernels/oblique_forest/oblique_forest.hpp"

namespace lanner::engine::extended_isolation_forest {

class ObliqueForestScorer final : public Scorer {
 public:
  ObliqueForestScorer(Device&, const oblique_forest::ObliqueForest&);

  std::size_t width() const override { return forest_->width(); }
  std::size_t workspace_bytes(std::size_t rows_max) const override;
  void score(Stream&, Rows rows, std::span<std::byte> workspace, std::span<float> scores) const override;
  void contributions(Stream&, Rows rows, std::span<std::byte> workspace, MutableRows out) const override;
  float base() const override { return score_.base(); }

 private:
  std::shared_ptr<const oblique_forest::ResidentObliqueForest> forest_;
  LengthScore score_;
};

}  // namespace lanner::engine::extended_isolation_forest
