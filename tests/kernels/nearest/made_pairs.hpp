// Pairs of rows that strain a screen's bound.
#pragma once

#include <cmath>
#include <cstddef>
#include <random>
#include <vector>

namespace lanner::test {

struct Pair {
  std::vector<float> q, r, centre;
  float scale = 1;
};

/// Of a kind, and with or without a centre and a scale, as the round says: 165 rounds see all combinations.
inline Pair made_pair(std::size_t d, int round, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> uniform(0, 1);
  Pair pair;
  pair.q.resize(d);
  pair.r.resize(d);
  pair.centre.assign(d, 0);
  const int kind = round % 11;
  const float size = std::ldexp(1.0f, static_cast<int>(random() % 60) - 30);
  for (std::size_t j = 0; j < d; ++j) {
    float& q = pair.q[j];
    float& r = pair.r[j];
    switch (kind) {
      case 0:  // anything
        q = size * normal(random);
        r = size * normal(random);
        break;
      case 1:  // all products of one sign, mantissas full of ones: rounding adds up
        q = size * (1.9999999f - 0x1p-20f * uniform(random));
        r = size * (1.9999999f - 0x1p-20f * uniform(random));
        break;
      case 2:  // the same row
        q = r = size * normal(random);
        break;
      case 3:  // nearly the same, far from the centre: total cancellation
        q = size * (1000 + uniform(random));
        r = std::nextafter(q, random() % 2 ? INFINITY : -INFINITY);
        break;
      case 4:  // opposite
        q = size * normal(random);
        r = -q;
        break;
      case 5:  // heavy tails
        q = std::ldexp(normal(random), static_cast<int>(random() % 80) - 40);
        r = std::ldexp(normal(random), static_cast<int>(random() % 80) - 40);
        break;
      case 7:  // the largest errors of rounding to bfloat16, all of one sign
        q = size * (1.0f + 0x1p-8f - 0x1p-22f * uniform(random));
        r = size * (1.0f + 0x1p-8f - 0x1p-22f * uniform(random));
        break;
      case 8:  // the same, opposite
        q = size * (1.0f + 0x1p-8f - 0x1p-22f * uniform(random));
        r = -size * (1.0f + 0x1p-8f - 0x1p-22f * uniform(random));
        break;
      case 6:  // below the normal range
        q = std::ldexp(normal(random), -70 - static_cast<int>(random() % 79));
        r = std::ldexp(normal(random), -70 - static_cast<int>(random() % 79));
        break;
      default:  // an outlying query against small rows
        q = size * 1e5f * normal(random);
        r = size * normal(random);
    }
    if (round % 3 == 0) pair.centre[j] = 0.999f * r + 1e-3f * size * normal(random);
    if (round % 3 == 1) pair.centre[j] = size * normal(random);
  }
  pair.scale = round % 5 == 0 ? 0x1p-20f : round % 5 == 1 ? 0x1p12f : 1.0f;
  return pair;
}

using Exact = __float128;

/// |scale (q - r)|^2, as good as exact beside a screen's sum.
inline Exact squared_distance(const std::vector<float>& q, const std::vector<float>& r, float scale) {
  Exact sum = 0;
  for (std::size_t j = 0; j < q.size(); ++j) {
    const Exact difference =
        static_cast<Exact>(scale) * (static_cast<Exact>(q[j]) - static_cast<Exact>(r[j]));
    sum += difference * difference;
  }
  return sum;
}

/// |scale x - centre|^2.
inline double squared_norm(const std::vector<float>& x, const Pair& pair) {
  double sum = 0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    const double offset = std::fma(static_cast<double>(pair.scale), static_cast<double>(x[j]),
                                   -static_cast<double>(pair.centre[j]));
    sum = std::fma(offset, offset, sum);
  }
  return sum;
}

}  // namespace lanner::test
