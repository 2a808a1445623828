// Scores rows by the blend of the members' scores.
//
// Contributions: a member of score s and base b takes part with share weight (log(s + offset) - log(b +
// offset)), share being 0.5 / M and another 0.5 for the row's highest member; that is shared out as the
// member's own contributions share s - b (the mean slope between the two: Aumann-Shapley's for a function of
// one sum). Where a member scores a map of the rows, a feature's part is
// that of the mapped feature of the same place. The base is the blend of the members' bases. What is left, by
// rounding and where another member is highest than at the base, is shared out by size.
#pragma once

#include <memory>
#include <vector>

#include "engine/detectors/detector.hpp"
#include "engine/detectors/ensemble/model.hpp"

namespace lanner::engine::ensemble {

class EnsembleScorer final : public Scorer {
 public:
  EnsembleScorer(Device&, std::shared_ptr<const Learned>);

  std::size_t width() const override { return learned_->width; }
  std::size_t workspace_bytes(std::size_t rows_max) const override;
  void score(Stream&, Rows rows, std::span<std::byte> workspace, std::span<float> scores) const override;
  void contributions(Stream&, Rows rows, std::span<std::byte> workspace, MutableRows out) const override;
  float base() const override { return base_; }

 private:
  struct Resident {
    std::shared_ptr<const mlp::ResidentNetwork> map;  ///< or none
    std::unique_ptr<Scorer> scorer;
  };
  /// What a batch needs beside the members' own workspaces.
  struct Pieces;

  Pieces cut(std::span<std::byte> workspace, std::size_t rows) const;
  Rows mapped(Stream&, const Resident&, Rows rows, const Pieces&) const;
  /// Every member's, [members][n].
  void score_members(Stream&, Rows rows, const Pieces&) const;
  double slope_of(std::size_t member, float member_score) const;
  void explain(Stream&, Rows rows, std::span<std::byte> workspace, MutableRows out) const;
  std::size_t highest_member(const float* scores, std::size_t stride) const;

  std::shared_ptr<const Learned> learned_;
  std::vector<Resident> members_;
  std::shared_ptr<const blend::ResidentBlend> blend_;
  float base_ = 0;
};

}  // namespace lanner::engine::ensemble
