// Scores rows by the mean squared error of their reconstruction, on the standardised scale.
//
// Contributions: every feature's squared error over the number of features, which is what the score is the
// sum of; the base is 0.
#pragma once

#include <memory>

#include "engine/detectors/detector.hpp"
#include "kernels/mlp/mlp.hpp"

namespace lanner::engine::autoencoder {

class AutoencoderScorer final : public Scorer {
 public:
  AutoencoderScorer(Device& device, const mlp::Network& network)
      : network_(mlp::make_resident(device, network)) {}

  std::size_t width() const override { return network_->inputs(); }
  std::size_t workspace_bytes(std::size_t rows_max) const override;
  void score(Stream&, Rows rows, std::span<std::byte> workspace, std::span<float> scores) const override;
  void contributions(Stream&, Rows rows, std::span<std::byte> workspace, MutableRows out) const override;
  float base() const override { return 0; }

 private:
  std::shared_ptr<const mlp::ResidentNetwork> network_;
};

}  // namespace lanner::engine::autoencoder
