// What was learned: the trees, the rows that are their leaves, and how many rows each leaf has.
#pragma once

#include <memory>
#include <utility>

#include "engine/detectors/detector.hpp"
#include "engine/detectors/random_cut_forest/grow.hpp"

namespace lanner::engine::random_cut_forest {

class Model final : public Fitted {
 public:
  explicit Model(std::shared_ptr<const Grown> grown) : grown_(std::move(grown)) {}
  /// The measure is a setting, and its values are made anew.
  static std::shared_ptr<const Model> load(const TensorReader&, Measure);

  std::size_t width() const override { return grown_->forest.width; }
  std::unique_ptr<Scorer> resident(Device&) const override;
  void save(TensorWriter&) const override;

 private:
  std::shared_ptr<const Grown> grown_;
};

}  // namespace lanner::engine::random_cut_forest
