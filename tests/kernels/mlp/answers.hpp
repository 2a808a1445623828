// What the forward pass must give, by the contract's own words.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/arithmetic/elementary.hpp"
#include "tests/kernels/mlp/networks.hpp"

namespace lanner::mlp {

inline constexpr float largest_float = std::numeric_limits<float>::max();

struct Answer {
  Matrix out, parts;
  std::vector<float> error;  // of the call that also gives parts
  std::vector<float> error_alone;
  std::vector<float> length;  // squared
};

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// The contract, word for word.
inline Answer by_definition(const Network& network, Rows rows) {
  Answer answer{Matrix(rows.count, network.outputs()), Matrix(rows.count, network.outputs()), {}, {}, {}};
  const float width = static_cast<float>(network.outputs());
  for (std::size_t r = 0; r < rows.count; ++r) {
    std::vector<float> x(rows.row(r), rows.row(r) + rows.width), y;
    const Standardisation& input = network.input;
    if (!input.shift.empty())
      for (std::size_t j = 0; j < x.size(); ++j)
        x[j] = std::min(std::max((x[j] - input.shift[j]) * input.scale[j], -input.limit), input.limit);
    const std::vector<float> row = x;
    for (const Layer& layer : network.layers) {
      y.assign(layer.outputs, 0);
      for (std::size_t o = 0; o < layer.outputs; ++o) {
        float a = layer.bias[o];
        for (std::size_t i = 0; i < layer.inputs; ++i)
          a = std::fma(layer.weight[o * layer.inputs + i], x[i], a);
        a = std::min(std::max(a, -largest_float), largest_float);
        if (layer.activation == Activation::rectifier) a = a > 0 ? a : 0;
        if (layer.activation == Activation::tanh) a = lanner::tanh(a);
        if (layer.activation == Activation::sigmoid)
          a = 1 / (1 + lanner::exp(-std::min(std::max(a, -87.0f), 87.0f)));
        y[o] = a;
      }
      x = y;
    }
    std::copy(x.begin(), x.end(), answer.out.row(r));
    float length = 0;
    for (float value : x) length = std::fma(value, value, length);
    answer.length.push_back(std::min(length, largest_float));
    if (network.outputs() != network.inputs()) continue;
    float e = 0;
    for (std::size_t j = 0; j < x.size(); ++j) {
      const float d = x[j] - row[j];
      e = std::fma(d, d, e);
      answer.parts.row(r)[j] = std::min(d * d / width, largest_float);
    }
    answer.error.push_back(std::min(e / width, largest_float));
  }
  answer.error_alone = answer.error;
  return answer;
}

// Bits of everything, the untouched padding between rows included.
inline void expect_same(const Answer& expected, const Answer& found, const std::string& where) {
  EXPECT_TRUE(same_bits(expected.out.values, found.out.values)) << where << ": outputs";
  EXPECT_TRUE(same_bits(expected.error, found.error)) << where << ": errors";
  EXPECT_TRUE(same_bits(expected.error_alone, found.error_alone)) << where << ": errors without parts";
  EXPECT_TRUE(same_bits(expected.length, found.length)) << where << ": squared lengths";
  EXPECT_TRUE(same_bits(expected.parts.values, found.parts.values)) << where << ": parts";
}

inline std::string name_of(const std::vector<std::size_t>& widths) {
  std::string name;
  for (std::size_t w : widths) name += std::to_string(w) + " ";
  return name;
}

/// Networks and rows of zeros, denormals and the largest floats: round by round, weights and biases too are
/// of all sizes, so that every layer overflows somewhere, in both directions.
struct Awkward {
  Network network, standardising;
  Matrix rows;
};
inline std::vector<Awkward> awkward_cases() {
  const float tiny = std::numeric_limits<float>::denorm_min();
  const std::vector<float> awkward = {0.0f,  -0.0f, tiny,   -tiny,         1e-40f,        1.0f,
                                      -1.0f, 1e30f, -1e30f, largest_float, -largest_float};
  std::mt19937 random(5);
  std::vector<Awkward> cases;
  for (int round = 0; round < 12; ++round) {
    const Activation hidden = std::vector{Activation::rectifier, Activation::tanh, Activation::identity,
                                          Activation::sigmoid}[round % 4];
    Network network = random_network({13, 7, 4, 13}, hidden, Activation::identity, 6);
    if (round >= 3)
      for (Layer& layer : network.layers)
        for (float& w : layer.weight)
          if (random() % 3 == 0) w = awkward[random() % awkward.size()];
    if (round >= 6)
      for (Layer& layer : network.layers)
        for (float& b : layer.bias) b = awkward[random() % awkward.size()];
    Matrix rows(60, 13);
    for (std::size_t i = 0; i < rows.count; ++i)
      for (std::size_t j = 0; j < rows.width; ++j) rows.row(i)[j] = awkward[random() % awkward.size()];
    Network standardising = network;
    for (std::size_t j = 0; j < 13; ++j) {
      standardising.input.shift.push_back(awkward[random() % awkward.size()]);
      standardising.input.scale.push_back(
          std::vector{tiny, 1e-40f, 1.0f, 1e30f, largest_float}[random() % 5]);
    }
    standardising.input.limit = round % 2 ? 20 : largest_float;
    cases.push_back({network, standardising, rows});
  }
  return cases;
}

}  // namespace lanner::mlp
