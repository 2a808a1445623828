// A lane of a register gives the same bits as the scalar functions of kernels/arithmetic/scalar.hpp.
#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/arithmetic/scalar.hpp"
#include "kernels/device/cpu_tier.hpp"
#include "tests/kernels/simd/lanes_under_test.hpp"

namespace lanner::test {
namespace {

template <class T>
std::vector<T> values(unsigned seed, std::size_t count) {
  using Limits = std::numeric_limits<T>;
  const T special[] = {T(0),
                       -T(0),
                       T(1),
                       T(-1),
                       T(0.5),
                       T(1.5),
                       T(2.5),
                       T(-2.5),
                       Limits::infinity(),
                       -Limits::infinity(),
                       Limits::quiet_NaN(),
                       Limits::denorm_min(),
                       -Limits::denorm_min(),
                       Limits::min(),
                       Limits::max(),
                       Limits::lowest(),
                       Limits::epsilon(),
                       T(1e9),
                       T(8388607.5),
                       T(0.49999997)};
  std::mt19937_64 random(seed);
  std::vector<T> found;
  for (std::size_t i = 0; i < count; ++i) {
    using Word = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    const auto any = std::bit_cast<T>(static_cast<Word>(random()));
    switch (random() % 3) {
      case 0:
        found.push_back(special[random() % std::size(special)]);
        break;
      case 1:
        found.push_back(any);
        break;
      default:
        found.push_back(static_cast<T>(static_cast<double>(random() % 2000000) / 1e3 - 1000));
    }
  }
  return found;
}

// The same bits, except that any NaN is as good as another.
template <class T>
bool same(T a, T b) {
  return (a != a && b != b) || to_bits(a) == to_bits(b);
}

template <class T, class Integer, class Run>
void expect_like_scalar(Run run) {
  FloatEnvironment environment;
  constexpr std::size_t count = 16 * 2000;
  const std::vector<T> a = values<T>(1, count), b = values<T>(2, count), c = values<T>(3, count);
  std::vector<std::vector<T>> value(14, std::vector<T>(count));
  std::vector<std::vector<Integer>> integer(12, std::vector<Integer>(count));
  std::vector<std::uint32_t> lane_bits(count);
  Operations<T, Integer> out{value[0].data(),    value[1].data(),    value[2].data(),   value[3].data(),
                             value[4].data(),    value[5].data(),    value[6].data(),   value[7].data(),
                             value[8].data(),    value[9].data(),    value[10].data(),  value[11].data(),
                             value[12].data(),   value[13].data(),   integer[0].data(), integer[1].data(),
                             integer[2].data(),  integer[3].data(),  integer[4].data(), integer[5].data(),
                             integer[6].data(),  integer[7].data(),  integer[8].data(), integer[9].data(),
                             integer[10].data(), integer[11].data(), lane_bits.data(),  0};
  run(a.data(), b.data(), c.data(), count, out);
  ASSERT_GT(out.lanes, 0);
  const auto mask = [](bool set) { return set ? Integer(-1) : Integer(0); };
  for (std::size_t i = 0; i < count; ++i) {
    const T x = a[i], y = b[i], z = c[i];
    const Integer p = to_bits(x), q = to_bits(y);
    using Unsigned = std::make_unsigned_t<Integer>;
    const T within = absolute(x) < T(1 << 30) ? x : T(0);
    ASSERT_TRUE(same(out.sum[i], x + y)) << x << ' ' << y;
    ASSERT_TRUE(same(out.difference[i], x - y)) << x << ' ' << y;
    ASSERT_TRUE(same(out.product[i], x * y)) << x << ' ' << y;
    ASSERT_TRUE(same(out.quotient[i], x / y)) << x << ' ' << y;
    ASSERT_EQ(to_bits(out.negative[i]), to_bits(-x)) << x;
    ASSERT_TRUE(same(out.fused[i], fma(x, y, z))) << x << ' ' << y << ' ' << z;
    ASSERT_TRUE(same(out.root[i], square_root(x))) << x;
    ASSERT_TRUE(same(out.rounded[i], round_even(x))) << x;
    ASSERT_TRUE(same(out.selected[i], select(x < y, y, z))) << x << ' ' << y << ' ' << z;
    ASSERT_EQ(to_bits(out.least[i]), to_bits(minimum(x, y))) << x << ' ' << y;
    ASSERT_EQ(to_bits(out.greatest[i]), to_bits(maximum(x, y))) << x << ' ' << y;
    ASSERT_EQ(to_bits(out.magnitude[i]), to_bits(absolute(x))) << x;
    ASSERT_EQ(to_bits(out.from_bits[i]), p);
    const T first = a[i / static_cast<std::size_t>(out.lanes) * static_cast<std::size_t>(out.lanes)];
    ASSERT_TRUE(same(out.stored[i], first)) << first;
    ASSERT_TRUE(first != 0 || to_bits(out.stored[i]) == to_bits(first)) << "the sign of a broadcast zero";
    ASSERT_EQ(out.less[i], mask(x < y)) << x << ' ' << y;
    ASSERT_EQ(out.less_equal[i], mask(x <= y)) << x << ' ' << y;
    ASSERT_EQ(out.greater[i], mask(x > y)) << x << ' ' << y;
    ASSERT_EQ(out.greater_equal[i], mask(x >= y)) << x << ' ' << y;
    ASSERT_EQ(out.equal[i], mask(x == y)) << x << ' ' << y;
    ASSERT_EQ(out.bits[i], p);
    ASSERT_EQ(out.integer[i], to_integer(round_even(within))) << x;
    ASSERT_EQ(out.conjunction[i], p & q);
    ASSERT_EQ(out.disjunction[i], p | q);
    ASSERT_EQ(out.exclusive[i], p ^ q);
    ASSERT_EQ(out.left[i], static_cast<Integer>(static_cast<Unsigned>(p) << 5));
    ASSERT_EQ(out.right[i], p >> 7);
    ASSERT_EQ(
        lane_bits[i / static_cast<std::size_t>(out.lanes)] >> (i % static_cast<std::size_t>(out.lanes)) & 1u,
        x < y ? 1u : 0u);
  }
}

template <class Convert>
void expect_conversions_like_scalar(Convert convert) {
  constexpr std::size_t count = 16 * 500;
  const std::vector<float> a = values<float>(4, count);
  std::vector<std::int32_t> integers;
  for (float x : values<float>(5, count)) integers.push_back(to_bits(x));
  std::vector<float> floats(count);
  std::vector<double> doubles(count);
  convert(a.data(), integers.data(), count, Conversions{floats.data(), doubles.data()});
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_EQ(floats[i], to_float(integers[i]));
    ASSERT_TRUE(same(doubles[i], to_double(a[i])));
  }
}

bool available(CpuTier tier) {
  const auto tiers = available_cpu_tiers();
  return std::find(tiers.begin(), tiers.end(), tier) != tiers.end();
}

TEST(Lanes, OfAvx2AreLikeScalars) {
  if (!available(CpuTier::avx2)) GTEST_SKIP() << "this machine has no avx2";
  expect_like_scalar<float, std::int32_t>([](auto&&... x) { run_avx2(x...); });
}
TEST(Lanes, OfAvx2InDoubleAreLikeScalars) {
  if (!available(CpuTier::avx2)) GTEST_SKIP() << "this machine has no avx2";
  expect_like_scalar<double, std::int64_t>([](auto&&... x) { run_avx2(x...); });
}
TEST(Lanes, OfAvx2ConvertLikeScalars) {
  if (!available(CpuTier::avx2)) GTEST_SKIP() << "this machine has no avx2";
  expect_conversions_like_scalar(convert_avx2);
}
TEST(Lanes, OfAvx512AreLikeScalars) {
  if (!available(CpuTier::avx512)) GTEST_SKIP() << "this machine has no avx512";
  expect_like_scalar<float, std::int32_t>([](auto&&... x) { run_avx512(x...); });
}
TEST(Lanes, OfAvx512InDoubleAreLikeScalars) {
  if (!available(CpuTier::avx512)) GTEST_SKIP() << "this machine has no avx512";
  expect_like_scalar<double, std::int64_t>([](auto&&... x) { run_avx512(x...); });
}
TEST(Lanes, OfAvx512ConvertLikeScalars) {
  if (!available(CpuTier::avx512)) GTEST_SKIP() << "this machine has no avx512";
  expect_conversions_like_scalar(convert_avx512);
}

}  // namespace
}  // namespace lanner::test
