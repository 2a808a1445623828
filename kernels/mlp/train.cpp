// Adam on the mean squared reconstruction error, with early stopping: the loop, on every device.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/device/gpu.hpp"
#include "kernels/mlp/formula.hpp"
#include "kernels/mlp/mlp.hpp"
#include "kernels/mlp/random.hpp"
#include "kernels/mlp/trainer.hpp"
#include "kernels/mlp/training.hpp"
#include "kernels/mlp/training_gpu.hpp"

namespace lanner::mlp {
namespace {

/// Kingma & Ba's decays and epsilon, and how far their moments have come from zero.
class Adam {
 public:
  explicit Adam(double learning_rate) : learning_rate_(learning_rate) {}
  AdamStep next() {
    constexpr double decay1 = 0.9, decay2 = 0.999;
    power1_ *= decay1;
    power2_ *= decay2;
    return {static_cast<float>(decay1),
            static_cast<float>(decay2),
            static_cast<float>(1 - decay1),
            static_cast<float>(1 - decay2),
            static_cast<float>(learning_rate_ / (1 - power1_)),
            static_cast<float>(1 / (1 - power2_)),
            1e-8f};
  }

 private:
  double learning_rate_, power1_ = 1, power2_ = 1;
};

std::unique_ptr<Trainer> make_trainer(Device& device, const TrainerTask& task) {
  if (device.backend() == Backend::cpu) return make_cpu_trainer(device, task);
  return LANNER_ON_GPU(device, make_trainer, device, task);
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

std::vector<std::size_t> all_rows(std::size_t count) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  return order;
}

// work(first, count) of each minibatch of order[begin, end); how many there are.
template <class Work>
std::size_t in_batches(std::size_t begin, std::size_t end, std::size_t batch_max, const Work& work) {
  std::size_t batches = 0;
  for (; begin < end; begin += batch_max, ++batches) work(begin, std::min(batch_max, end - begin));
  return batches;
}

double mean(std::span<const double> sums, std::size_t rows, std::size_t width) {
  return std::accumulate(sums.begin(), sums.end(), 0.0) /
         (static_cast<double>(rows) * static_cast<double>(width));
}

}  // namespace

void standardise(const Standardisation& input, const float* row, std::size_t width, float* to) {
  if (input.shift.empty()) {
    std::copy_n(row, width, to);
  } else {
    for (std::size_t j = 0; j < width; ++j)
      to[j] = standardised(row[j], input.shift[j], input.scale[j], input.limit);
  }
}

Network gradient(Device& device, const Network& network, Rows rows, double* error) {
  FloatEnvironment environment;
  const auto trainer = make_trainer(device, {network, rows, rows.count, 1});
  const std::vector<std::size_t> order = all_rows(rows.count);
  trainer->begin(order);
  trainer->differentiate(0, rows.count);
  const double found = mean(trainer->errors(), rows.count, rows.width);
  if (error) *error = found;
  return trainer->gradient();
}

Network train(Device& device, Rows rows, const Training& training, const TrainingProgress& progress,
              TrainingReport* report) {
  check(training, rows);
  FloatEnvironment environment;
  Random random(training.seed);
  const Network start = initial_network(training, random);

  std::vector<std::size_t> order = all_rows(rows.count);
  random.shuffle(std::span(order));
  const auto held_out = static_cast<std::size_t>(training.validation_share * static_cast<double>(rows.count));
  const std::span<std::size_t> fitted = std::span(order).subspan(held_out);

  const std::size_t batch_max = std::min(training.batch, fitted.size());
  const auto batches = [&](std::size_t count) { return (count + batch_max - 1) / batch_max; };
  const auto trainer =
      make_trainer(device, {start, rows, batch_max, batches(fitted.size()) + batches(held_out)});
  Adam adam(training.learning_rate);

  TrainingReport best;
  best.validation_error = std::numeric_limits<double>::infinity();
  int epoch = 0;
  for (int without_improvement = 0; epoch < training.epochs_max && without_improvement < training.patience;) {
    random.shuffle(fitted);
    trainer->begin(order);
    const std::size_t steps =
        in_batches(held_out, order.size(), batch_max, [&](std::size_t first, std::size_t count) {
          trainer->differentiate(first, count);
          trainer->step(adam.next());
        });
    in_batches(0, held_out, batch_max,
               [&](std::size_t first, std::size_t count) { trainer->measure(first, count); });
    const std::span<const double> errors = trainer->errors();
    const double training_error = mean(errors.first(steps), fitted.size(), rows.width);
    ++epoch;
    double validation_error = 0;
    if (held_out == 0) {
      best = {epoch, training_error, 0};
    } else {
      validation_error = mean(errors.subspan(steps), held_out, rows.width);
      ++without_improvement;
      if (validation_error < best.validation_error) {
        without_improvement = 0;
        best = {epoch, training_error, validation_error};
        trainer->keep();
      }
    }
    if (progress) progress(epoch, training_error, validation_error);
  }
  if (held_out == 0) trainer->keep();
  best.epochs = epoch;
  if (report) *report = best;
  return trainer->kept();
}

}  // namespace lanner::mlp
