// What was learned: the network, with the standardisation of its inputs.
#pragma once

#include <memory>
#include <utility>

#include "engine/detectors/detector.hpp"
#include "kernels/mlp/mlp.hpp"

namespace lanner::engine::autoencoder {

class Model final : public Fitted {
 public:
  /// A valid network with a standardisation and as many outputs as inputs.
  explicit Model(mlp::Network network) : network_(std::move(network)) {}
  static std::shared_ptr<const Model> load(const TensorReader&);

  std::size_t width() const override { return network_.inputs(); }
  std::unique_ptr<Scorer> resident(Device&) const override;
  void save(TensorWriter&) const override;

 private:
  mlp::Network network_;
};

}  // namespace lanner::engine::autoencoder
