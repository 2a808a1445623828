// Models that are a network (kernels/mlp/mlp.hpp): what autoencoder, pca and mahalanobis learn. Rows are
// standardised first, and everything is said on that scale.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "engine/detectors/detector.hpp"
#include "kernels/mlp/mlp.hpp"

namespace lanner::engine {

/// Activations by the names that settings and imports have for them.
std::string_view name_of(mlp::Activation);
std::optional<mlp::Activation> activation_named(std::string_view);

void save_network(const mlp::Network&, TensorWriter&);
/// A valid network with a standardisation. Throws InvalidModel.
mlp::Network load_network(const TensorReader&);

/// Scores a row by the mean squared difference of what comes out of the network and the row.
///
/// Contributions: every feature's squared difference over the number of features, which is what the score is
/// the sum of; the base is 0.
class Reconstruction final : public Fitted {
 public:
  /// As many outputs as inputs, a standardisation. Throws InvalidModel.
  explicit Reconstruction(mlp::Network);

  std::size_t width() const override { return network_.inputs(); }
  std::unique_ptr<Scorer> resident(Device&) const override;
  void save(TensorWriter& writer) const override { save_network(network_, writer); }

 private:
  mlp::Network network_;
};

/// Scores a row by the squared length of y = A x: a squared Mahalanobis distance where A'A is the inverse of
/// a covariance.
///
/// Contributions: x[j] (A'y)[j], whose sum is y'y; A'y by the same float32 chains as y. What is left by
/// rounding is shared out by size; the base is 0. A feature that makes the row less far than its others alone
/// would has a negative one.
class SquaredLength final : public Fitted {
 public:
  /// One layer without activation and with biases of zero, a standardisation. Throws InvalidModel.
  explicit SquaredLength(mlp::Network);

  std::size_t width() const override { return network_->inputs(); }
  std::unique_ptr<Scorer> resident(Device&) const override;
  void save(TensorWriter& writer) const override { save_network(*network_, writer); }

 private:
  std::shared_ptr<const mlp::Network> network_;
};

}  // namespace lanner::engine
