// The bound of docs/bounds/nearest.md, attacked: adversarial pairs, summed in adversarial orders and
// precisions.
#include "kernels/nearest/screen.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace lanner::nearest {
namespace {

using Exact = __float128;

// Towards zero: what a unit that truncates would give.
float truncated(double exact_sum) {
  const auto nearest = static_cast<float>(exact_sum);
  return std::fabs(static_cast<double>(nearest)) > std::fabs(exact_sum) ? std::nextafter(nearest, 0.0f)
                                                                        : nearest;
}

float flushed(float x) {
  return std::fabs(x) < std::numeric_limits<float>::min() ? 0.0f : x;
}

// The sums that the assumption covers.
std::vector<float> sums(float bias, const std::vector<float>& q, const std::vector<float>& r,
                        std::mt19937& random) {
  const std::size_t d = q.size();
  std::vector<float> found;
  float chain = bias;
  for (std::size_t j = 0; j < d; ++j) chain = std::fma(-2 * q[j], r[j], chain);
  found.push_back(chain);
  chain = 0;
  for (std::size_t j = d; j-- > 0;) chain = std::fma(-2 * q[j], r[j], chain);
  found.push_back(chain + bias);

  float cut = bias;  // truncating, and flushing subnormals
  for (std::size_t j = 0; j < d; ++j)
    cut =
        flushed(truncated(static_cast<double>(cut) +
                          flushed(truncated(-2.0 * static_cast<double>(q[j]) * static_cast<double>(r[j])))));
  found.push_back(cut);

  std::vector<float> terms{bias};  // a random tree
  for (std::size_t j = 0; j < d; ++j)
    terms.push_back(truncated(-2.0 * static_cast<double>(q[j]) * static_cast<double>(r[j])));
  while (terms.size() > 1) {
    std::swap(terms[random() % terms.size()], terms.back());
    const float last = terms.back();
    terms.pop_back();
    float& other = terms[random() % terms.size()];
    other = truncated(static_cast<double>(other) + static_cast<double>(last));
  }
  found.push_back(terms[0]);

  float blocks = bias;  // four products and the accumulator, aligned to the largest, cut below 24 bits
  for (std::size_t j = 0; j < d; j += 4) {
    double term[5] = {static_cast<double>(blocks), 0, 0, 0, 0}, largest = std::fabs(term[0]);
    for (std::size_t i = 0; i < 4 && j + i < d; ++i) {
      term[i + 1] = -2.0 * static_cast<double>(q[j + i]) * static_cast<double>(r[j + i]);
      largest = std::max(largest, std::fabs(term[i + 1]));
    }
    if (largest == 0) continue;
    const double unit = std::ldexp(1.0, std::max(std::ilogb(largest) - 23, -149));
    double sum = 0;
    for (double t : term) sum += std::trunc(t / unit) * unit;
    blocks = truncated(sum);
  }
  found.push_back(blocks);
  return found;
}

double norm_of(const std::vector<float>& x, const std::vector<float>& centre, float scale) {
  double sum = 0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    const double offset =
        std::fma(static_cast<double>(scale), static_cast<double>(x[j]), -static_cast<double>(centre[j]));
    sum = std::fma(offset, offset, sum);
  }
  return sum;
}

struct Pair {
  std::vector<float> q, r, centre;
  float scale = 1;
};

// Returns how near the bounds came to being violated: the used share of the slack.
void expect_bounded(const Pair& pair, std::mt19937& random, double& used) {
  const std::size_t d = pair.q.size();
  const ScreenBound bound = screen_bound(d);
  std::vector<float> q(d), r(d);
  Exact truth = 0;
  for (std::size_t j = 0; j < d; ++j) {
    q[j] = std::fma(pair.scale, pair.q[j], -pair.centre[j]);
    r[j] = std::fma(pair.scale, pair.r[j], -pair.centre[j]);
    const Exact difference =
        static_cast<Exact>(pair.scale) * (static_cast<Exact>(pair.q[j]) - static_cast<Exact>(pair.r[j]));
    truth += difference * difference;
  }
  const double norm_q = norm_of(pair.q, pair.centre, pair.scale),
               norm_r = norm_of(pair.r, pair.centre, pair.scale);
  for (float a : sums(screen_bias(bound, norm_r), q, r, random)) {
    const Exact lower = static_cast<Exact>(a) + static_cast<Exact>(screen_lower_shift(bound, norm_q));
    const Exact upper = static_cast<Exact>(a) + static_cast<Exact>(screen_extra(bound, norm_r)) +
                        static_cast<Exact>(screen_upper_shift(bound, norm_q));
    ASSERT_TRUE(lower <= truth) << "d " << d;
    ASSERT_TRUE(upper >= truth) << "d " << d;
    const Exact middle = (lower + upper) / 2, half = (upper - lower) / 2;
    used = std::max(used, static_cast<double>((truth > middle ? truth - middle : middle - truth) / half));
    // A limit just below the truth must still be allowed to drop the pair, one at the truth must not.
    const auto at_truth = float_above(static_cast<double>(truth));
    ASSERT_LE(a, screen_threshold(at_truth, screen_lower_shift(bound, norm_q)));
  }
}

TEST(ScreenBound, HoldsForAdversarialPairs) {
  std::mt19937 random(17);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> uniform(0, 1);
  double used = 0;
  for (std::size_t d : {1u, 2u, 3u, 8u, 31u, 128u, 700u, 1555u})
    for (int round = 0; round < 400; ++round) {
      Pair pair;
      pair.q.resize(d);
      pair.r.resize(d);
      pair.centre.assign(d, 0);
      const int kind = round % 8;
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
      expect_bounded(pair, random, used);
      if (HasFatalFailure()) return;
    }
  EXPECT_GT(used, 0.1) << "the pairs do not come near the bound: the test has lost its teeth";
}

TEST(ScreenBound, RoundsOutward) {
  const float largest = std::numeric_limits<float>::max();
  for (double x : {0.0, 1.0, 1.0 + 0x1p-40, 1.0 - 0x1p-40, -1.0 - 0x1p-40, -1.0 + 0x1p-40, 1e-50, -1e-50,
                   1e300, -1e300}) {
    EXPECT_LE(float_below(x), x);
    EXPECT_GE(float_above(x), x);
  }
  EXPECT_EQ(float_below(1e300), largest);
  EXPECT_EQ(float_above(1e300), INFINITY);
  EXPECT_EQ(float_above(-1e300), -largest);
  EXPECT_EQ(float_above(1e-50), std::numeric_limits<float>::denorm_min());
  EXPECT_EQ(float_below(-1e-50), -std::numeric_limits<float>::denorm_min());
  EXPECT_EQ(float_above(0.5), 0.5f);
  EXPECT_EQ(float_below(0.5), 0.5f);
  EXPECT_LT(screen_threshold(INFINITY, 0), INFINITY);
  EXPECT_GT(screen_limit(0), 0);
  EXPECT_GT(screen_reach(screen_bound(3), 1), 1);
}

}  // namespace
}  // namespace lanner::nearest
