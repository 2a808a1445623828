// Multilayer perceptrons: forward fused with activation and reconstruction error, and training.
//
// Definition of the forward pass (the same bits on every backend). A row x is standardised, where the network
// does that; everything below is about the standardised row. Output o of a layer is the float32 chain
//   a = bias[o]; for input i in order: a = fma(weight[o][i], x[i], a)
// then a is saturated, min(max(a, -largest), largest) with the largest finite float, and goes through the
// activation (rectifier: a > 0 ? a : 0; tanh: arithmetic/elementary.hpp; sigmoid: 1 / (1 + exp(-a)), a held
// within -87 and 87, each operation rounded, exp as there; identity). A chain that overflows stands at its
// infinity until it ends: its factors are finite and a fused product is exact, so that no chain meets
// inf - inf, and nothing is NaN. The reconstruction error of a row x with reconstruction y is
//   e = 0; for feature j in order: d = y[j] - x[j]; e = fma(d, d, e);   error = min(e / width, largest)
// and part j is min((d * d) / width, largest). The squared length of the outputs y of any network is
//   e = 0; for output j in order: e = fma(y[j], y[j], e);   length = min(e, largest)
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "kernels/device/device.hpp"
#include "kernels/rows.hpp"

namespace lanner::mlp {

/// From tanh on they take a function of arithmetic/elementary.hpp.
enum class Activation { identity, rectifier, tanh, sigmoid };

/// One dense layer: plain data.
struct Layer {
  std::size_t inputs = 0, outputs = 0;
  std::vector<float> weight;  ///< [outputs, inputs] row-major
  std::vector<float> bias;    ///< [outputs]
  Activation activation = Activation::identity;
};

/// What rows go through before the first layer, if anything (empty vectors: nothing): x[j] becomes
/// min(max((x[j] - shift[j]) * scale[j], -limit), limit), each operation rounded to float32.
struct Standardisation {
  std::vector<float> shift;  ///< [inputs], finite
  std::vector<float> scale;  ///< [inputs], finite, above 0
  float limit = 20;          ///< finite, above 0
};

/// Throws std::invalid_argument where it isn't that.
void validate(const Standardisation&, std::size_t inputs);

struct Network {
  std::vector<Layer> layers;
  Standardisation input = {};
  std::size_t inputs() const { return layers.front().inputs; }
  std::size_t outputs() const { return layers.back().outputs; }
};

/// Throws std::invalid_argument where shapes don't chain, are zero, or a value isn't finite.
void validate(const Network&);

/// What a backend does; called by the functions below once shapes and sizes are known to fit.
class ResidentNetwork {
 public:
  virtual ~ResidentNetwork() = default;
  virtual std::size_t inputs() const = 0;
  virtual std::size_t outputs() const = 0;
  virtual std::size_t workspace_bytes(std::size_t rows) const = 0;
  virtual void forward(Stream&, Rows rows, std::span<std::byte> workspace, MutableRows out) const = 0;
  virtual void reconstruction_error(Stream&, Rows rows, std::span<std::byte> workspace,
                                    std::span<float> error, MutableRows parts) const = 0;
  virtual void squared_length(Stream&, Rows rows, std::span<std::byte> workspace,
                              std::span<float> lengths) const = 0;
};
std::shared_ptr<const ResidentNetwork> make_resident(Device&, const Network&);

/// out [n, outputs].
void forward(Stream&, const ResidentNetwork&, Rows rows, std::span<std::byte> workspace, MutableRows out);

/// For networks whose outputs are their inputs. error [n]; parts [n, d], or data == nullptr for none: each
/// part as defined above (so the sum of the parts is the error but for rounding). Allocates nothing.
void reconstruction_error(Stream&, const ResidentNetwork&, Rows rows, std::span<std::byte> workspace,
                          std::span<float> error, MutableRows parts);

/// lengths [n]: of each row's outputs, which are not written. Allocates nothing.
void squared_length(Stream&, const ResidentNetwork&, Rows rows, std::span<std::byte> workspace,
                    std::span<float> lengths);

/// Training by Adam (Kingma & Ba 2015, algorithm 1) on the mean squared reconstruction error, minibatches in
/// seeded random order, early stopping on a validation share. The same bits with the same seed, on every tier
/// and backend, whatever the thread count.
struct Training {
  std::vector<std::size_t> widths;  ///< layer widths, input first; the last equals the first
  Standardisation input = {};       ///< of the rows; the trained network has it too
  Activation hidden = Activation::tanh;
  int epochs_max = 40;
  std::size_t batch = 128;
  double learning_rate = 1e-3;
  double validation_share = 0.1;  ///< in [0, 0.5]; 0: no early stopping
  int patience = 5;               ///< epochs without improvement of the validation error before stopping
  std::uint64_t seed = 1;
};
struct TrainingReport {
  int epochs = 0;  ///< done in all
  /// Of the epoch whose weights were returned: mean squared errors, that of the training rows as it was met
  /// batch by batch; validation_error is 0 where no rows were held out.
  double training_error = 0, validation_error = 0;
};
/// Called after each epoch with (epochs done, training error, validation error). May throw to stop the
/// training.
using TrainingProgress = std::function<void(int, double, double)>;
/// rows: in the host's memory, at least 1, finite; a GPU gets a copy of all of them. floor(validation_share *
/// rows) of them are held out. Weights start as in He et al. 2015 (rectifier) or Glorot & Bengio 2010
/// (others), uniform; the last layer has no activation. The weights of the best validation epoch are
/// returned, or the last ones where no rows were held out; they are always finite (gradients saturate at
/// 1e18). Throws std::invalid_argument for settings out of range and rows that don't fit, and DeviceError
/// where a GPU fails or has too little memory.
Network train(Device&, Rows rows, const Training&, const TrainingProgress&, TrainingReport* report = nullptr);

}  // namespace lanner::mlp
