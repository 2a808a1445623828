#include "kernels/arithmetic/elementary.hpp"

#include <gtest/gtest.h>
#include <mpfr.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/device/cpu_tier.hpp"
#include "tests/kernels/arithmetic/arguments.hpp"
#include "tests/kernels/arithmetic/elementary_lanes.hpp"
#include "tests/kernels/arithmetic/elementary_values.hpp"

namespace lanner::test {
namespace {

// The true value with far more bits than double has.
class Exact {
 public:
  Exact() { mpfr_init2(value_, 200); }
  ~Exact() { mpfr_clear(value_); }
  Exact(const Exact&) = delete;
  Exact& operator=(const Exact&) = delete;

  template <class Choice>
  void set(Choice function, double x) {
    mpfr_set_d(value_, x, MPFR_RNDN);
    apply(function);
  }
  /// |got - true value| in units of got's format's last place at the true value. Infinite where got is
  /// infinite or NaN though the true value is not beyond the largest finite number.
  template <class T>
  double ulps_from(T got) {
    if (mpfr_nan_p(value_)) return std::isnan(got) ? 0 : INFINITY;
    if (mpfr_inf_p(value_)) return std::isinf(got) && (got > 0) == (mpfr_sgn(value_) > 0) ? 0 : INFINITY;
    if (std::isnan(got)) return INFINITY;
    using Limits = std::numeric_limits<T>;
    if (std::isinf(got)) {
      return mpfr_cmp_d(value_, Limits::max()) > 0 && got > 0 ? 0 : INFINITY;
    }
    const long exponent = mpfr_zero_p(value_) ? Limits::min_exponent
                                              : std::max<long>(mpfr_get_exp(value_), Limits::min_exponent);
    mpfr_sub_d(value_, value_, got, MPFR_RNDN);
    mpfr_mul_2si(value_, value_, Limits::digits - exponent, MPFR_RNDN);
    return std::fabs(mpfr_get_d(value_, MPFR_RNDN));
  }

 private:
  void apply(Function function) {
    switch (function) {
      case Function::exp:
      case Function::exp_normal:
        mpfr_exp(value_, value_, MPFR_RNDN);
        break;
      case Function::log:
        mpfr_log(value_, value_, MPFR_RNDN);
        break;
      case Function::log1p:
        mpfr_log1p(value_, value_, MPFR_RNDN);
        break;
      case Function::expm1:
        mpfr_expm1(value_, value_, MPFR_RNDN);
        break;
      case Function::tanh:
        mpfr_tanh(value_, value_, MPFR_RNDN);
        break;
      case Function::sin:
        mpfr_sin(value_, value_, MPFR_RNDN);
        break;
      case Function::cos:
        mpfr_cos(value_, value_, MPFR_RNDN);
        break;
    }
  }
  void apply(WideFunction function) {
    switch (function) {
      case WideFunction::exp:
        mpfr_exp(value_, value_, MPFR_RNDN);
        break;
      case WideFunction::log:
        mpfr_log(value_, value_, MPFR_RNDN);
        break;
      case WideFunction::log1p:
        mpfr_log1p(value_, value_, MPFR_RNDN);
        break;
    }
  }
  mpfr_t value_;
};

long double extended(Function function, long double x) {
  switch (function) {
    case Function::exp:
    case Function::exp_normal:
      return expl(x);
    case Function::log:
      return logl(x);
    case Function::log1p:
      return log1pl(x);
    case Function::expm1:
      return expm1l(x);
    case Function::tanh:
      return tanhl(x);
    case Function::sin:
      return sinl(x);
    case Function::cos:
      return cosl(x);
  }
  return x;
}

struct Case {
  Function function;
  const char* name;
  double ulps;  ///< what the header and docs/arithmetic.md state
  float limit = INFINITY;
};
constexpr Case cases[] = {
    {Function::exp, "exp", 1.1},
    {Function::log, "log", 1.0},
    {Function::log1p, "log1p", 1.5},
    {Function::expm1, "expm1", 1.5},
    {Function::tanh, "tanh", 1.5},
    {Function::sin, "sin", 1.6, trigonometric_limit},
    {Function::cos, "cos", 1.6, trigonometric_limit},
};
struct WideCase {
  WideFunction function;
  const char* name;
  double ulps;
};
constexpr WideCase wide_cases[] = {
    {WideFunction::exp, "exp", 1.1}, {WideFunction::log, "log", 1.0}, {WideFunction::log1p, "log1p", 1.5}};

bool same_bits(float a, float b) {
  return to_bits(a) == to_bits(b);
}
bool same_bits(double a, double b) {
  return to_bits(a) == to_bits(b);
}

TEST(Elementary, FloatErrorsAreWithinWhatIsStatedOverAllBitPatterns) {
  for (const Case& c : cases) {
    double worst = 0;
    float at = 0;
    Exact exact;
    for (std::uint64_t pattern = 11; pattern <= 0xFFFFFFFFu; pattern += 997) {
      const float x = std::bit_cast<float>(static_cast<std::uint32_t>(pattern));
      if (std::isnan(x) || std::fabs(x) > c.limit) continue;
      const float got = value_of(c.function, x);
      const long double want = extended(c.function, x);
      // The C library's own extended-precision value is good to well under a thousandth of a float's last
      // place.
      const float rounded = static_cast<float>(want);
      if (same_bits(got, rounded)) continue;
      exact.set(c.function, x);
      const double ulps = exact.ulps_from(got);
      if (ulps > worst) worst = ulps, at = x;
    }
    EXPECT_LE(worst, c.ulps) << c.name << "(" << at << ")";
    EXPECT_GT(worst, 0.5) << c.name << ": the measurement measures nothing";
    RecordProperty(c.name, std::to_string(worst));
  }
}

TEST(Elementary, FloatErrorsAreWithinWhatIsStatedWhereSomethingChanges) {
  Exact exact;
  for (const Case& c : cases)
    for (float x : awkward_floats()) {
      if (std::isnan(x) || std::fabs(x) > c.limit) continue;
      exact.set(c.function, x);
      const float got = value_of(c.function, x);
      EXPECT_LE(exact.ulps_from(got), c.ulps) << c.name << "(" << x << ") = " << got;
    }
}

TEST(Elementary, DoubleErrorsAreWithinWhatIsStated) {
  std::vector<double> arguments = random_doubles(60'000);
  for (double x : awkward_doubles()) arguments.push_back(x);
  Exact exact;
  for (const WideCase& c : wide_cases) {
    double worst = 0, at = 0;
    for (double x : arguments) {
      if (std::isnan(x)) continue;
      exact.set(c.function, x);
      const double ulps = exact.ulps_from(value_of(c.function, x));
      if (ulps > worst) worst = ulps, at = x;
    }
    EXPECT_LE(worst, c.ulps) << c.name << "(" << at << ")";
    EXPECT_GT(worst, 0.5) << c.name << ": the measurement measures nothing";
    RecordProperty(std::string("double_") + c.name, std::to_string(worst));
  }
}

TEST(Elementary, WhatHasNoOrdinaryValueIsDefined) {
  const float infinity = INFINITY, nan = std::bit_cast<float>(0x7FC00000);
  const float odd_nan = std::bit_cast<float>(0xFF812345);
  for (const Case& c : cases) EXPECT_TRUE(same_bits(value_of(c.function, odd_nan), nan)) << c.name;
  const auto expect = [](float got, float want) {
    EXPECT_TRUE(same_bits(got, want)) << got << " for " << want;
  };
  expect(lanner::exp(infinity), infinity);
  expect(lanner::exp(-infinity), 0.0f);
  expect(lanner::exp(-0.0f), 1.0f);
  expect(lanner::log(0.0f), -infinity);
  expect(lanner::log(-0.0f), -infinity);
  expect(lanner::log(1.0f), 0.0f);
  expect(lanner::log(-1e-45f), nan);
  expect(lanner::log(-infinity), nan);
  expect(lanner::log(infinity), infinity);
  expect(lanner::log1p(-1.0f), -infinity);
  expect(lanner::log1p(-1.0000001f), nan);
  expect(lanner::log1p(-0.0f), -0.0f);
  expect(lanner::log1p(0.0f), 0.0f);
  expect(lanner::log1p(infinity), infinity);
  expect(lanner::log1p(-infinity), nan);
  expect(lanner::expm1(-0.0f), -0.0f);
  expect(lanner::expm1(infinity), infinity);
  expect(lanner::expm1(-infinity), -1.0f);
  expect(lanner::tanh(-0.0f), -0.0f);
  expect(lanner::tanh(infinity), 1.0f);
  expect(lanner::tanh(-infinity), -1.0f);
  expect(lanner::sin(-0.0f), -0.0f);
  expect(lanner::sin(infinity), 0.0f);
  expect(lanner::cos(infinity), 1.0f);
  expect(lanner::sin(-3e38f), -0.0f);

  const double wide_infinity = INFINITY, wide_nan = std::bit_cast<double>(std::uint64_t{0x7FF8000000000000});
  const auto expect_wide = [](double got, double want) {
    EXPECT_TRUE(same_bits(got, want)) << got << " for " << want;
  };
  for (const WideCase& c : wide_cases) expect_wide(value_of(c.function, -wide_nan), wide_nan);
  expect_wide(lanner::exp(wide_infinity), wide_infinity);
  expect_wide(lanner::exp(-wide_infinity), 0.0);
  expect_wide(lanner::log(-0.0), -wide_infinity);
  expect_wide(lanner::log(-1.0), wide_nan);
  expect_wide(lanner::log(wide_infinity), wide_infinity);
  expect_wide(lanner::log1p(-1.0), -wide_infinity);
  expect_wide(lanner::log1p(-1.5), wide_nan);
  expect_wide(lanner::log1p(-0.0), -0.0);
  expect_wide(lanner::log1p(wide_infinity), wide_infinity);
}

TEST(Elementary, TheShortExpIsTheLongOneWhereItAnswers) {
  for (float x = -87.0f; x <= 88.0f; x += 0.0003f)
    ASSERT_TRUE(same_bits(lanner::exp_normal(x), lanner::exp(x))) << x;
}

struct Tier {
  CpuTier tier;
  Evaluate evaluate;
  WideEvaluate evaluate_wide;
};
constexpr Tier tiers[] = {{CpuTier::avx2, evaluate_avx2, evaluate_avx2},
                          {CpuTier::avx512, evaluate_avx512, evaluate_avx512}};

bool available(CpuTier tier) {
  const auto all = available_cpu_tiers();
  return std::find(all.begin(), all.end(), tier) != all.end();
}

TEST(Elementary, EveryLaneOfEveryTierHasTheBitsOfTheScalarCall) {
  std::vector<float> x = awkward_floats();
  for (std::uint64_t pattern = 5; pattern <= 0xFFFFFFFFu; pattern += 4999)
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(pattern)));
  x.resize((x.size() + 15) / 16 * 16, 1.0f);
  std::vector<float> normal = x;  // what exp_normal is for
  std::replace_if(
      normal.begin(), normal.end(), [](float value) { return !(value >= -87 && value <= 88); }, 1.0f);
  std::vector<double> wide = awkward_doubles();
  for (double value : random_doubles(50'000)) wide.push_back(value);
  wide.resize((wide.size() + 7) / 8 * 8, 1.0);

  std::vector<Case> all(std::begin(cases), std::end(cases));
  all.push_back({Function::exp_normal, "exp_normal", 0});
  int compared = 0;
  for (const Tier& tier : tiers) {
    if (!available(tier.tier)) continue;
    ++compared;
    std::vector<float> got(x.size());
    for (const Case& c : all) {
      const std::vector<float>& values = c.function == Function::exp_normal ? normal : x;
      tier.evaluate(c.function, values.data(), got.data(), values.size());
      for (std::size_t i = 0; i < values.size(); ++i)
        ASSERT_TRUE(same_bits(got[i], value_of(c.function, values[i])))
            << name(tier.tier) << " " << c.name << "(" << values[i] << ") = " << got[i];
    }
    std::vector<double> wide_got(wide.size());
    for (const WideCase& c : wide_cases) {
      tier.evaluate_wide(c.function, wide.data(), wide_got.data(), wide.size());
      for (std::size_t i = 0; i < wide.size(); ++i)
        ASSERT_TRUE(same_bits(wide_got[i], value_of(c.function, wide[i])))
            << name(tier.tier) << " " << c.name << "(" << wide[i] << ") = " << wide_got[i];
    }
  }
  if (!compared) GTEST_SKIP() << "this machine has no tier but scalar";
}

}  // namespace
}  // namespace lanner::test
