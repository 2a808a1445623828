// Networks and rows for the tests of this folder.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/mlp/mlp.hpp"

namespace lanner::mlp {

inline Network random_network(const std::vector<std::size_t>& widths, Activation hidden, Activation last,
                              unsigned seed) {
  std::mt19937 random(seed);
  const auto uniform = [&] { return static_cast<float>(static_cast<double>(random()) / 2147483648.0 - 1.0); };
  Network network;
  for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
    Layer layer{widths[l], widths[l + 1], {}, {}, l + 2 < widths.size() ? hidden : last};
    const float scale = 1.7f / std::sqrt(static_cast<float>(layer.inputs));
    for (std::size_t i = 0; i < layer.inputs * layer.outputs; ++i) layer.weight.push_back(uniform() * scale);
    for (std::size_t o = 0; o < layer.outputs; ++o) layer.bias.push_back(uniform() * 0.5f);
    network.layers.push_back(std::move(layer));
  }
  return network;
}

/// Shifts and scales of all sizes, and a limit that some values reach.
inline Standardisation random_standardisation(std::size_t inputs, unsigned seed) {
  std::mt19937 random(seed);
  Standardisation input;
  for (std::size_t j = 0; j < inputs; ++j) {
    input.shift.push_back(static_cast<float>(random() % 100) / 50.0f - 1.0f);
    input.scale.push_back(static_cast<float>(1 + random() % 1000) / 300.0f);
  }
  input.limit = 2.5f;
  return input;
}

/// Rows in a buffer with some floats of padding between them, which no kernel may read or write.
struct Matrix {
  std::size_t count, width, stride;
  std::vector<float> values;

  Matrix(std::size_t n, std::size_t d, std::size_t padding = 3)
      : count(n), width(d), stride(d + padding), values(n * (d + padding), std::nanf("")) {}
  float* row(std::size_t i) { return values.data() + i * stride; }
  const float* row(std::size_t i) const { return values.data() + i * stride; }
  Rows rows() const { return {values.data(), count, width, stride}; }
  MutableRows writable() { return {values.data(), count, width, stride}; }
};

inline Matrix random_rows(std::size_t n, std::size_t d, unsigned seed) {
  Matrix m(n, d);
  std::mt19937 random(seed);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < d; ++j)
      m.row(i)[j] = static_cast<float>(
          (static_cast<double>(random()) + static_cast<double>(random())) / 2147483648.0 - 2.0);
  return m;
}

}  // namespace lanner::mlp
