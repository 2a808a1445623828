// Trainings and their rows for the tests of this folder.
#pragma once

#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/mlp/mlp.hpp"
#include "tests/kernels/mlp/networks.hpp"

namespace lanner::mlp {

inline bool same_bits(const Network& a, const Network& b) {
  const auto same = [](const std::vector<float>& x, const std::vector<float>& y) {
    return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
  };
  if (a.layers.size() != b.layers.size()) return false;
  for (std::size_t l = 0; l < a.layers.size(); ++l)
    if (!same(a.layers[l].weight, b.layers[l].weight) || !same(a.layers[l].bias, b.layers[l].bias))
      return false;
  return true;
}

// Rows near a plane of `rank` dimensions, with features of different sizes.
inline Matrix planted_rows(std::size_t n, std::size_t d, std::size_t rank, unsigned seed) {
  const Matrix basis = random_rows(rank, d, 99), at = random_rows(n, rank, seed),
               noise = random_rows(n, d, seed + 1);
  Matrix m(n, d);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < d; ++j) {
      float v = 0.05f * noise.row(i)[j];
      for (std::size_t k = 0; k < rank; ++k) v += at.row(i)[k] * basis.row(k)[j];
      m.row(i)[j] = v;
    }
  return m;
}

inline Training small_training() {
  Training training;
  training.widths = {12, 10, 3, 10, 12};
  training.epochs_max = 15;
  training.batch = 32;
  return training;
}

/// For 12 features: mostly constant; of all sizes there are; a single row.
inline std::vector<Matrix> awkward_rows() {
  const float largest = std::numeric_limits<float>::max();
  Matrix constant(40, 12), extreme(40, 12), single(1, 12);
  std::mt19937 random(1);
  for (std::size_t i = 0; i < 40; ++i)
    for (std::size_t j = 0; j < 12; ++j) {
      constant.row(i)[j] = j == 3 ? 0.25f * static_cast<float>(i % 5) : 2;
      extreme.row(i)[j] = std::vector{0.0f, -largest, largest, 1e30f, 1e-42f, -1e25f}[random() % 6];
    }
  for (std::size_t j = 0; j < 12; ++j) single.row(0)[j] = 1;
  return {constant, extreme, single};
}

}  // namespace lanner::mlp
