// The forward pass of the SIMD tiers, a template over the tier.
#pragma once

#include <immintrin.h>

#include "kernels/mlp/formula.hpp"
#include "kernels/mlp/packed.hpp"
#include "kernels/simd/lanes.hpp"
#include "kernels/simd/transpose.hpp"

namespace lanner::mlp {

template <class Tier>
struct Tile;

// 12 accumulators, 3 vectors of inputs and a broadcast fill AVX2's 16 registers.
template <>
struct Tile<simd::Avx2> {
  static constexpr int outputs = 4, vectors = 3;
  static constexpr std::size_t inputs_block = 256;  // of 24 rows: 24 KB, which a first-level cache holds
};
template <>
struct Tile<simd::Avx512> {
  static constexpr int outputs = 8, vectors = 3;
  static constexpr std::size_t inputs_block = 192;  // of 48 rows: 36 KB of the 48 that such machines have
};

template <class Tier>
inline constexpr TileShape tile_shape{
    Tile<Tier>::outputs, static_cast<std::size_t>(Tile<Tier>::vectors) * simd::Floats<Tier>::width};

/// Rows [first, first + count), standardised if need be, to x [feature][lane]; lanes beyond count repeat the
/// last row (their results are dropped), features up to a multiple of 8 are zero.
template <class Tier, int lanes>
LANNER_INLINE void transpose_in(Rows rows, const PackedNetwork& network, std::size_t first, std::size_t count,
                                float* x) {
  using F = simd::Floats<Tier>;
  for (int r = 0; r < lanes; r += F::width) {
    const float* from[F::width];
    for (int i = 0; i < F::width; ++i) {
      const std::size_t lane = static_cast<std::size_t>(r + i);
      from[i] = rows.data + (first + (lane < count ? lane : count - 1)) * rows.stride;
    }
    for (std::size_t j = 0; j < rows.width; j += 8) {
      F columns[8];
      simd::load_columns<Tier>(from, j, rows.width - j, columns);
      if (network.shift)
#pragma GCC unroll 8
        for (std::size_t i = 0; i < 8; ++i)
          columns[i] =
              standardised(columns[i], F(network.shift[j + i]), F(network.scale[j + i]), F(network.limit));
#pragma GCC unroll 8
      for (std::size_t i = 0; i < 8; ++i) columns[i].store(x + (j + i) * lanes + r);
    }
  }
}

/// The way back: y [feature][lane] to rows [first, first + count).
template <int lanes>
LANNER_INLINE void transpose_out(const float* y, MutableRows rows, std::size_t first, std::size_t count) {
  for (std::size_t r = 0; r < count; r += 8) {
    const std::size_t here = count - r < 8 ? count - r : 8;
    for (std::size_t j = 0; j < rows.width; j += 8) {
      __m256 block[8];
      for (std::size_t i = 0; i < 8; ++i) block[i] = _mm256_load_ps(y + (j + i) * lanes + r);
      simd::transpose_8x8(block);
      float* to = rows.data + (first + r) * rows.stride + j;
      const std::size_t wide = rows.width - j < 8 ? rows.width - j : 8;
      const __m256i mask = simd::first_lanes(wide);
      for (std::size_t i = 0; i < here; ++i) {
        if (wide == 8) {
          _mm256_storeu_ps(to + i * rows.stride, block[i]);
        } else {
          _mm256_maskstore_ps(to + i * rows.stride, mask, block[i]);
        }
      }
    }
  }
}

template <class Tier, int vectors>
struct Accumulators {
  simd::Floats<Tier> of[Tile<Tier>::outputs][vectors];
};

template <class Tier, int vectors>
LANNER_INLINE void pass_inputs(Accumulators<Tier, vectors>& a, const float* weight, const float* x,
                               std::size_t inputs) {
  using F = simd::Floats<Tier>;
  constexpr int outputs = Tile<Tier>::outputs, lanes = vectors * F::width;
#pragma GCC unroll 1
  for (std::size_t i = 0; i < inputs; ++i) {
    F in[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) in[v] = F::load(x + i * lanes + static_cast<std::size_t>(v * F::width));
#pragma GCC unroll 8
    for (int o = 0; o < outputs; ++o) {
      const F w(weight[i * outputs + static_cast<std::size_t>(o)]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) a.of[o][v] = fma(w, in[v], a.of[o][v]);
    }
  }
}

template <class Tier, int vectors>
LANNER_INLINE void store(const Accumulators<Tier, vectors>& a, float* y) {
#pragma GCC unroll 8
  for (int p = 0; p < Tile<Tier>::outputs; ++p)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) a.of[p][v].store(y + (p * vectors + v) * simd::Floats<Tier>::width);
}

/// What is done to a layer's outputs. A function each: where one has them all, the accumulators don't stay in
/// registers.
enum class Held { as_they_are, saturated, rectified, curved };

LANNER_INLINE Held held(const PackedLayer& layer) {
  if (is_curved(layer.activation)) return Held::curved;
  if (layer.activation == Activation::rectifier) return Held::rectified;
  return layer.overflows_never ? Held::as_they_are : Held::saturated;
}

template <class Tier, int vectors, Held held>
LANNER_INLINE void activate(Accumulators<Tier, vectors>& a, Activation activation) {
  constexpr int outputs = Tile<Tier>::outputs;
  if constexpr (held == Held::as_they_are) return;
#pragma GCC unroll 8
  for (int p = 0; p < outputs; ++p)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v)
      a.of[p][v] = held == Held::rectified ? rectify(a.of[p][v]) : saturate(a.of[p][v]);
  if constexpr (held != Held::curved) return;
  // By way of memory: the formulas are long, and should stand here once.
  using F = simd::Floats<Tier>;
  constexpr int all = outputs * vectors * F::width;
  alignas(64) float arguments[all];
  store<Tier, vectors>(a, arguments);
#pragma GCC unroll 1
  for (int i = 0; i < all; i += F::width) curved(activation, F::load(arguments + i)).store(arguments + i);
#pragma GCC unroll 8
  for (int p = 0; p < outputs; ++p)
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) a.of[p][v] = F::load(arguments + (p * vectors + v) * F::width);
}

/// What becomes of a panel whose chains are complete: its activations go to y.
template <class Tier, int vectors>
struct Keep {
  template <Held held>
  LANNER_INLINE void operator()(std::size_t o, Accumulators<Tier, vectors>& a, Activation activation,
                                float* y) const {
    activate<Tier, vectors, held>(a, activation);
    store<Tier, vectors>(a, y + o * vectors * simd::Floats<Tier>::width);
  }
};

/// Or they are compared with the tile's inputs x (none: with zeros): sum [lane] takes up the squares, y the
/// parts if they are wanted. Outputs that only fill up the last panel are 0, as is their input: they leave
/// the sum as it is. (A sigmoid's of 0 isn't; they are made so.)
template <class Tier, int vectors>
struct Compare {
  const float* x;
  float* sum;
  bool parts;
  float width;
  std::size_t outputs_there;  ///< without those that fill up

  template <Held held>
  LANNER_INLINE void operator()(std::size_t o, Accumulators<Tier, vectors>& a, Activation activation,
                                float* y) const {
    using F = simd::Floats<Tier>;
    constexpr int outputs = Tile<Tier>::outputs, lanes = vectors * F::width;
    activate<Tier, vectors, held>(a, activation);
    if (held == Held::curved && activation == Activation::sigmoid && o + outputs > outputs_there)
#pragma GCC unroll 8
      for (int p = 0; p < outputs; ++p)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v)
          if (o + static_cast<std::size_t>(p) >= outputs_there) a.of[p][v] = F(0.0f);
    if (x) {
      const float* in = x + o * lanes;
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v)
#pragma GCC unroll 8
        for (int p = 0; p < outputs; ++p) a.of[p][v] = a.of[p][v] - F::load(in + p * lanes + v * F::width);
    }
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      F e = F::load(sum + v * F::width);
#pragma GCC unroll 8
      for (int p = 0; p < outputs; ++p) e = fma(a.of[p][v], a.of[p][v], e);
      e.store(sum + v * F::width);
    }
    if (!parts) return;
#pragma GCC unroll 8
    for (int p = 0; p < outputs; ++p)
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v)
        a.of[p][v] = minimum((a.of[p][v] * a.of[p][v]) / F(width), F(largest));
    store<Tier, vectors>(a, y + o * lanes);
  }
};

/// One layer from x to y, both [feature][lane]; y holds unfinished chains between blocks of inputs. Not
/// inlined: on its own it keeps its accumulators in registers.
template <class Tier, int vectors, Held held, class Finish>
[[gnu::noinline]] void pass_layer(const PackedLayer& layer, const float* x, float* y, const Finish& finish) {
  using F = simd::Floats<Tier>;
  constexpr std::size_t outputs = Tile<Tier>::outputs, block = Tile<Tier>::inputs_block;
  constexpr std::size_t lanes = static_cast<std::size_t>(vectors) * F::width;
  for (std::size_t begin = 0; begin < layer.inputs; begin += block) {
    const bool is_last = begin + block >= layer.inputs;
    const std::size_t inputs = is_last ? layer.inputs - begin : block;
    for (std::size_t o = 0; o < layer.outputs; o += outputs) {
      Accumulators<Tier, vectors> a;
#pragma GCC unroll 8
      for (std::size_t p = 0; p < outputs; ++p)
#pragma GCC unroll 8
        for (std::size_t v = 0; v < vectors; ++v)
          a.of[p][v] = begin == 0 ? F(layer.bias[o + p]) : F::load(y + (o + p) * lanes + v * F::width);
      pass_inputs<Tier, vectors>(a, layer.weight + o * layer.inputs + begin * outputs, x + begin * lanes,
                                 inputs);
      if (is_last) {
        finish.template operator()<held>(o, a, layer.activation, y);
      } else {
        store<Tier, vectors>(a, y + o * lanes);
      }
    }
  }
}

template <class Tier, int vectors, class Finish>
LANNER_INLINE void run_layer(const PackedLayer& layer, const float* x, float* y, const Finish& finish) {
  switch (held(layer)) {
    case Held::as_they_are:
      return pass_layer<Tier, vectors, Held::as_they_are>(layer, x, y, finish);
    case Held::saturated:
      return pass_layer<Tier, vectors, Held::saturated>(layer, x, y, finish);
    case Held::rectified:
      return pass_layer<Tier, vectors, Held::rectified>(layer, x, y, finish);
    case Held::curved:
      return pass_layer<Tier, vectors, Held::curved>(layer, x, y, finish);
  }
}

/// Up to `vectors` registers of rows through all layers.
template <class Tier, int vectors>
LANNER_INLINE void run_tile(const ForwardTask& task, std::size_t first, std::size_t count, float* scratch) {
  using F = simd::Floats<Tier>;
  constexpr int lanes = vectors * F::width;
  const PackedNetwork& network = task.network;
  const float* x = scratch;
  transpose_in<Tier, lanes>(task.rows, network, first, count, scratch);
  for (std::size_t l = 0; l + 1 < network.count; ++l) {
    float* y = scratch + network.hidden[l & 1];
    run_layer<Tier, vectors>(network.layers[l], x, y, Keep<Tier, vectors>{});
    x = y;
  }
  const PackedLayer& last = network.layers[network.count - 1];
  float* y = scratch + network.output;
  if (!task.error) {
    run_layer<Tier, vectors>(last, x, y, Keep<Tier, vectors>{});
    transpose_out<lanes>(y, task.out, first, count);
    return;
  }
  alignas(64) float sum[lanes] = {};
  const Compare<Tier, vectors> compare{task.against_rows ? scratch : nullptr, sum, task.parts.data != nullptr,
                                       task.against_rows ? static_cast<float>(last.outputs) : 1,
                                       last.outputs};
  run_layer<Tier, vectors>(last, x, y, compare);
  for (int v = 0; v < vectors; ++v)
    minimum(F::load(sum + v * F::width) / F(compare.width), F(largest)).store(sum + v * F::width);
  for (std::size_t r = 0; r < count; ++r) task.error[first + r] = sum[r];
  if (compare.parts) transpose_out<lanes>(y, task.parts, first, count);
}

template <class Tier, int vectors = Tile<Tier>::vectors>
LANNER_INLINE void run_rows(const ForwardTask& task, std::size_t begin, std::size_t end, float* scratch) {
  constexpr std::size_t lanes = static_cast<std::size_t>(vectors) * simd::Floats<Tier>::width;
  // A tile with no more registers than its last rows fill.
  constexpr std::size_t fewer = vectors > 1 ? lanes - simd::Floats<Tier>::width : 0;
  for (; end - begin > fewer; begin += end - begin < lanes ? end - begin : lanes)
    run_tile<Tier, vectors>(task, begin, end - begin < lanes ? end - begin : lanes, scratch);
  if constexpr (vectors > 1) {
    if (end > begin) run_rows<Tier, vectors - 1>(task, begin, end, scratch);
  }
}

}  // namespace lanner::mlp
