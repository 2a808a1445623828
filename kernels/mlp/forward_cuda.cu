// The forward pass on GPUs. Every output is one chain of fused multiply-adds, begun and ended by one thread;
// threads share nothing but what they read. A thread holds 8 outputs x 4 rows: an input costs it three
// 16-byte reads of shared memory for 32 multiply-adds, whose order among themselves is free.
//
// Small networks (`fused`: weights and the activations of a tile of rows fit in 96 KiB): blocks stay, keep
// all weights in shared memory and take tile after tile through all layers; only rows are read and only
// errors, parts or outputs are written. Others (`dense`): a layer a launch, tiles of 64 rows x 16 to 64
// outputs, 8 or 16 inputs at a time through two buffers; the last layer is compared with the rows tile by
// tile, so that the reconstruction is not written there either; hidden layers pass through the workspace.
//
// Roofline, computed, not measured. A multiply-add for each weight and row; 4 (d + 1) bytes a row, and 4 d
// more with parts. Multiply-adds and bytes a second: A100 9.7e12, 2.0e12; H100 33e12, 3.3e12; B200 37e12,
// 8e12.
//   network                 multiply-adds  bytes   rows a second: A100   H100          B200
//   32-16-8-16-32           1,280          132     7.6e9 adds            25e9 bytes    29e9 adds
//   64-32-16-32-64          5,120          260     1.9e9 adds            6.4e9 adds    7.2e9 adds
//   1555-64-16-64-1555      201,088        12,444  48e6 adds             164e6 adds    184e6 adds
// (the last reads its rows twice). An input's step is 32 multiply-adds among about 36 instructions, and 3 or
// 4 wavefronts of shared memory where 8 would be as slow: at most 0.89 of that ceiling. What lies idle beyond
// it: threads whose outputs only fill up a layer's last 8 (or `dense`: 16, 32, 64), and, in `fused`, those of
// a layer with fewer outputs than a block has threads for, which other blocks of the multiprocessor use.
//
// By ptxas 13.0 for sm_80, 90, 100; nothing is spilled:
//   fused            65,  71,  63 registers; 128 threads; the first network takes 29 KB: 5 blocks stay on an
//                                  A100's multiprocessor, 7 on an H100's
//   dense, 64 wide  118,  88,  96 registers; 128 threads, 34,816 bytes
//   dense, 32 wide   99,  95, 109 registers;  64 threads, 15,360 bytes
//   dense, 16 wide  158, 127, 128 registers;  32 threads,  9,856 bytes
#include <algorithm>
#include <memory>
#include <stdexcept>
#include <vector>

#include "kernels/device/resident.hpp"
#include "kernels/device/simt.hpp"
#include "kernels/mlp/formula.hpp"
#include "kernels/mlp/forward_gpu.hpp"
#include "kernels/mlp/mlp.hpp"

namespace lanner::mlp::LANNER_GPU {
namespace {

constexpr unsigned panel = 8;      // outputs of a thread
constexpr unsigned rows_each = 4;  // and its rows
constexpr unsigned skew = 4;       // floats between features beyond the tile's rows: no two lanes of a
                                   // transposing warp meet in a bank
constexpr unsigned layers_max = 16;
constexpr std::size_t fused_bytes_max = 96 << 10;

/// Weights are [panel of outputs][input][8], `between` floats from panel to panel; zeros fill up. Panels side
/// by side begin in different banks.
struct DenseLayer {
  const float* weight;
  const float* bias;
  std::size_t between;
  unsigned inputs, outputs;
  Activation activation;
};

/// What rows go through first; no shift: nothing.
struct Input {
  const float* shift = nullptr;
  const float* scale = nullptr;
  float limit = 0;

  LANNER_FORMULA float operator()(float x, std::size_t j) const {
    return shift ? standardised(x, shift[j], scale[j], limit) : x;
  }
};

/// Rows in, and what is asked for: outputs, or errors and perhaps parts, or (not against the rows) the
/// squared lengths of the outputs as errors.
struct Asked {
  const float* rows;
  std::size_t count, stride;
  float* out;
  std::size_t out_stride;
  float* error;
  float* parts;
  std::size_t parts_stride;
  bool against_rows;
};

/// visit(feature, row) for a tile, by all threads of the block: a warp takes 8 features of 4 rows, whole
/// sectors of row-major memory.
template <unsigned rows, unsigned threads, class Visit>
__device__ __forceinline__ void each_value(unsigned features, Visit visit) {
  for (unsigned r = threadIdx.x / 8; r < rows; r += threads / 8)
    for (unsigned j = threadIdx.x % 8; j < features; j += 8) visit(j, r);
}

struct Accumulators {
  float of[panel][rows_each];
};

__device__ __forceinline__ void begin_chains(Accumulators& a, const float* bias) {
#pragma unroll
  for (unsigned o = 0; o < panel; ++o)
#pragma unroll
    for (unsigned r = 0; r < rows_each; ++r) a.of[o][r] = bias[o];
}

/// weight [input][8] and x [input][pitch], both 16-byte aligned: the chains' next inputs.
template <unsigned pitch>
__device__ __forceinline__ void pass_inputs(Accumulators& a, const float* weight, const float* x,
                                            unsigned inputs) {
#pragma unroll 4
  for (unsigned i = 0; i < inputs; ++i) {
    const float4 low = *reinterpret_cast<const float4*>(weight + i * panel);
    const float4 high = *reinterpret_cast<const float4*>(weight + i * panel + 4);
    const float4 in = *reinterpret_cast<const float4*>(x + i * pitch);
    const float w[panel] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    const float v[rows_each] = {in.x, in.y, in.z, in.w};
#pragma unroll
    for (unsigned o = 0; o < panel; ++o)
#pragma unroll
      for (unsigned r = 0; r < rows_each; ++r) a.of[o][r] = fma(w[o], v[r], a.of[o][r]);
  }
}

/// Chains that have ended, in their bounds, to y [output][pitch]; a tanh or sigmoid is still to come.
template <unsigned pitch>
__device__ __forceinline__ void end_chains(const Accumulators& a, Activation activation, float* y,
                                           unsigned outputs) {
  const bool rectifies = activation == Activation::rectifier;
#pragma unroll
  for (unsigned o = 0; o < panel; ++o) {
    if (o >= outputs) break;
    float v[rows_each];
#pragma unroll
    for (unsigned r = 0; r < rows_each; ++r) v[r] = rectifies ? rectify(a.of[o][r]) : saturate(a.of[o][r]);
    *reinterpret_cast<float4*>(y + o * pitch) = make_float4(v[0], v[1], v[2], v[3]);
  }
}

/// The error chain of a row goes on: difference(j) of each output in turn.
template <class Difference>
__device__ __forceinline__ float pass_differences(float e, unsigned outputs, Difference difference) {
#pragma unroll 4
  for (unsigned j = 0; j < outputs; ++j) {
    const float d = difference(j);
    e = fma(d, d, e);
  }
  return e;
}

__device__ __forceinline__ float share(float sum, unsigned width) {
  return minimum(sum / static_cast<float>(width), largest);
}

__device__ __forceinline__ float error_of(const Asked& asked, float sum, unsigned width) {
  return share(sum, asked.against_rows ? width : 1);
}

// ------------------------------------------------------------------------------------------------ fused

constexpr unsigned fused_threads = 128;

/// A whole network in one array, and where things are in a block's shared memory (in floats): that array,
/// then the tile's inputs, outputs and two hidden buffers, each [feature][rows + skew].
struct FusedNetwork {
  struct Layer {
    unsigned weight, bias, between, inputs, outputs;
    Activation activation;
  };
  const float* values;
  unsigned value_count;  // a multiple of 4
  unsigned layer_count;
  Layer layers[layers_max];
  bool standardises;
  unsigned shift, scale;
  float limit;
  unsigned x, y, hidden[2];
};

template <unsigned rows>
__device__ __forceinline__ void run_layer(const FusedNetwork::Layer& layer, const float* values,
                                          const float* x, float* y) {
  constexpr unsigned pitch = rows + skew, groups = rows / rows_each, slots = fused_threads / groups;
  const unsigned row = threadIdx.x % groups * rows_each;
  for (unsigned o = threadIdx.x / groups * panel; o < layer.outputs; o += slots * panel) {
    Accumulators a;
    begin_chains(a, values + layer.bias + o);
    pass_inputs<pitch>(a, values + layer.weight + o / panel * layer.between, x + row, layer.inputs);
    float* to = y + o * pitch + row;
    const unsigned outputs = layer.outputs - o < panel ? layer.outputs - o : panel;
    end_chains<pitch>(a, layer.activation, to, outputs);
    if (!is_curved(layer.activation)) continue;
      // The thread's own values once more: the formulas are long, and should stand here once.
#pragma unroll 1
    for (unsigned p = 0; p < outputs; ++p) {
      float4* held = reinterpret_cast<float4*>(to + p * pitch);
      const float4 v = *held;
      *held = make_float4(curved(layer.activation, v.x), curved(layer.activation, v.y),
                          curved(layer.activation, v.z), curved(layer.activation, v.w));
    }
  }
}

// ptxas: fused: block 128, registers <= 72, shared <= 0, dynamic 29696, occupancy >= 31 %
template <unsigned rows>
__global__ void __launch_bounds__(fused_threads) fused(FusedNetwork network, Asked asked) {
  constexpr unsigned pitch = rows + skew;
  DYNAMIC_SHARED(float4, memory);
  float* const values = reinterpret_cast<float*>(memory);
  for (unsigned i = threadIdx.x; i < network.value_count / 4; i += fused_threads)
    memory[i] = reinterpret_cast<const float4*>(network.values)[i];
  __syncthreads();

  Input input;
  if (network.standardises) input = {values + network.shift, values + network.scale, network.limit};
  float* const x = values + network.x;
  float* const y = values + network.y;
  const unsigned inputs = network.layers[0].inputs;
  const unsigned outputs = network.layers[network.layer_count - 1].outputs;
  for (std::size_t first = std::size_t{blockIdx.x} * rows; first < asked.count;
       first += std::size_t{gridDim.x} * rows) {
    const std::size_t left = asked.count - first;
    const unsigned here = left < rows ? static_cast<unsigned>(left) : rows;
    each_value<rows, fused_threads>(inputs, [&](unsigned j, unsigned r) {
      const std::size_t row = first + (r < here ? r : here - 1);  // beyond the last: the last again
      x[j * pitch + r] = input(asked.rows[row * asked.stride + j], j);
    });
    __syncthreads();
    const float* from = x;
    for (unsigned l = 0; l < network.layer_count; ++l) {
      float* to = l + 1 == network.layer_count ? y : values + network.hidden[l & 1];
      run_layer<rows>(network.layers[l], values, from, to);
      __syncthreads();
      from = to;
    }
    if (asked.error) {
      if (const unsigned r = threadIdx.x; r < here)
        asked.error[first + r] =
            error_of(asked,
                     pass_differences(0.0f, outputs,
                                      [&](unsigned j) {
                                        const float v = y[j * pitch + r];
                                        return asked.against_rows ? v - x[j * pitch + r] : v;
                                      }),
                     outputs);
      if (asked.parts)
        each_value<rows, fused_threads>(outputs, [&](unsigned j, unsigned r) {
          if (r >= here) return;
          const float d = y[j * pitch + r] - x[j * pitch + r];
          asked.parts[(first + r) * asked.parts_stride + j] = share(d * d, outputs);
        });
    } else {
      each_value<rows, fused_threads>(outputs, [&](unsigned j, unsigned r) {
        if (r < here) asked.out[(first + r) * asked.out_stride + j] = y[j * pitch + r];
      });
    }
    __syncthreads();
  }
}

// ------------------------------------------------------------------------------------------------ dense

constexpr unsigned dense_rows = 64, dense_pitch = dense_rows + skew;
constexpr unsigned dense_groups = dense_rows / rows_each;

/// The shape of a block that takes `panels` panels of outputs.
template <unsigned panels>
struct Shape {
  static constexpr unsigned threads = dense_groups * panels, outputs = panels * panel;
  static constexpr unsigned eights = panels < 8 ? 1 : 2;  // few threads can hold but few of the next inputs
  static constexpr unsigned depth = eights * 8;           // inputs in a buffer
  static constexpr unsigned chunk = depth * panel;        // floats of a panel's weights among them
  static constexpr unsigned chunk_pitch = chunk + panel;  // panels begin in different banks
};

/// What is between global memory and a buffer: a thread's share of the next inputs and their weights.
template <unsigned panels>
struct Next {
  using S = Shape<panels>;
  static constexpr unsigned quads = S::chunk / 4;  // of a panel
  static constexpr unsigned row_step = S::threads / 8, row_count = dense_rows / row_step;
  static_assert(quads * panels == S::eights * S::threads);
  float x[S::eights][row_count];
  float4 weight[S::eights];

  __device__ __forceinline__ void fetch(const DenseLayer& layer, const Input& input, const float* rows,
                                        std::size_t stride, unsigned here, unsigned first_panel,
                                        unsigned begin) {
#pragma unroll
    for (unsigned k = 0; k < S::eights; ++k) {
      const unsigned i = begin + k * 8 + threadIdx.x % 8;
#pragma unroll
      for (unsigned n = 0; n < row_count; ++n) {
        const unsigned r = threadIdx.x / 8 + n * row_step;
        x[k][n] = i < layer.inputs ? input(rows[(r < here ? r : here - 1) * stride + i], i) : 0.0f;
      }
      const unsigned quad = threadIdx.x + k * S::threads, p = first_panel + quad / quads;
      const std::size_t at = std::size_t{begin} * panel + quad % quads * 4;
      weight[k] = p * panel < layer.outputs && at < layer.between
                      ? *reinterpret_cast<const float4*>(layer.weight + p * layer.between + at)
                      : make_float4(0, 0, 0, 0);
    }
  }

  __device__ __forceinline__ void put(float* to_x, float* to_weight) const {
#pragma unroll
    for (unsigned k = 0; k < S::eights; ++k) {
#pragma unroll
      for (unsigned n = 0; n < row_count; ++n)
        to_x[(k * 8 + threadIdx.x % 8) * dense_pitch + threadIdx.x / 8 + n * row_step] = x[k][n];
      const unsigned quad = threadIdx.x + k * S::threads;
      *reinterpret_cast<float4*>(to_weight + quad / quads * S::chunk_pitch + quad % quads * 4) = weight[k];
    }
  }
};

/// A layer: rows [count, inputs] to `out`, or compared with `original`, the network's own rows. Blocks are
/// [tiles of rows][tiles of outputs]; where the layer is compared, one block takes all outputs of its rows,
/// in order.
// ptxas: dense<8, false>: block 128, registers <= 120, shared <= 34816, occupancy >= 25 %
// ptxas: dense<8, true>: block 128, registers <= 120, shared <= 34816, occupancy >= 25 %
// ptxas: dense<4, false>: block 64, registers <= 112, shared <= 15360, occupancy >= 25 %
// ptxas: dense<2, false>: block 32, registers <= 160, shared <= 9856, occupancy >= 18 %
template <unsigned panels, bool compares>
__global__ void __launch_bounds__(Shape<panels>::threads)
    dense(DenseLayer layer, Input input, Asked asked, Input original_input, const float* original,
          std::size_t original_stride) {
  using S = Shape<panels>;
  SHARED_ARRAY(float4, x_memory, 2 * S::depth * dense_pitch / 4);
  SHARED_ARRAY(float4, weight_memory, 2 * panels * S::chunk_pitch / 4);
  SHARED_ARRAY(float4, y_memory, S::outputs * dense_pitch / 4);
  float* const x = reinterpret_cast<float*>(x_memory);
  float* const weight = reinterpret_cast<float*>(weight_memory);
  float* const y = reinterpret_cast<float*>(y_memory);

  const std::size_t first = std::size_t{blockIdx.x} * dense_rows, left = asked.count - first;
  const unsigned here = left < dense_rows ? static_cast<unsigned>(left) : dense_rows;
  const float* rows = asked.rows + first * asked.stride;
  const unsigned row = threadIdx.x % dense_groups * rows_each, own = threadIdx.x / dense_groups;
  const unsigned chunks = (layer.inputs + S::depth - 1) / S::depth;
  float e = 0;  // of row threadIdx.x
  for (unsigned o = blockIdx.y * S::outputs; o < layer.outputs; o += gridDim.y * S::outputs) {
    Next<panels> next;
    next.fetch(layer, input, rows, asked.stride, here, o / panel, 0);
    next.put(x, weight);
    __syncthreads();
    Accumulators a;
    // Panels beyond the last have weights of zero, and any bias: what comes of them is dropped.
    const unsigned o_own = o + own * panel;
    begin_chains(a, layer.bias + (o_own < layer.outputs ? o_own : 0));
    for (unsigned c = 0; c < chunks; ++c) {
      const unsigned buffer = c & 1, other = buffer ^ 1;
      const bool is_last = c + 1 == chunks;
      if (!is_last) next.fetch(layer, input, rows, asked.stride, here, o / panel, (c + 1) * S::depth);
      const float* weight_own = weight + (buffer * panels + own) * S::chunk_pitch;
      const float* x_own = x + buffer * S::depth * dense_pitch + row;
      if (is_last) {
        pass_inputs<dense_pitch>(a, weight_own, x_own, layer.inputs - c * S::depth);
      } else {
        pass_inputs<dense_pitch>(a, weight_own, x_own, S::depth);
        next.put(x + other * S::depth * dense_pitch, weight + other * panels * S::chunk_pitch);
      }
      __syncthreads();
    }
    const unsigned outputs = layer.outputs - o < S::outputs ? layer.outputs - o : S::outputs;
    if (own * panel < outputs)
      end_chains<dense_pitch>(a, layer.activation, y + own * panel * dense_pitch + row,
                              outputs - own * panel);
    __syncthreads();
    each_value<dense_rows, S::threads>(outputs, [&](unsigned j, unsigned r) {
      float v = y[j * dense_pitch + r];
      if (is_curved(layer.activation)) v = curved(layer.activation, v);
      if constexpr (compares) {
        const std::size_t i = o + j;
        if (r >= here) return;
        if (asked.against_rows) v = v - original_input(original[(first + r) * original_stride + i], i);
        y[j * dense_pitch + r] = v;
        if (asked.parts) asked.parts[(first + r) * asked.parts_stride + i] = share(v * v, layer.outputs);
      } else {
        if (r < here) asked.out[(first + r) * asked.out_stride + o + j] = v;
      }
    });
    if constexpr (compares) {
      static_assert(S::threads >= dense_rows);
      __syncthreads();
      if (threadIdx.x < here)
        e = pass_differences(e, outputs, [&](unsigned j) { return y[j * dense_pitch + threadIdx.x]; });
    }
  }
  if constexpr (compares) {
    if (threadIdx.x < here) asked.error[first + threadIdx.x] = error_of(asked, e, layer.outputs);
  }
}

// ------------------------------------------------------------------------------------------------ host

std::size_t round_up(std::size_t n, std::size_t to) {
  return (n + to - 1) / to * to;
}

class GpuNetwork final : public ResidentNetwork {
 public:
  GpuNetwork(Device& device, const Network& network) : device_(&device) {
    std::vector<float> values;
    const auto append = [&values](const std::vector<float>& v, std::size_t multiple) {
      const std::size_t begin = values.size();
      values.insert(values.end(), v.begin(), v.end());
      values.resize(begin + round_up(v.size(), multiple));
      return begin;
    };
    const bool standardises = !network.input.shift.empty();
    const std::size_t shift = append(network.input.shift, 4), scale = append(network.input.scale, 4);
    std::vector<std::size_t> weights, biases;
    for (const Layer& layer : network.layers) {
      const std::size_t between = round_up(layer.inputs, 4) * panel + panel;
      weights.push_back(values.size());
      values.resize(values.size() + round_up(layer.outputs, panel) / panel * between);
      for (std::size_t o = 0; o < layer.outputs; ++o)
        for (std::size_t i = 0; i < layer.inputs; ++i)
          values[weights.back() + o / panel * between + i * panel + o % panel] =
              layer.weight[o * layer.inputs + i];
      biases.push_back(append(layer.bias, panel));
    }
    values_ = resident_copy(device, values);
    const float* base = values_.data();
    for (std::size_t l = 0; l < network.layers.size(); ++l) {
      const Layer& layer = network.layers[l];
      layers_.push_back({base + weights[l], base + biases[l], round_up(layer.inputs, 4) * panel + panel,
                         static_cast<unsigned>(layer.inputs), static_cast<unsigned>(layer.outputs),
                         layer.activation});
      if (l + 1 < network.layers.size()) hidden_[l & 1] = std::max(hidden_[l & 1], layer.outputs);
    }
    if (standardises) input_ = {base + shift, base + scale, network.input.limit};
    choose_tile();
    if (tile_rows_ == 0) return;
    fused_.values = base;
    fused_.value_count = static_cast<unsigned>(values.size());
    fused_.layer_count = static_cast<unsigned>(layers_.size());
    for (std::size_t l = 0; l < layers_.size(); ++l)
      fused_.layers[l] = {static_cast<unsigned>(weights[l]),
                          static_cast<unsigned>(biases[l]),
                          static_cast<unsigned>(layers_[l].between),
                          layers_[l].inputs,
                          layers_[l].outputs,
                          layers_[l].activation};
    fused_.standardises = standardises;
    fused_.shift = static_cast<unsigned>(shift);
    fused_.scale = static_cast<unsigned>(scale);
    fused_.limit = network.input.limit;
    const unsigned pitch = tile_rows_ + skew;
    fused_.x = fused_.value_count;
    fused_.y = fused_.x + static_cast<unsigned>(inputs()) * pitch;
    fused_.hidden[0] = fused_.y + static_cast<unsigned>(outputs()) * pitch;
    fused_.hidden[1] = fused_.hidden[0] + static_cast<unsigned>(hidden_[0]) * pitch;
  }

  std::size_t inputs() const override { return layers_.front().inputs; }
  std::size_t outputs() const override { return layers_.back().outputs; }
  std::size_t workspace_bytes(std::size_t rows) const override {
    if (tile_rows_ || layers_.size() == 1) return 0;
    return rows * (hidden_stride(0) + hidden_stride(1)) * sizeof(float) + sector;
  }

  void forward(Stream& stream, Rows rows, std::span<std::byte> workspace, MutableRows out) const override {
    run(stream, {rows.data, rows.count, rows.stride, out.data, out.stride, nullptr, nullptr, 0, false},
        workspace);
  }
  void reconstruction_error(Stream& stream, Rows rows, std::span<std::byte> workspace, std::span<float> error,
                            MutableRows parts) const override {
    run(stream,
        {rows.data, rows.count, rows.stride, nullptr, 0, error.data(), parts.data, parts.stride, true},
        workspace);
  }
  void squared_length(Stream& stream, Rows rows, std::span<std::byte> workspace,
                      std::span<float> lengths) const override {
    run(stream, {rows.data, rows.count, rows.stride, nullptr, 0, lengths.data(), nullptr, 0, false},
        workspace);
  }

 private:
  static constexpr std::size_t sector = 32;  // that global memory is written in

  std::size_t hidden_stride(std::size_t l) const { return round_up(hidden_[l & 1], sector / sizeof(float)); }
  std::size_t fused_bytes(std::size_t rows) const {
    return (values_.size() + (inputs() + outputs() + hidden_[0] + hidden_[1]) * (rows + skew)) *
           sizeof(float);
  }

  void choose_tile() {
    if (layers_.size() > layers_max) return;
    for (unsigned rows : {64u, 32u})
      if (fused_bytes(rows) <= fused_bytes_max) {
        tile_rows_ = rows;
        return;
      }
  }

  void run(Stream& stream, const Asked& asked, std::span<std::byte> workspace) const {
    if (&stream.device() != device_)
      throw std::invalid_argument("mlp: the network is resident on another device");
    if (asked.count == 0) return;
    if (tile_rows_) {
      run_fused(stream, asked);
    } else {
      run_layers(stream, asked, workspace);
    }
  }

  void run_fused(Stream& stream, const Asked& asked) const {
    const std::size_t bytes = fused_bytes(tile_rows_), tiles = (asked.count + tile_rows_ - 1) / tile_rows_;
    // As many blocks as stay on an A100 at once (of 164 KB of shared memory each takes 1 for itself).
    const std::size_t together = std::max<std::size_t>(1, (std::size_t{164} << 10) / (bytes + 1024));
    const dim3 grid(static_cast<unsigned>(
        std::min(tiles, std::min<std::size_t>(together, 16) * device_->multiprocessors())));
    if (tile_rows_ == 64) {
      launch(stream, fused<64>, grid, dim3(fused_threads), bytes, fused_, asked);
    } else {
      launch(stream, fused<32>, grid, dim3(fused_threads), bytes, fused_, asked);
    }
  }

  void run_layers(Stream& stream, const Asked& asked, std::span<std::byte> workspace) const {
    float* hidden[2] = {};
    if (layers_.size() > 1) {
      void* memory = workspace.data();
      std::size_t size = workspace.size();
      hidden[0] = static_cast<float*>(std::align(sector, size - (sector - 1), memory, size));
      hidden[1] = hidden[0] + asked.count * hidden_stride(0);
    }
    Asked step = asked;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const Input input = l == 0 ? input_ : Input{};
      const bool is_last = l + 1 == layers_.size();
      if (is_last && asked.error) {
        step.error = asked.error;
        step.parts = asked.parts;
        launch_dense<8, true>(stream, layers_[l], input, step, asked);
        return;
      }
      step.error = nullptr;
      step.parts = nullptr;
      step.out = is_last ? asked.out : hidden[l & 1];
      step.out_stride = is_last ? asked.out_stride : hidden_stride(l);
      if (layers_[l].outputs <= 16) {
        launch_dense<2, false>(stream, layers_[l], input, step, asked);
      } else if (layers_[l].outputs <= 32) {
        launch_dense<4, false>(stream, layers_[l], input, step, asked);
      } else {
        launch_dense<8, false>(stream, layers_[l], input, step, asked);
      }
      step.rows = step.out;
      step.stride = step.out_stride;
    }
  }

  template <unsigned panels, bool compares>
  void launch_dense(Stream& stream, const DenseLayer& layer, const Input& input, const Asked& step,
                    const Asked& asked) const {
    using S = Shape<panels>;
    const std::size_t row_tiles = (asked.count + dense_rows - 1) / dense_rows;
    const unsigned output_tiles = compares ? 1 : (layer.outputs + S::outputs - 1) / S::outputs;
    launch(stream, dense<panels, compares>,
           dim3(static_cast<unsigned>(row_tiles), std::min(output_tiles, 65535u)), dim3(S::threads), 0, layer,
           input, step, input_, asked.rows, asked.stride);
  }

  Device* device_;
  Array<float> values_;
  std::vector<DenseLayer> layers_;
  std::size_t hidden_[2] = {};  // widest of the even and of the odd hidden layers
  Input input_;
  unsigned tile_rows_ = 0;  // of `fused`; 0: layer by layer
  FusedNetwork fused_ = {};
};

}  // namespace

std::shared_ptr<const ResidentNetwork> make_resident(Device& device, const Network& network) {
  return std::make_shared<GpuNetwork>(device, network);
}

}  // namespace lanner::mlp::LANNER_GPU
