// Calibrations and scores that are hard to rank.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kernels/tail/tail.hpp"

namespace lanner::tail {

// Scores on, and one step to either side of, every calibration score; and some far away.
inline std::vector<float> around(const std::vector<float>& calibration) {
  std::vector<float> scores{
      0.0f, -0.0f, 1e-45f, -1e-45f, std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest(),
      1.0f, -1.0f};
  for (float c : calibration) {
    scores.push_back(c);
    scores.push_back(std::nextafter(c, INFINITY));
    scores.push_back(std::nextafter(c, -INFINITY));
  }
  std::erase_if(scores, [](float s) { return !std::isfinite(s); });
  return scores;
}

inline std::vector<std::vector<float>> calibrations() {
  std::mt19937 random(3);
  std::vector<std::vector<float>> all{
      {0.0f},
      {-0.0f, 0.0f},
      {5.0f, 5.0f, 5.0f},
      {std::numeric_limits<float>::lowest(), std::numeric_limits<float>::max()},
      {-1.0f, 1e-45f, 1.0f}};
  const auto add = [&](std::size_t n, auto draw) {
    std::vector<float> scores(n);
    for (float& s : scores) s = static_cast<float>(draw());
    std::sort(scores.begin(), scores.end());
    all.push_back(scores);
  };
  std::normal_distribution<double> normal;
  add(10'000, [&] { return std::exp(normal(random)); });
  add(9'999, [&] { return normal(random); });
  add(5'000, [&] { return 1000.0 + 1e-3 * normal(random); });
  add(3'000, [&] { return std::exp(20 * normal(random)); });
  // Two clusters far apart, each closer than the tables can part: long runs, which are halved.
  add(5'000,
      [&] { return (random() % 2 ? 1e-30 : 1e30) * (1.0 + 1e-7 * static_cast<double>(random() % 5000)); });
  add(5'000, [&] { return random() % 3 ? 0.0 : normal(random); });
  add(2'000, [&] { return static_cast<double>(random() % 7); });
  std::vector<float> every_bits;
  for (int i = 0; i < 4'000; ++i) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (std::isfinite(x)) every_bits.push_back(x);
  }
  std::sort(every_bits.begin(), every_bits.end());
  all.push_back(every_bits);
  return all;
}

inline std::vector<Pareto> tails() {
  std::vector<Pareto> all;
  for (double shape : {-0.9, -0.2, -1e-7, -1e-120, 0.0, 1e-120, 1e-9, 0.05, 0.7, 3.0})
    for (double scale : {1e-3, 1.0, 1e4})
      for (double threshold : {-1e9, 0.0, 2.0, 20.0})
        for (double exceedance : {0.02, 1.0}) all.push_back({true, threshold, shape, scale, exceedance});
  return all;
}

}  // namespace lanner::tail
