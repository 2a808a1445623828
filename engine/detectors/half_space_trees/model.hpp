// What was learned: the trees, their masses as lengths, and the constant features.
#pragma once

#include <memory>
#include <utility>

#include "engine/detectors/detector.hpp"
#include "kernels/forest/forest.hpp"

namespace lanner::engine::half_space_trees {

class Model final : public Fitted {
 public:
  explicit Model(std::shared_ptr<const forest::Forest> forest) : forest_(std::move(forest)) {}
  static std::shared_ptr<const Model> load(const TensorReader&);

  std::size_t width() const override { return forest_->width; }
  std::unique_ptr<Scorer> resident(Device&) const override;
  void save(TensorWriter&) const override;

 private:
  std::shared_ptr<const forest::Forest> forest_;
};

}  // namespace lanner::engine::half_space_trees
