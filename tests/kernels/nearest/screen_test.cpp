// The bound of docs/bounds/nearest.md, attacked: adversarial pairs, summed in adversarial orders and
// precisions.
#include "kernels/nearest/screen.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/nearest/screen_bf16.hpp"
#include "tests/kernels/nearest/made_pairs.hpp"

namespace lanner::nearest {
namespace {

using test::Exact;
using test::Pair;

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

// The same features as the screen sees them: centred, and on GPUs rounded to bfloat16.
std::vector<float> centred(const std::vector<float>& x, const Pair& pair, bool bf16) {
  std::vector<float> out(x.size());
  for (std::size_t j = 0; j < x.size(); ++j) {
    out[j] = std::fma(pair.scale, x[j], -pair.centre[j]);
    if (bf16) out[j] = from_bits(static_cast<std::int32_t>(to_bf16(out[j]) << 16));
  }
  return out;
}

// A query's norm, as the GPU sums it.
double norm_in_float(const std::vector<float>& x, const Pair& pair) {
  float sum = 0;
  for (float v : centred(x, pair, false)) sum = std::fma(v, v, sum);
  return sum;
}

// Returns how near the bounds came to being violated: the used share of the slack.
void expect_bounded(const Pair& pair, bool bf16, std::mt19937& random, double& used) {
  const std::size_t d = pair.q.size();
  const ScreenBound bound = bf16 ? screen_bound_bf16(d) : screen_bound(d);
  const std::vector<float> q = centred(pair.q, pair, bf16), r = centred(pair.r, pair, bf16);
  const Exact truth = test::squared_distance(pair.q, pair.r, pair.scale);
  const double norm_q = bf16 ? norm_in_float(pair.q, pair) : test::squared_norm(pair.q, pair);
  const double norm_r = test::squared_norm(pair.r, pair);
  const float bias = screen_bias(bound, norm_r);
  ASSERT_GE(static_cast<Exact>(screen_extra(bound, bias)) + static_cast<Exact>(bias),
            static_cast<Exact>(norm_r) * (1 + static_cast<Exact>(bound.reference)));
  for (float a : sums(bias, q, r, random)) {
    const Exact lower = static_cast<Exact>(a) + static_cast<Exact>(screen_lower_shift(bound, norm_q));
    const Exact upper = static_cast<Exact>(a) + static_cast<Exact>(screen_extra(bound, bias)) +
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
  double used = 0, used_bf16 = 0;
  for (std::size_t d : {1u, 2u, 3u, 8u, 31u, 128u, 700u, 1555u})
    for (int round = 0; round < 400; ++round) {
      const Pair pair = test::made_pair(d, round, random);
      expect_bounded(pair, false, random, used);
      expect_bounded(pair, true, random, used_bf16);
      if (HasFatalFailure()) return;
    }
  EXPECT_GT(used, 0.1) << "the pairs do not come near the bound: the test has lost its teeth";
  EXPECT_GT(used_bf16, 0.9) << "the pairs do not come near the bound: the test has lost its teeth";
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

// Squares of differences in `chains` chains, cut instead of rounded if asked, and a tree over these.
float measured(const Pair& pair, std::size_t chains, bool cut) {
  const auto rounded = [&](double x) { return cut ? truncated(x) : static_cast<float>(x); };
  std::vector<float> sum(chains, 0.0f);
  for (std::size_t j = 0; j < pair.q.size(); ++j) {
    const double q = static_cast<double>(pair.scale * pair.q[j]);
    const auto difference =
        static_cast<double>(rounded(static_cast<double>(pair.scale) * static_cast<double>(pair.r[j]) - q));
    float& chain = sum[j % chains];
    chain = rounded(difference * difference + static_cast<double>(chain));
  }
  for (std::size_t left = chains; left > 1; left /= 2)
    for (std::size_t i = 0; i < left / 2; ++i)
      sum[i] = rounded(static_cast<double>(sum[i]) + static_cast<double>(sum[i + left / 2]));
  return sum[0];
}

TEST(MeasuredBound, HoldsForAdversarialPairs) {
  std::mt19937 random(29);
  double used = 0;
  for (const std::size_t d : {1u, 2u, 5u, 16u, 33u, 128u, 1000u, 20'000u})
    for (int round = 0; round < 165; ++round) {
      const Pair pair = test::made_pair(d, round, random);
      const Exact truth = test::squared_distance(pair.q, pair.r, pair.scale);
      const float share = screen_measured_error(d), least = screen_measured_absolute(screen_bound(d));
      for (const std::size_t chains : {16u, 32u})
        for (const bool cut : {false, true}) {
          const float sum = measured(pair, chains, cut);
          // As Survivors::measure computes them.
          const float lower = std::max(std::fma(-share, sum, sum) - least, 0.0f);
          const float upper = std::fma(share, sum, sum) + least;
          ASSERT_TRUE(static_cast<Exact>(lower) <= truth) << "d " << d << ", round " << round;
          ASSERT_TRUE(static_cast<Exact>(upper) >= truth) << "d " << d << ", round " << round;
          if (sum > 1)
            used = std::max(used, std::fabs(static_cast<double>(static_cast<Exact>(sum) - truth)) /
                                      static_cast<double>(share * sum));
        }
    }
  EXPECT_GT(used, 0.2) << "the pairs do not come near the bound: the test has lost its teeth";
}

}  // namespace
}  // namespace lanner::nearest
