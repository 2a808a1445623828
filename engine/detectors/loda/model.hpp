// What was learned: the projections and a histogram of each.
#pragma once

#include <memory>

#include "engine/detectors/detector.hpp"
#include "kernels/density/histogram.hpp"
#include "kernels/mlp/mlp.hpp"

namespace lanner::engine::loda {

struct Learned {
  mlp::Network projections;    ///< one linear layer without biases, an output a projection; standardises
  density::Histograms tables;  ///< of the outputs
};

class Model final : public Fitted {
 public:
  explicit Model(std::shared_ptr<const Learned> learned) : learned_(std::move(learned)) {}
  static std::shared_ptr<const Model> load(const TensorReader&);

  std::size_t width() const override { return learned_->projections.inputs(); }
  std::unique_ptr<Scorer> resident(Device&) const override;
  void save(TensorWriter&) const override;

 private:
  std::shared_ptr<const Learned> learned_;
};

}  // namespace lanner::engine::loda
