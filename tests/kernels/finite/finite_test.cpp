#include "kernels/finite/finite.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace lanner::finite {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nothing = std::numeric_limits<float>::quiet_NaN();

class Finite : public testing::TestWithParam<CpuTier> {};

std::vector<float> usual(std::size_t count) {
  const float of_all_sizes[] = {0.0f,
                                -0.0f,
                                1.5f,
                                -3.25f,
                                std::numeric_limits<float>::max(),
                                std::numeric_limits<float>::lowest(),
                                std::numeric_limits<float>::denorm_min()};
  std::vector<float> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(of_all_sizes[i % std::size(of_all_sizes)]);
  return values;
}

// Whatever its place, with whole registers before and after it or none.
TEST_P(Finite, OneValueThatIsNotIsFoundAtEveryPlace) {
  for (std::size_t count : {0u, 1u, 7u, 16u, 64u, 65u, 200u}) {
    std::vector<float> values = usual(count), copy(count);
    EXPECT_TRUE(all_finite(GetParam(), values.data(), count));
    for (std::size_t i = 0; i < count; ++i) {
      for (float strange : {infinity, -infinity, nothing, -nothing}) {
        const float usual = values[i];
        values[i] = strange;
        EXPECT_FALSE(all_finite(GetParam(), values.data(), count)) << i << " of " << count;
        EXPECT_FALSE(copy_finite(GetParam(), values.data(), copy.data(), count)) << i << " of " << count;
        values[i] = usual;
      }
    }
  }
}

TEST_P(Finite, CopiesTheBits) {
  const std::vector<float> values = usual(131);
  std::vector<float> copy(values.size() + 1, 7.0f);
  EXPECT_TRUE(copy_finite(GetParam(), values.data(), copy.data(), values.size()));
  EXPECT_EQ(std::memcmp(copy.data(), values.data(), values.size() * sizeof(float)), 0);
  EXPECT_EQ(copy.back(), 7.0f);
}

TEST_P(Finite, DoublesAreCastOnceAndMayLeaveTheRange) {
  std::vector<double> values;
  for (float value : usual(131)) values.push_back(static_cast<double>(value));
  values[3] = 0.1;
  std::vector<float> copy(values.size());
  EXPECT_TRUE(copy_finite(GetParam(), values.data(), copy.data(), values.size()));
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(copy[i], static_cast<float>(values[i]));
  for (std::size_t i : {std::size_t{5}, values.size() - 1}) {
    values[i] = 1e39;
    EXPECT_FALSE(copy_finite(GetParam(), values.data(), copy.data(), values.size()));
    EXPECT_EQ(copy[i], infinity);
    values[i] = 0;
  }
}

INSTANTIATE_TEST_SUITE_P(Tiers, Finite, testing::ValuesIn(available_cpu_tiers()),
                         [](const auto& info) { return std::string(name(info.param)); });

}  // namespace
}  // namespace lanner::finite
