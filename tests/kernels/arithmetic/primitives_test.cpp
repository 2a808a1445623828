#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/arithmetic/scalar.hpp"

namespace lanner {
namespace {

TEST(Primitives, MinimumAndMaximumGiveTheSecondWhereNeitherIsSmaller) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(minimum(nan, 1.0f), 1.0f);
  EXPECT_TRUE(std::isnan(minimum(1.0f, nan)));
  EXPECT_EQ(maximum(nan, 1.0f), 1.0f);
  EXPECT_TRUE(std::signbit(minimum(0.0f, -0.0f)));
  EXPECT_FALSE(std::signbit(minimum(-0.0f, 0.0f)));
}

TEST(Primitives, FmaRoundsOnce) {
  const float x = 1.0f + 0x1p-12f;
  EXPECT_EQ(fma(x, x, -(x * x)), 0x1p-24f);
}

TEST(Environment, GivesDenormalsAndNearestAndPutsTheCallersBack) {
  const unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040 | 0x6000);  // flush to zero, denormals are zero, towards zero
  volatile float small = 0x1p-126f;
  {
    FloatEnvironment environment;
    EXPECT_EQ(small * 0.5f, 0x1p-127f);
    volatile float one = 1.0f;
    EXPECT_EQ(one + 0x1.8p-24f, 1.0f + 0x1p-23f);
  }
  EXPECT_EQ(small * 0.5f, 0.0f);
  EXPECT_EQ(_mm_getcsr() & 0xE040u, 0xE040u);
  _mm_setcsr(before);
}

}  // namespace
}  // namespace lanner
