// What was learned: the trees with their hyperplanes, the standardisation, and how many rows a tree was grown
// on.
#pragma once

#include <memory>
#include <utility>

#include "engine/detectors/detector.hpp"
#include "engine/detectors/extended_isolation_forest/grow.hpp"

namespace lanner::engine::extended_isolation_forest {

class Model final : public Fitted {
 public:
  explicit Model(std::shared_ptr<const Grown> grown) : grown_(std::move(grown)) {}
  static std::shared_ptr<const Model> load(const TensorReader&);

  std::size_t width() const override { return grown_->forest.width; }
  std::unique_ptr<Scorer> resident(Device&) const override;
  void save(TensorWriter&) const override;

 private:
  std::shared_ptr<const Grown> grown_;
};

}  // namespace lanner::engine::extended_isolation_forest
