// A network in training on the CPU: threads share a product's rows, which is where the work is.
#include <algorithm>
#include <utility>

#include "kernels/mlp/trainer.hpp"

namespace lanner::mlp {
namespace {

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

View<const float> read_only(View<float> v) {
  return {v.data, v.rows, v.columns, v.stride};
}

class CpuTrainer final : public Trainer {
 public:
  CpuTrainer(Device& device, const TrainerTask& task)
      : stream_(device.stream()),
        tier_(tier_of(device.tier())),
        input_(task.start.input),
        rows_(task.rows),
        batch_max_(task.batch_max),
        layout_(task.start),
        parameters_(device.array<float>(layout_.parameters)),
        gradient_(device.array<float>(layout_.parameters)),
        moment1_(device.array<float>(layout_.parameters)),
        moment2_(device.array<float>(layout_.parameters)),
        transposed_(device.array<float>(layout_.transposed)),
        values_(device.array<float>(layout_.values * batch_max_)),
        delta_{device.array<float>(layout_.widest * batch_max_),
               device.array<float>(layout_.widest * batch_max_)},
        square_(device.array<float>(layout_.widest)) {
    errors_.reserve(task.calls_max);
    layout_.write(task.start, parameters_.data());
    transpose();
  }

  void begin(std::span<const std::size_t> order) override {
    order_ = order;
    errors_.clear();
  }

  void differentiate(std::size_t first, std::size_t count) override {
    gather(first, count);
    forward(count);
    float *delta = delta_[0].data(), *next = delta_[1].data();
    compare(count, delta);
    for (std::size_t l = layout_.layers.size(); l-- > 0;) {
      const TrainingLayout::Layer& layer = layout_.layers[l];
      const std::size_t in = stride_of(layer.inputs), out = stride_of(layer.outputs);
      tier_.through_activation(layer.activation, read_only(activations(l, count)), delta);
      const float* below =
          l == 0 ? values_.data() : values_.data() + layout_.layers[l - 1].values * batch_max_;
      multiply(layer.outputs, {columns_of(layer.inputs), count, delta, 1, out, below, in, nullptr,
                               gradient_.data() + layer.weight, in});
      tier_.sum_rows({delta, count, columns_of(layer.outputs), out}, gradient_.data() + layer.bias);
      if (l == 0) break;
      multiply(count, {columns_of(layer.inputs), layer.outputs, delta, out, 1,
                       parameters_.data() + layer.weight, in, nullptr, next, in});
      std::swap(delta, next);
    }
  }

  void step(const AdamStep& step) override {
    constexpr std::size_t piece = 1 << 15;
    auto adam = [&](std::size_t begin, std::size_t end, unsigned) {
      tier_.adam(step, end - begin, gradient_.data() + begin, moment1_.data() + begin,
                 moment2_.data() + begin, parameters_.data() + begin);
    };
    stream_.for_range(parameters_.size(), piece, adam);
    transpose();
  }

  void measure(std::size_t first, std::size_t count) override {
    gather(first, count);
    forward(count);
    compare(count, nullptr);
  }

  std::span<const double> errors() override { return errors_; }
  void keep() override { kept_.assign(parameters_.data(), parameters_.data() + parameters_.size()); }
  Network kept() override { return layout_.read(kept_.data(), input_); }
  Network gradient() override { return layout_.read(gradient_.data(), input_); }

 private:
  void gather(std::size_t first, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      standardise(input_, rows_.row(order_[first + i]), rows_.width,
                  values_.data() + i * stride_of(rows_.width));
  }

  View<float> activations(std::size_t l, std::size_t rows) {
    const TrainingLayout::Layer& layer = layout_.layers[l];
    return {values_.data() + layer.values * batch_max_, rows, columns_of(layer.outputs),
            stride_of(layer.outputs)};
  }

  void transpose() {
    for (const TrainingLayout::Layer& layer : layout_.layers)
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
    for (std::size_t l = 0; l < layout_.layers.size(); ++l) {
      const TrainingLayout::Layer& layer = layout_.layers[l];
      const View<float> y = activations(l, rows);
      multiply(rows,
               {y.columns, layer.inputs, x, stride_of(layer.inputs), 1, transposed_.data() + layer.transposed,
                y.stride, parameters_.data() + layer.bias, y.data, y.stride});
      tier_.activate(layer.activation, y);
      x = y.data;
    }
  }

  void compare(std::size_t rows, float* delta) {
    const std::size_t width = layout_.layers.back().outputs;
    const View<float> y = activations(layout_.layers.size() - 1, rows);
    tier_.compare(read_only(y), values_.data(), loss_scale(rows, width), delta, square_.data());
    double sum = 0;
    for (std::size_t j = 0; j < width; ++j) sum += static_cast<double>(square_.data()[j]);
    errors_.push_back(sum);
  }

  Stream stream_;
  const TrainingTier& tier_;
  Standardisation input_;
  Rows rows_;
  std::size_t batch_max_;
  TrainingLayout layout_;
  Array<float> parameters_, gradient_, moment1_, moment2_, transposed_, values_, delta_[2], square_;
  std::span<const std::size_t> order_;
  std::vector<double> errors_;
  std::vector<float> kept_;
};

}  // namespace

std::unique_ptr<Trainer> make_cpu_trainer(Device& device, const TrainerTask& task) {
  return std::make_unique<CpuTrainer>(device, task);
}

}  // namespace lanner::mlp
