// Scores rows by the mean penalty of their projections: how many bits rarer than at its densest each is.
//
// Contributions: Pevny 2016 asks of each feature by how much the mean penalty of the
// projections that use it is above that of those that don't (the paper then divides by the two samples'
// deviation, to test whether the difference is chance; here it is a share of the score, so it is left as it
// is). The score is shared out in proportion to these differences where they are above zero, so that the
// contributions are none below zero and add up to it; the base is 0. Where none is above zero, as with two
// features, which every projection uses, all features share alike.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/detectors/detector.hpp"
#include "engine/detectors/loda/model.hpp"

namespace lanner::engine::loda {

class ProjectionScorer final : public Scorer {
 public:
  ProjectionScorer(Device&, std::shared_ptr<const Learned>);

  std::size_t width() const override { return network_->inputs(); }
  std::size_t workspace_bytes(std::size_t rows_max) const override;
  void score(Stream&, Rows rows, std::span<std::byte> workspace, std::span<float> scores) const override;
  void contributions(Stream&, Rows rows, std::span<std::byte> workspace, MutableRows out) const override;
  float base() const override { return 0; }

 private:
  std::size_t projections() const { return network_->outputs(); }
  void explain(Stream&, Rows rows, std::span<std::byte> workspace, MutableRows out) const;
  /// out: first the differences, then what they make of the score.
  void split(std::span<const float> penalties, float score, std::span<float> out) const;

  std::shared_ptr<const mlp::ResidentNetwork> network_;
  std::shared_ptr<const density::ResidentHistograms> tables_;
  /// The projections that use feature j: users_[user_begin_[j]] .. users_[user_begin_[j + 1]).
  std::vector<std::uint32_t> users_;
  std::vector<std::size_t> user_begin_{0};
};

}  // namespace lanner::engine::loda
