// Scores rows by the expected value over the cut that would part them (kernels/cut_forest/cut_forest.hpp).
//
// Contributions: the score is a sum over the nodes on a row's ways, of each the chance w to be parted there
// times its value. A cut that parts the row falls on feature j with a chance in proportion to how far the row
// lies outside the node's box along j; so w (value - base) is shared out by that, at leaves by the
// differences from their point. The chances of a tree add up to 1, so that what all trees share out is the
// score less the base, which is what a row would score that is parted at the leaves of the training rows:
// what parts sooner adds, what parts later takes off. What no cut parts, a row equal to a leaf, falls to all
// features alike.
#pragma once

#include <memory>
#include <span>

#include "engine/detectors/detector.hpp"
#include "engine/detectors/random_cut_forest/grow.hpp"

namespace lanner::engine::random_cut_forest {

class CutForestScorer final : public Scorer {
 public:
  CutForestScorer(Device&, const Grown&);

  std::size_t width() const override { return forest_->width(); }
  std::size_t workspace_bytes(std::size_t rows_max) const override;
  void score(Stream&, Rows rows, std::span<std::byte> workspace, std::span<float> scores) const override;
  void contributions(Stream&, Rows rows, std::span<std::byte> workspace, MutableRows out) const override;
  float base() const override { return base_; }

 private:
  std::shared_ptr<const cut_forest::ResidentCutForest> forest_;
  float base_;
};

}  // namespace lanner::engine::random_cut_forest
