// Kinds of rows that have broken nearest-neighbour searches before.
#pragma once

#include <cmath>
#include <cstddef>
#include <random>
#include <utility>
#include <vector>

#include "kernels/rows.hpp"

namespace lanner::test {

struct MadeRows {
  std::size_t count = 0, width = 0;
  std::vector<float> values;
  MadeRows() = default;
  MadeRows(std::size_t n, std::size_t d) : count(n), width(d), values(n * d) {}
  float* row(std::size_t i) { return values.data() + i * width; }
  const float* row(std::size_t i) const { return values.data() + i * width; }
  operator Rows() const {
    return {values.data(), count, width, width};
  }  // NOLINT(google-explicit-constructor)
};

using Maker = MadeRows (*)(std::size_t n, std::size_t width, std::mt19937&);

template <class F>
MadeRows made(std::size_t n, std::size_t width, F value) {
  MadeRows rows(n, width);
  for (float& x : rows.values) x = value();
  return rows;
}

inline MadeRows made_normal(std::size_t n, std::size_t width, std::mt19937& random) {
  std::normal_distribution<float> normal;
  return made(n, width, [&] { return normal(random); });
}
/// A few centres far apart, little spread, and some outliers.
inline MadeRows made_clusters(std::size_t n, std::size_t width, std::mt19937& random) {
  std::normal_distribution<float> normal;
  MadeRows rows(n, width);
  for (std::size_t i = 0; i < n; ++i) {
    const unsigned cluster = random() % 7;
    const float spread = random() % 50 == 0 ? 3000.0f : 0.01f;
    for (std::size_t j = 0; j < width; ++j)
      rows.row(i)[j] = static_cast<float>((cluster * (j + 3)) % 11) * 100 + spread * normal(random);
  }
  return rows;
}
/// Fifty clusters, each spread along a few directions of its own, and 2 % outliers.
inline MadeRows made_low_rank_clusters(std::size_t n, std::size_t width, std::mt19937& random) {
  constexpr std::size_t clusters = 50, rank = 4;
  std::normal_distribution<float> normal;
  const MadeRows centres = made_normal(clusters, width, random),
                 directions = made_normal(clusters * rank, width, random);
  MadeRows rows(n, width);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t cluster = random() % clusters;
    const bool outlier = random() % 50 == 0;
    float* row = rows.row(i);
    for (std::size_t j = 0; j < width; ++j)
      row[j] = outlier ? 3 * normal(random) : 3 * centres.row(cluster)[j] + 0.05f * normal(random);
    for (std::size_t r = 0; r < rank && !outlier; ++r) {
      const float along = 0.5f * normal(random);
      for (std::size_t j = 0; j < width; ++j) row[j] += along * directions.row(cluster * rank + r)[j];
    }
  }
  return rows;
}
inline MadeRows made_small_integers(std::size_t n, std::size_t width, std::mt19937& random) {
  return made(n, width, [&] { return static_cast<float>(static_cast<int>(random() % 5) - 2); });
}
inline MadeRows made_bits(std::size_t n, std::size_t width, std::mt19937& random) {
  return made(n, width, [&] { return random() % 8 == 0 ? 1.0f : random() % 2 ? 0.0f : -0.0f; });
}
inline MadeRows made_same(std::size_t n, std::size_t width, std::mt19937&) {
  return made(n, width, [] { return 0.1f; });
}
inline MadeRows made_repeated(std::size_t n, std::size_t width, std::mt19937& random) {
  const MadeRows few = made_normal(1 + n / 20, width, random);
  MadeRows rows(n, width);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t from = std::min<std::size_t>(random() % few.count, random() % few.count);
    for (std::size_t j = 0; j < width; ++j) rows.row(i)[j] = few.row(from)[j];
  }
  return rows;
}
inline MadeRows made_heavy_tails(std::size_t n, std::size_t width, std::mt19937& random) {
  std::uniform_real_distribution<float> exponent(-30, 30);
  return made(n, width, [&] { return std::pow(10.0f, exponent(random)) * (random() % 2 ? 1.0f : -1.0f); });
}
inline MadeRows made_largest(std::size_t n, std::size_t width, std::mt19937& random) {
  std::uniform_real_distribution<float> part(-1, 1);
  return made(n, width, [&] { return random() % 3 ? part(random) * 3.4e38f : part(random); });
}
inline MadeRows made_denormal(std::size_t n, std::size_t width, std::mt19937& random) {
  return made(n, width,
              [&] { return static_cast<float>(static_cast<int>(random() % 2000) - 1000) * 1.4e-45f; });
}
inline MadeRows made_tiny_and_one(std::size_t n, std::size_t width, std::mt19937& random) {
  std::normal_distribution<float> normal;
  return made(n, width, [&] { return random() % 1000 == 0 ? 1.0f : 1e-25f * normal(random); });
}
inline MadeRows made_offset(std::size_t n, std::size_t width, std::mt19937& random) {
  std::normal_distribution<float> normal;
  return made(n, width, [&] { return 1e6f + normal(random); });
}
/// Two clusters so far apart that their rows differ in the last bits only.
inline MadeRows made_two_offsets(std::size_t n, std::size_t width, std::mt19937& random) {
  MadeRows rows(n, width);
  for (std::size_t i = 0; i < n; ++i) {
    const float centre = random() % 2 ? 1e5f : -1e5f;
    for (std::size_t j = 0; j < width; ++j) rows.row(i)[j] = centre + static_cast<float>(random() % 9) / 128;
  }
  return rows;
}
/// Sorted, with one constant column: as event streams come.
inline MadeRows made_ramp(std::size_t n, std::size_t width, std::mt19937&) {
  MadeRows rows(n, width);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < width; ++j) rows.row(i)[j] = j == 0 ? static_cast<float>(i) : 5.0f;
  return rows;
}

inline constexpr std::pair<const char*, Maker> made_kinds[] = {{"normal", made_normal},
                                                               {"clusters", made_clusters},
                                                               {"small_integers", made_small_integers},
                                                               {"bits", made_bits},
                                                               {"same", made_same},
                                                               {"repeated", made_repeated},
                                                               {"heavy_tails", made_heavy_tails},
                                                               {"largest", made_largest},
                                                               {"denormal", made_denormal},
                                                               {"tiny_and_one", made_tiny_and_one},
                                                               {"offset", made_offset},
                                                               {"two_offsets", made_two_offsets},
                                                               {"ramp", made_ramp}};

}  // namespace lanner::test
