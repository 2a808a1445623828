// Adam on the mean squared reconstruction error, with early stopping.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/mlp/formula.hpp"
#include "kernels/mlp/mlp.hpp"
#include "kernels/mlp/random.hpp"
#include "kernels/mlp/training.hpp"

namespace lanner::mlp {
namespace {

std::size_t columns_of(std::size_t width) {
  return (width + column_multiple - 1) / column_multiple * column_multiple;
}

// Rows a whole number of kilobytes apart would all fall into the same few sets of the cache.
std::size_t stride_of(std::size_t width) {
  const std::size_t columns = columns_of(width);
  return columns % 256 == 0 ? columns + column_multiple : columns;
}

const TrainingTier& tier_of(CpuTier tier) {
  switch (tier) {
    case CpuTier::avx512:
      return training_avx512;
    case CpuTier::avx2:
      return training_avx2;
    case CpuTier::scalar:
      break;
  }
  return training_scalar;
}

/// A network in training: weights, their gradient and moments, and the activations of one minibatch.
class Trainee {
 public:
  Trainee(Device& device, const Network& start, std::size_t batch_max)
      : stream_(device.stream()), tier_(tier_of(device.tier())), input_(start.input) {
    std::size_t parameters = 0, transposed = 0, values = batch_max * stride_of(start.inputs());
    for (const Layer& layer : start.layers) {
      PaddedLayer padded;
      padded.inputs = layer.inputs;
      padded.outputs = layer.outputs;
      padded.activation = layer.activation;
      padded.weight = parameters;
      padded.bias = padded.weight + layer.outputs * stride_of(layer.inputs);
      parameters = padded.bias + columns_of(layer.outputs);
      padded.transposed = transposed;
      transposed += columns_of(layer.inputs) * stride_of(layer.outputs);
      padded.activations = values;
      values += batch_max * stride_of(layer.outputs);
      layers_.push_back(padded);
    }
    std::size_t widest = 0;
    for (const Layer& layer : start.layers)
      widest = std::max({widest, stride_of(layer.inputs), stride_of(layer.outputs)});
    parameters_ = device.array<float>(parameters);
    gradient_ = device.array<float>(parameters);
    moment1_ = device.array<float>(parameters);
    moment2_ = device.array<float>(parameters);
    transposed_ = device.array<float>(transposed);
    values_ = device.array<float>(values);
    for (Array<float>& delta : delta_) delta = device.array<float>(batch_max * widest);
    square_ = device.array<float>(widest);
    set(start);
  }

  /// Makes this the i-th row of the next minibatch.
  void put(std::size_t i, const float* row) {
    const std::size_t width = layers_.front().inputs;
    float* to = values_.data() + i * stride_of(width);
    if (input_.shift.empty()) {
      std::copy_n(row, width, to);
    } else {
      for (std::size_t j = 0; j < width; ++j)
        to[j] = standardised(row[j], input_.shift[j], input_.scale[j], input_.limit);
    }
  }

  /// Sum of squared differences of the minibatch's first `rows` rows.
  double squared_error(std::size_t rows) {
    forward(rows);
    return compare(rows, nullptr);
  }

  /// The same, and the gradient of its mean.
  double differentiate(std::size_t rows) {
    forward(rows);
    float *delta = delta_[0].data(), *next = delta_[1].data();
    const double error = compare(rows, delta);
    for (std::size_t l = layers_.size(); l-- > 0;) {
      const PaddedLayer& layer = layers_[l];
      const std::size_t in = stride_of(layer.inputs), out = stride_of(layer.outputs);
      tier_.through_activation(layer.activation, read_only(activations(l, rows)), delta);
      const float* below = l == 0 ? values_.data() : values_.data() + layers_[l - 1].activations;
      multiply(layer.outputs, {columns_of(layer.inputs), rows, delta, 1, out, below, in, nullptr,
                               gradient_.data() + layer.weight, in});
      tier_.sum_rows({delta, rows, columns_of(layer.outputs), out}, gradient_.data() + layer.bias);
      if (l == 0) break;
      multiply(rows, {columns_of(layer.inputs), layer.outputs, delta, out, 1,
                      parameters_.data() + layer.weight, in, nullptr, next, in});
      std::swap(delta, next);
    }
    return error;
  }

  void step(double learning_rate) {
    constexpr double decay1 = 0.9, decay2 = 0.999;
    power1_ *= decay1;
    power2_ *= decay2;
    const AdamStep step{static_cast<float>(decay1),
                        static_cast<float>(decay2),
                        static_cast<float>(1 - decay1),
                        static_cast<float>(1 - decay2),
                        static_cast<float>(learning_rate / (1 - power1_)),
                        static_cast<float>(1 / (1 - power2_)),
                        1e-8f};
    constexpr std::size_t piece = 1 << 15;
    auto adam = [&](std::size_t begin, std::size_t end, unsigned) {
      tier_.adam(step, end - begin, gradient_.data() + begin, moment1_.data() + begin,
                 moment2_.data() + begin, parameters_.data() + begin);
    };
    stream_.for_range(parameters_.size(), piece, adam);
    transpose();
  }

  void keep() { kept_.assign(parameters_.data(), parameters_.data() + parameters_.size()); }
  void restore() {
    std::copy(kept_.begin(), kept_.end(), parameters_.data());
    transpose();
  }

  Network network() const { return read(parameters_.data()); }
  Network gradient() const { return read(gradient_.data()); }

 private:
  struct PaddedLayer {
    std::size_t inputs, outputs;
    Activation activation;
    std::size_t weight, bias;  // begin in parameters_: [outputs, stride of inputs], [columns of outputs]
    std::size_t transposed;    // [columns of inputs, stride of outputs]
    std::size_t activations;   // begin in values_: [batch, stride of outputs]
  };

  void set(const Network& network) {
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const Layer& layer = network.layers[l];
      float* weight = parameters_.data() + layers_[l].weight;
      for (std::size_t o = 0; o < layer.outputs; ++o)
        std::copy_n(&layer.weight[o * layer.inputs], layer.inputs, weight + o * stride_of(layer.inputs));
      std::copy(layer.bias.begin(), layer.bias.end(), parameters_.data() + layers_[l].bias);
    }
    transpose();
  }

  Network read(const float* parameters) const {
    Network network;
    network.input = input_;
    for (const PaddedLayer& from : layers_) {
      Layer layer{from.inputs, from.outputs, {}, {}, from.activation};
      for (std::size_t o = 0; o < from.outputs; ++o) {
        const float* row = parameters + from.weight + o * stride_of(from.inputs);
        layer.weight.insert(layer.weight.end(), row, row + from.inputs);
      }
      layer.bias.assign(parameters + from.bias, parameters + from.bias + from.outputs);
      network.layers.push_back(std::move(layer));
    }
    return network;
  }

  View<float> activations(std::size_t l, std::size_t rows) {
    const std::size_t width = layers_[l].outputs;
    return {values_.data() + layers_[l].activations, rows, columns_of(width), stride_of(width)};
  }
  static View<const float> read_only(View<float> v) { return {v.data, v.rows, v.columns, v.stride}; }

  void transpose() {
    for (const PaddedLayer& layer : layers_)
      tier_.transpose({parameters_.data() + layer.weight, layer.outputs, columns_of(layer.inputs),
                       stride_of(layer.inputs)},
                      transposed_.data() + layer.transposed, stride_of(layer.outputs));
  }

  // Threads share a product's rows where each gets about 20 microseconds of work; the bits don't depend on
  // it.
  void multiply(std::size_t rows, const Product& product) {
    const std::size_t grain =
        std::max<std::size_t>(12, 1'000'000 / (2 * product.columns * product.depth) / 12 * 12);
    auto piece = [&](std::size_t begin, std::size_t end, unsigned) { tier_.product(product, begin, end); };
    stream_.for_range(rows, grain, piece);
  }

  void forward(std::size_t rows) {
    const float* x = values_.data();
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const PaddedLayer& layer = layers_[l];
      const View<float> y = activations(l, rows);
      multiply(rows,
               {y.columns, layer.inputs, x, stride_of(layer.inputs), 1, transposed_.data() + layer.transposed,
                y.stride, parameters_.data() + layer.bias, y.data, y.stride});
      tier_.activate(layer.activation, y);
      x = y.data;
    }
  }

  double compare(std::size_t rows, float* delta) {
    const std::size_t width = layers_.back().outputs;
    const float scale = static_cast<float>(2.0 / (static_cast<double>(rows) * static_cast<double>(width)));
    const View<float> y = activations(layers_.size() - 1, rows);
    tier_.compare(read_only(y), values_.data(), scale, delta, square_.data());
    double sum = 0;
    for (std::size_t j = 0; j < width; ++j) sum += static_cast<double>(square_.data()[j]);
    return sum;
  }

  Stream stream_;
  const TrainingTier& tier_;
  Standardisation input_;
  std::vector<PaddedLayer> layers_;
  Array<float> parameters_, gradient_, moment1_, moment2_, transposed_, values_, delta_[2], square_;
  std::vector<float> kept_;
  double power1_ = 1, power2_ = 1;
};

void check(const Device& device) {
  if (device.backend() != Backend::cpu)
    throw std::invalid_argument("mlp: no training on " + device.description() + ", only on a cpu device");
}

void check(const Training& training, Rows rows) {
  const auto refuse = [](const std::string& why) {
    throw std::invalid_argument("mlp: training needs " + why);
  };
  if (training.widths.size() < 2 || std::count(training.widths.begin(), training.widths.end(), 0u) > 0)
    refuse("at least two layer widths, none of them zero");
  if (training.widths.front() != training.widths.back()) refuse("as many outputs as inputs");
  if (rows.count == 0) refuse("at least one row");
  if (rows.width != training.widths.front())
    refuse("rows of " + std::to_string(training.widths.front()) + " features, found " +
           std::to_string(rows.width));
  validate(training.input, rows.width);
  if (training.epochs_max < 1) refuse("epochs_max of at least 1");
  if (training.batch < 1) refuse("a batch of at least 1");
  if (training.patience < 1) refuse("a patience of at least 1");
  if (!(training.learning_rate > 0 && training.learning_rate <= 1))
    refuse("a learning_rate above 0 and up to 1");
  if (!(training.validation_share >= 0 && training.validation_share <= 0.5))
    refuse("a validation_share from 0 to 0.5");
  for (std::size_t i = 0; i < rows.count; ++i)
    if (!std::all_of(rows.row(i), rows.row(i) + rows.width, [](float v) { return std::isfinite(v); }))
      refuse("finite values; row " + std::to_string(i) + " has another");
}

// Uniform of the variance that the papers ask for: 2 / inputs (He et al. 2015), 2 / (inputs + outputs)
// (Glorot & Bengio 2010). Biases start at zero.
Network initial_network(const Training& training, Random& random) {
  Network network;
  network.input = training.input;
  for (std::size_t l = 0; l + 1 < training.widths.size(); ++l) {
    const bool is_last = l + 2 == training.widths.size();
    Layer layer{
        training.widths[l], training.widths[l + 1], {}, {}, is_last ? Activation::identity : training.hidden};
    const double inputs = static_cast<double>(layer.inputs), outputs = static_cast<double>(layer.outputs);
    const double bound =
        std::sqrt(6 / (layer.activation == Activation::rectifier ? inputs : inputs + outputs));
    layer.weight.resize(layer.inputs * layer.outputs);
    for (float& w : layer.weight) w = static_cast<float>(random.symmetric() * bound);
    layer.bias.resize(layer.outputs);
    network.layers.push_back(std::move(layer));
  }
  return network;
}

}  // namespace

Network gradient(Device& device, const Network& network, Rows rows, double* error) {
  check(device);
  FloatEnvironment environment;
  Trainee trainee(device, network, rows.count);
  for (std::size_t i = 0; i < rows.count; ++i) trainee.put(i, rows.row(i));
  const double sum = trainee.differentiate(rows.count);
  if (error) *error = sum / (static_cast<double>(rows.count) * static_cast<double>(rows.width));
  return trainee.gradient();
}

Network train(Device& device, Rows rows, const Training& training, const TrainingProgress& progress,
              TrainingReport* report) {
  check(training, rows);
  check(device);
  FloatEnvironment environment;
  Random random(training.seed);
  const Network start = initial_network(training, random);

  std::vector<std::size_t> order(rows.count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  random.shuffle(std::span(order));
  const auto held_out = static_cast<std::size_t>(training.validation_share * static_cast<double>(rows.count));
  const std::span<const std::size_t> validation = std::span(order).first(held_out);
  const std::span<std::size_t> fitted = std::span(order).subspan(held_out);

  const std::size_t batch_max = std::min(training.batch, fitted.size());
  Trainee trainee(device, start, batch_max);
  const auto mean_over = [&](std::span<const std::size_t> chosen, auto sum_of_batch) {
    double sum = 0;
    for (std::size_t begin = 0; begin < chosen.size(); begin += batch_max) {
      const std::size_t count = std::min(batch_max, chosen.size() - begin);
      for (std::size_t i = 0; i < count; ++i) trainee.put(i, rows.row(chosen[begin + i]));
      sum += sum_of_batch(count);
    }
    return sum / (static_cast<double>(chosen.size()) * static_cast<double>(rows.width));
  };

  TrainingReport best;
  best.validation_error = std::numeric_limits<double>::infinity();
  int epoch = 0;
  for (int without_improvement = 0; epoch < training.epochs_max && without_improvement < training.patience;) {
    random.shuffle(fitted);
    const double training_error = mean_over(fitted, [&](std::size_t count) {
      const double sum = trainee.differentiate(count);
      trainee.step(training.learning_rate);
      return sum;
    });
    ++epoch;
    double validation_error = 0;
    if (validation.empty()) {
      best = {epoch, training_error, 0};
    } else {
      validation_error =
          mean_over(validation, [&](std::size_t count) { return trainee.squared_error(count); });
      ++without_improvement;
      if (validation_error < best.validation_error) {
        without_improvement = 0;
        best = {epoch, training_error, validation_error};
        trainee.keep();
      }
    }
    if (progress) progress(epoch, training_error, validation_error);
  }
  if (!validation.empty()) trainee.restore();
  best.epochs = epoch;
  if (report) *report = best;
  return trainee.network();
}

}  // namespace lanner::mlp
