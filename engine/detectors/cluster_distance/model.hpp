// What was learned: the centres of the large clusters.
#pragma once

#include <memory>

#include "engine/detectors/detector.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::engine::cluster_distance {

/// Scores rows by the distance to the nearest centre, which splits over the features as nearest_neighbours'
/// does (nearest_neighbours/scorer.hpp); base 0.
class Model final : public Fitted {
 public:
  explicit Model(nearest::ReferenceSet centres)
      : centres_(std::make_shared<const nearest::ReferenceSet>(std::move(centres))) {}
  static std::shared_ptr<const Model> load(const TensorReader&);

  std::size_t width() const override { return centres_->width; }
  std::unique_ptr<Scorer> resident(Device&) const override;
  void save(TensorWriter&) const override;

 private:
  std::shared_ptr<const nearest::ReferenceSet> centres_;
};

}  // namespace lanner::engine::cluster_distance
