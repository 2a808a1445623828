// Scores rows by their local outlier factor: about 1 within a cluster, above 1 where the row lies in sparser
// space than its neighbours do.
//
// Contributions, base 0: the factor is the row's mean reachability distance times its neighbours' mean
// density. Each neighbour's part w reach of the former splits over the features as d_j^2 / distance^2, d_j
// being the row's difference from that neighbour in feature j (a neighbour equal to the row splits as the
// others do). A row all of whose neighbours equal it splits evenly.
#pragma once

#include <memory>

#include "engine/detectors/detector.hpp"
#include "engine/detectors/local_outlier_factor/model.hpp"
#include "kernels/density/reachability.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::engine::local_outlier_factor {

class FactorScorer final : public Scorer {
 public:
  FactorScorer(Device&, std::shared_ptr<const Learned>);

  std::size_t width() const override { return learned_->references.width; }
  std::size_t workspace_bytes(std::size_t rows_max) const override;
  void score(Stream&, Rows rows, std::span<std::byte> workspace, std::span<float> scores) const override;
  void contributions(Stream&, Rows rows, std::span<std::byte> workspace, MutableRows out) const override;
  float base() const override { return 0; }

 private:
  float factor(const nearest::Neighbours&, std::size_t i) const;
  void split(const float* row, const nearest::Neighbours&, std::size_t i, std::span<double> sums,
             float* out) const;

  std::shared_ptr<const Learned> learned_;
  std::shared_ptr<const nearest::Index> index_;
  std::shared_ptr<const density::ResidentDensities> densities_;
  unsigned threads_;
};

}  // namespace lanner::engine::local_outlier_factor
