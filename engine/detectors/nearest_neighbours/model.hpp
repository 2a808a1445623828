// What was learned: the training rows, each distinct one once, and k.
#pragma once

#include <memory>

#include "engine/detectors/detector.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::engine::nearest_neighbours {

class Model final : public Fitted {
 public:
  /// 1 <= k <= the set's rows.
  Model(nearest::ReferenceSet references, std::size_t k, nearest::Summary summary);
  static std::shared_ptr<const Model> load(const TensorReader&);

  std::size_t width() const override { return references_->width; }
  std::unique_ptr<Scorer> resident(Device&) const override;
  void save(TensorWriter&) const override;
  Rows reference_rows() const override { return references_->view(); }
  std::vector<float> leave_one_out_scores(Device&) const override;

 private:
  std::shared_ptr<const nearest::ReferenceSet> references_;
  std::size_t k_;
  nearest::Summary summary_;
};

}  // namespace lanner::engine::nearest_neighbours
