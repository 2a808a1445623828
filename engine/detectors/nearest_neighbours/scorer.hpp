// Scores rows by distance. A distance r to a neighbour, r^2 = sum of d_j^2, splits over the features as
// r d_j^2 / r^2; a row's contributions are the split of its k-th distance, or the mean of the splits of all
// k. Base 0.
#pragma once

#include <memory>

#include "engine/detectors/detector.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::engine::nearest_neighbours {

class NeighbourScorer final : public Scorer {
 public:
  NeighbourScorer(Device&, std::shared_ptr<const nearest::ReferenceSet>, std::size_t k, nearest::Summary);

  std::size_t width() const override { return references_->width; }
  std::size_t workspace_bytes(std::size_t rows_max) const override;
  void score(Stream&, Rows rows, std::span<std::byte> workspace, std::span<float> scores) const override;
  void contributions(Stream&, Rows rows, std::span<std::byte> workspace, MutableRows out) const override;
  float base() const override { return 0; }

 private:
  void split(const float* row, const nearest::Neighbours&, std::size_t i, std::span<double> sums,
             float* out) const;

  std::shared_ptr<const nearest::ReferenceSet> references_;
  std::shared_ptr<const nearest::Index> index_;
  std::size_t k_;
  nearest::Summary summary_;
  unsigned threads_;
};

}  // namespace lanner::engine::nearest_neighbours
