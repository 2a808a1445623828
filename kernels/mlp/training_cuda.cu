// A network in training on GPUs: an epoch's minibatches are put into one stream, forward, backward and Adam,
// and the host waits once, at the epoch's end. Every number is a chain of the CPU's, begun and ended by one
// thread, so that a network trained here is the CPU's to the last bit. The products are our own and not
// cuBLAS's: that one sums in orders of its own, which differ from GPU to GPU, and neither the emulated
// backend nor a machine without GPU can run it, so that it would go untested.
//
// A product's block makes 32 x 32 or 64 x 64 values, 4 x 4 a thread, whose 16 multiply-adds cost it two
// 16-byte reads of shared memory; 16 steps of the chains pass at a time, through two buffers, and the next 16
// come while they do. What follows a product (activation, derivative) is done before it is written, and the
// bias's gradient, the sum of what one operand has, by the blocks that hold that operand anyway. A step of L
// layers is 3 L + 2 launches.
//
// Roofline, computed, not measured. A step of batch B has 3 B multiply-adds a weight (2 B a weight of the
// first layer) and moves 28 bytes a parameter in Adam; the rest passes through the second-level cache. Of one
// multiply-add after another, 4 cycles each, a step has the sum over layers of inputs (forward), outputs
// (backward; not the first layer) and B (gradient): no chain is cut up, so that this much latency remains
// however many blocks there are. With B = 128, in microseconds (multiply-adds and bytes a second, clocks:
// A100 9.7e12, 2.0e12, 1.4 GHz; H100 33e12, 3.3e12, 1.95 GHz; B200 37e12, 8e12, 1.95 GHz), of adds, bytes and
// chains:
//   network             adds a step  A100              H100              B200
//   32-16-8-16-32       426e3        0.04, 0.02, 1.8   0.01, 0.01, 1.3   0.01, 0.00, 1.3
//   1555-64-16-64-1555  64e6         6.6, 2.8, 11      2.0, 1.7, 7.9     1.7, 0.7, 7.9
//   1024-1024-1024      671e6        69, 29, 9.5       20, 18, 6.8       18, 7.4, 6.8
// Of small networks the chains are the ceiling, and launches cost more; of large ones the multiply-adds, at
// most 0.89 of them (16 among 18 instructions).
#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "kernels/device/resident.hpp"
#include "kernels/device/simt.hpp"
#include "kernels/mlp/trainer.hpp"
#include "kernels/mlp/training_formulas.hpp"
#include "kernels/mlp/training_gpu.hpp"

namespace lanner::mlp::LANNER_GPU {
namespace {

// ------------------------------------------------------------------------------------------------ products

constexpr unsigned each = 4;          // a thread has each x each values
constexpr unsigned steps_chunk = 16;  // of the chains, in a buffer

/// A block of tile x tile values.
template <unsigned tile>
struct Shape {
  static constexpr unsigned across = tile / each, threads = across * across;
  static constexpr unsigned pitch = tile + 4;                // between steps, in a buffer
  static constexpr unsigned buffer = steps_chunk * pitch;    // floats
  static constexpr unsigned quads = tile * steps_chunk / 4;  // of an operand in a buffer
  static constexpr unsigned quads_each = quads / threads;
  static_assert(quads_each * threads == quads);
};

/// A matrix with `count` rows (or columns) that give the result its own, in memory rows `stride` apart.
struct Operand {
  const float* data;
  std::size_t stride;
  unsigned count;
};

/// c(i, j) = start[j], or 0; for k in order: c(i, j) = fma(a(i, k), b(k, j), c(i, j)). rows is a's count;
/// columns, a multiple of 16, is at least b's, and what b lacks is zero.
struct GpuProduct {
  Operand a, b;
  unsigned depth;
  const float* start;
  float* c;
  std::size_t c_stride;
  unsigned columns;
};

/// Between global memory and a buffer [step][tile]: a thread's share of an operand's next steps. Where the
/// steps are `along` the operand's rows, they are turned on the way. Quads that begin within an operand may
/// end in the zeros that fill up its rows: steps beyond the depth are not taken, columns beyond the last stay
/// zero.
template <unsigned tile, bool along>
struct Next {
  using S = Shape<tile>;
  float4 quad[S::quads_each];

  __device__ __forceinline__ void fetch(const Operand& from, unsigned first, unsigned step, unsigned depth) {
#pragma unroll
    for (unsigned n = 0; n < S::quads_each; ++n) {
      const unsigned q = threadIdx.x + n * S::threads;
      const unsigned i = first + (along ? q / (steps_chunk / 4) : q % (tile / 4) * 4);
      const unsigned k = step + (along ? q % (steps_chunk / 4) * 4 : q / (tile / 4));
      const float* at = along ? from.data + i * from.stride + k : from.data + k * from.stride + i;
      quad[n] = i < from.count && k < depth ? *reinterpret_cast<const float4*>(at) : make_float4(0, 0, 0, 0);
    }
  }

  __device__ __forceinline__ void put(float* to) const {
#pragma unroll
    for (unsigned n = 0; n < S::quads_each; ++n) {
      const unsigned q = threadIdx.x + n * S::threads;
      if (along) {
        float* at = to + q % (steps_chunk / 4) * 4 * S::pitch + q / (steps_chunk / 4);
        at[0] = quad[n].x;
        at[S::pitch] = quad[n].y;
        at[2 * S::pitch] = quad[n].z;
        at[3 * S::pitch] = quad[n].w;
      } else {
        *reinterpret_cast<float4*>(to + q / (tile / 4) * S::pitch + q % (tile / 4) * 4) = quad[n];
      }
    }
  }
};

template <unsigned tile>
__device__ __forceinline__ void pass_steps(float (&c)[each][each], const float* a, const float* b,
                                           unsigned steps) {
#pragma unroll 4
  for (unsigned k = 0; k < steps; ++k) {
    const float4 left = *reinterpret_cast<const float4*>(a + k * Shape<tile>::pitch);
    const float4 above = *reinterpret_cast<const float4*>(b + k * Shape<tile>::pitch);
    const float l[each] = {left.x, left.y, left.z, left.w};
    const float u[each] = {above.x, above.y, above.z, above.w};
#pragma unroll
    for (unsigned i = 0; i < each; ++i)
#pragma unroll
      for (unsigned j = 0; j < each; ++j) c[i][j] = fma(l[i], u[j], c[i][j]);
  }
}

/// The block's tile of a product. pass(a, steps): each buffer of a. end(i, j, c): four chains that have
/// ended, c(i, j) to c(i, j + 3), before they are written.
template <unsigned tile, bool a_along, bool b_along, class Pass, class End>
__device__ __forceinline__ void make_tile(const GpuProduct& p, Pass pass, End end) {
  using S = Shape<tile>;
  SHARED_ARRAY(float4, a_memory, 2 * S::buffer / 4);
  SHARED_ARRAY(float4, b_memory, 2 * S::buffer / 4);
  float* const a = reinterpret_cast<float*>(a_memory);
  float* const b = reinterpret_cast<float*>(b_memory);
  const unsigned first_i = blockIdx.x * tile, first_j = blockIdx.y * tile;
  const unsigned own_i = threadIdx.x / S::across * each, own_j = threadIdx.x % S::across * each;
  const unsigned chunks = (p.depth + steps_chunk - 1) / steps_chunk;

  Next<tile, a_along> next_a;
  Next<tile, b_along> next_b;
  next_a.fetch(p.a, first_i, 0, p.depth);
  next_b.fetch(p.b, first_j, 0, p.depth);
  next_a.put(a);
  next_b.put(b);
  float c[each][each];
#pragma unroll
  for (unsigned j = 0; j < each; ++j) {
    const unsigned column = first_j + own_j + j;
    const float start = p.start && column < p.columns ? p.start[column] : 0.0f;
#pragma unroll
    for (unsigned i = 0; i < each; ++i) c[i][j] = start;
  }
  __syncthreads();
  for (unsigned n = 0; n < chunks; ++n) {
    const unsigned here = (n & 1) * S::buffer, there = S::buffer - here;
    const bool is_last = n + 1 == chunks;
    if (is_last) {
      const unsigned steps = p.depth - n * steps_chunk;
      pass_steps<tile>(c, a + here + own_i, b + here + own_j, steps);
      pass(a + here, steps);
      break;
    }
    next_a.fetch(p.a, first_i, (n + 1) * steps_chunk, p.depth);
    next_b.fetch(p.b, first_j, (n + 1) * steps_chunk, p.depth);
    pass_steps<tile>(c, a + here + own_i, b + here + own_j, steps_chunk);
    pass(a + here, steps_chunk);
    next_a.put(a + there);
    next_b.put(b + there);
    __syncthreads();
  }
  const unsigned j = first_j + own_j;
  if (j >= p.columns) return;
#pragma unroll
  for (unsigned r = 0; r < each; ++r) {
    const unsigned i = first_i + own_i + r;
    if (i >= p.a.count) break;
    end(i, j, c[r]);
    *reinterpret_cast<float4*>(p.c + i * p.c_stride + j) = make_float4(c[r][0], c[r][1], c[r][2], c[r][3]);
  }
}

__device__ __forceinline__ float activate(Activation activation, float z) {
  switch (activation) {
    case Activation::rectifier:
      return activated<Activation::rectifier>(z);
    case Activation::tanh:
      return activated<Activation::tanh>(z);
    case Activation::sigmoid:
      return activated<Activation::sigmoid>(z);
    default:
      return activated<Activation::identity>(z);
  }
}

__device__ __forceinline__ float pass_back(Activation activation, float a, float delta) {
  switch (activation) {
    case Activation::rectifier:
      return passed_back<Activation::rectifier>(a, delta);
    case Activation::tanh:
      return passed_back<Activation::tanh>(a, delta);
    case Activation::sigmoid:
      return passed_back<Activation::sigmoid>(a, delta);
    default:
      return passed_back<Activation::identity>(a, delta);
  }
}

// ptxas: train_forward<32>: block 64, registers <= 80, shared <= 9216, occupancy >= 37 %
// ptxas: train_forward<64>: block 256, registers <= 64, shared <= 17408, occupancy >= 50 %
/// A layer's activations: a the rows that go in, b the weights.
template <unsigned tile>
__global__ void __launch_bounds__(Shape<tile>::threads) train_forward(GpuProduct p, Activation activation) {
  make_tile<tile, true, true>(
      p, [](const float*, unsigned) {},
      [=](unsigned, unsigned, float(&c)[each]) {
#pragma unroll
        for (float& z : c) z = activate(activation, z);
      });
}

// ptxas: train_backward<32>: block 64, registers <= 80, shared <= 9216, occupancy >= 37 %
// ptxas: train_backward<64>: block 256, registers <= 64, shared <= 17408, occupancy >= 50 %
/// The loss by the sums of the layer below, whose activations are `below`: a the loss by a layer's sums, b
/// its weights.
template <unsigned tile>
__global__ void __launch_bounds__(Shape<tile>::threads)
    train_backward(GpuProduct p, Activation activation, const float* below) {
  make_tile<tile, true, false>(
      p, [](const float*, unsigned) {},
      [=](unsigned i, unsigned j, float(&c)[each]) {
        const float4 at = *reinterpret_cast<const float4*>(below + i * p.c_stride + j);
        const float value[each] = {at.x, at.y, at.z, at.w};
#pragma unroll
        for (unsigned n = 0; n < each; ++n) c[n] = pass_back(activation, value[n], c[n]);
      });
}

// ptxas: train_gradient<32>: block 64, registers <= 80, shared <= 9216, occupancy >= 37 %
// ptxas: train_gradient<64>: block 256, registers <= 64, shared <= 17408, occupancy >= 50 %
/// The gradients of a layer's weights and of its biases: a the loss by its sums, b what went in.
template <unsigned tile>
__global__ void __launch_bounds__(Shape<tile>::threads) train_gradient(GpuProduct p, float* bias) {
  static_assert(Shape<tile>::threads >= tile);
  const bool sums = blockIdx.y == 0 && threadIdx.x < tile;
  float sum = 0;
  make_tile<tile, false, false>(
      p,
      [&](const float* a, unsigned steps) {
        if (!sums) return;
#pragma unroll 4
        for (unsigned k = 0; k < steps; ++k) sum = sum + a[k * Shape<tile>::pitch + threadIdx.x];
      },
      [](unsigned, unsigned, float(&)[each]) {});
  if (const unsigned i = blockIdx.x * tile + threadIdx.x; sums && i < p.a.count) bias[i] = sum;
}

// ------------------------------------------------------------------------------------------------ the rest

constexpr unsigned threads_each_value = 128;
constexpr unsigned threads_each_column = 64;  // few, so that few columns are many blocks

// ptxas: train_gather: block 128, registers <= 32, shared <= 0, occupancy >= 100 %
/// to [count, to_stride]: rows order[0, count) of rows [n, 4 quads].
__global__ void __launch_bounds__(threads_each_value)
    train_gather(const float* rows, unsigned quads, const std::size_t* order, unsigned count, float* to,
                 std::size_t to_stride) {
  const std::size_t at = std::size_t{blockIdx.x} * threads_each_value + threadIdx.x;
  if (at >= std::size_t{count} * quads) return;
  const std::size_t i = at / quads, q = at % quads;
  *reinterpret_cast<float4*>(to + i * to_stride + q * 4) =
      reinterpret_cast<const float4*>(rows)[order[i] * quads + q];
}

// ptxas: train_compare: block 64, registers <= 32, shared <= 0, occupancy >= 100 %
/// Outputs y and inputs x, both [rows, stride]: sums of squared differences, a column a thread, and, where
/// delta is asked for, the loss by the sums before the last activation.
__global__ void __launch_bounds__(threads_each_column)
    train_compare(const float* __restrict__ y, const float* __restrict__ x, unsigned rows, unsigned columns,
                  std::size_t stride, float scale, Activation activation, float* __restrict__ delta,
                  float* __restrict__ square) {
  const unsigned j = blockIdx.x * threads_each_column + threadIdx.x;
  if (j >= columns) return;
  float sum = 0;
#pragma unroll 4
  for (unsigned i = 0; i < rows; ++i) {
    const float a = y[i * stride + j], d = a - x[i * stride + j];
    sum = fma(d, d, sum);
    if (delta) delta[i * stride + j] = pass_back(activation, a, loss_by_output(d, scale));
  }
  square[j] = bounded_square(sum);
}

// ptxas: train_sums: block 64, registers <= 32, shared <= 0, occupancy >= 100 %
/// sums[i] of the first `width` of square [count, stride].
__global__ void __launch_bounds__(threads_each_column)
    train_sums(const float* square, unsigned width, std::size_t stride, unsigned count, double* sums) {
  const unsigned i = blockIdx.x * threads_each_column + threadIdx.x;
  if (i >= count) return;
  double sum = 0;
#pragma unroll 4
  for (unsigned j = 0; j < width; ++j) sum = sum + static_cast<double>(square[i * stride + j]);
  sums[i] = sum;
}

// ptxas: train_adam: block 128, registers <= 32, shared <= 0, occupancy >= 100 %
__global__ void __launch_bounds__(threads_each_value)
    train_adam(AdamStep step, unsigned count, const float* __restrict__ gradient, float* __restrict__ moment1,
               float* __restrict__ moment2, float* __restrict__ weight) {
  const unsigned i = blockIdx.x * threads_each_value + threadIdx.x;
  if (i < count) adapt(step, gradient[i], moment1[i], moment2[i], weight[i]);
}

// ------------------------------------------------------------------------------------------------ host

template <class Integer>
unsigned blocks_of(Integer items, unsigned each_block) {
  return static_cast<unsigned>((items + each_block - 1) / each_block);
}

class GpuTrainer final : public Trainer {
 public:
  GpuTrainer(Device& device, const TrainerTask& task)
      : device_(device),
        stream_(device.stream()),
        input_(task.start.input),
        width_(task.rows.width),
        batch_max_(task.batch_max),
        layout_(task.start),
        staged_(device.pinned<float>(layout_.parameters)),
        order_staged_(device.pinned<std::size_t>(task.rows.count)),
        sums_staged_(device.pinned<double>(task.calls_max)),
        parameters_(zeros(layout_.parameters)),
        gradient_(zeros(layout_.parameters)),
        moment1_(zeros(layout_.parameters)),
        moment2_(zeros(layout_.parameters)),
        values_(zeros(layout_.values * batch_max_)),
        delta_{zeros(layout_.widest * batch_max_), zeros(layout_.widest * batch_max_)},
        square_(zeros(columns_of(width_) * task.calls_max)),
        rows_(device.array<float>(task.rows.count * row_pitch())),
        order_(device.array<std::size_t>(task.rows.count)),
        sums_(device.array<double>(task.calls_max)) {
    layout_.write(task.start, staged_.data());
    stream_.copy_in(parameters_, staged_, staged_.size());
    bring(task.rows);
    finish_copies(stream_);
  }

  // What the last epoch copied from is free: errors() has waited for it.
  void begin(std::span<const std::size_t> order) override {
    std::copy(order.begin(), order.end(), order_staged_.data());
    stream_.copy_in(order_, order_staged_, order.size());
    calls_ = 0;
  }

  void differentiate(std::size_t first, std::size_t count) override {
    gather(first, count);
    forward(count);
    float *delta = delta_[0].data(), *next = delta_[1].data();
    compare(count, delta);
    for (std::size_t l = layout_.layers.size(); l-- > 0;) {
      const TrainingLayout::Layer& layer = layout_.layers[l];
      const std::size_t in = stride_of(layer.inputs), out = stride_of(layer.outputs);
      const unsigned rows = whole(count), inputs = whole(layer.inputs), outputs = whole(layer.outputs),
                     columns = whole(columns_of(layer.inputs));
      const float* below = l == 0 ? values_.data() : activations(l - 1);
      multiply(train_gradient<32>, train_gradient<64>,
               {{delta, out, outputs},
                {below, in, inputs},
                rows,
                nullptr,
                gradient_.data() + layer.weight,
                in,
                columns},
               gradient_.data() + layer.bias);
      if (l == 0) break;
      multiply(train_backward<32>, train_backward<64>,
               {{delta, out, rows},
                {parameters_.data() + layer.weight, in, inputs},
                outputs,
                nullptr,
                next,
                in,
                columns},
               layout_.layers[l - 1].activation, below);
      std::swap(delta, next);
    }
  }

  void step(const AdamStep& step) override {
    launch(stream_, train_adam, dim3(blocks_of(layout_.parameters, threads_each_value)),
           dim3(threads_each_value), 0, step, whole(layout_.parameters), gradient_.data(), moment1_.data(),
           moment2_.data(), parameters_.data());
  }

  void measure(std::size_t first, std::size_t count) override {
    gather(first, count);
    forward(count);
    compare(count, nullptr);
  }

  std::span<const double> errors() override {
    launch(stream_, train_sums, dim3(blocks_of(calls_, threads_each_column)), dim3(threads_each_column), 0,
           square_.data(), whole(width_), columns_of(width_), whole(calls_), sums_.data());
    stream_.copy_out(sums_staged_, sums_, calls_);
    stream_.synchronize();
    return std::span<const double>(sums_staged_.span()).first(calls_);
  }

  void keep() override { stream_.copy_out(staged_, parameters_, staged_.size()); }
  Network kept() override {
    stream_.synchronize();
    return layout_.read(staged_.data(), input_);
  }
  Network gradient() override {
    Pinned<float> values = device_.pinned<float>(layout_.parameters);
    stream_.copy_out(values, gradient_, values.size());
    stream_.synchronize();
    return layout_.read(values.data(), input_);
  }

 private:
  static unsigned whole(std::size_t n) { return static_cast<unsigned>(n); }
  /// Of the rows, which are packed as closely as quads allow.
  std::size_t row_pitch() const { return (width_ + 3) / 4 * 4; }
  float* activations(std::size_t l) { return values_.data() + layout_.layers[l].values * batch_max_; }

  Array<float> zeros(std::size_t count) {
    Array<float> array = device_.array<float>(count);
    stream_.fill(std::as_writable_bytes(array.span()), 0);
    return array;
  }

  /// The rows, standardised, a few megabytes at a time.
  void bring(Rows rows) {
    const std::size_t pitch = row_pitch();
    const std::size_t together =
        std::min(rows.count, std::max<std::size_t>(1, (std::size_t{1} << 20) / pitch));
    Pinned<float> staged = device_.pinned<float>(together * pitch);
    for (std::size_t begin = 0; begin < rows.count; begin += together) {
      const std::size_t count = std::min(together, rows.count - begin);
      for (std::size_t i = 0; i < count; ++i)
        standardise(input_, rows.row(begin + i), width_, staged.data() + i * pitch);
      stream_.copy_in(rows_.span().subspan(begin * pitch, count * pitch), staged.data());
      finish_copies(stream_);
    }
  }

  void gather(std::size_t first, std::size_t count) {
    const std::size_t quads = row_pitch() / 4;
    launch(stream_, train_gather, dim3(blocks_of(count * quads, threads_each_value)),
           dim3(threads_each_value), 0, rows_.data(), whole(quads), order_.data() + first, whole(count),
           values_.data(), stride_of(width_));
  }

  void forward(std::size_t rows) {
    const float* x = values_.data();
    for (std::size_t l = 0; l < layout_.layers.size(); ++l) {
      const TrainingLayout::Layer& layer = layout_.layers[l];
      const std::size_t in = stride_of(layer.inputs);
      multiply(train_forward<32>, train_forward<64>,
               {{x, in, whole(rows)},
                {parameters_.data() + layer.weight, in, whole(layer.outputs)},
                whole(layer.inputs),
                parameters_.data() + layer.bias,
                activations(l),
                stride_of(layer.outputs),
                whole(columns_of(layer.outputs))},
               layer.activation);
      x = activations(l);
    }
  }

  void compare(std::size_t rows, float* delta) {
    const std::size_t columns = columns_of(width_);
    launch(stream_, train_compare, dim3(blocks_of(columns, threads_each_column)), dim3(threads_each_column),
           0, activations(layout_.layers.size() - 1), values_.data(), whole(rows), whole(columns),
           stride_of(width_), loss_scale(rows, width_), layout_.layers.back().activation, delta,
           square_.data() + calls_++ * columns);
  }

  /// Large tiles where they are enough to keep the GPU busy.
  template <class... Parameters, class... Arguments>
  void multiply(void (*small)(GpuProduct, Parameters...), void (*large)(GpuProduct, Parameters...),
                const GpuProduct& product, Arguments... arguments) {
    const dim3 grid(blocks_of(product.a.count, 64), blocks_of(product.columns, 64));
    if (std::size_t{grid.x} * grid.y >= device_.multiprocessors()) {
      launch(stream_, large, grid, dim3(Shape<64>::threads), 0, product, arguments...);
    } else {
      launch(stream_, small, dim3(blocks_of(product.a.count, 32), blocks_of(product.columns, 32)),
             dim3(Shape<32>::threads), 0, product, arguments...);
    }
  }

  Device& device_;
  Stream stream_;
  Standardisation input_;
  std::size_t width_, batch_max_;
  TrainingLayout layout_;
  Pinned<float> staged_;  // parameters, of the start and then those kept
  Pinned<std::size_t> order_staged_;
  Pinned<double> sums_staged_;
  Array<float> parameters_, gradient_, moment1_, moment2_, values_, delta_[2];
  Array<float> square_;  // [calls of an epoch, columns]
  Array<float> rows_;    // [rows, pitch]
  Array<std::size_t> order_;
  Array<double> sums_;
  std::size_t calls_ = 0;  // of differentiate and measure in this epoch
};

}  // namespace

std::unique_ptr<Trainer> make_trainer(Device& device, const TrainerTask& task) {
  return std::make_unique<GpuTrainer>(device, task);
}

}  // namespace lanner::mlp::LANNER_GPU
