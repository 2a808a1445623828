#include "kernels/blend/blend.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>

#include "kernels/arithmetic/elementary.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::blend {
namespace {

constexpr float largest = std::numeric_limits<float>::max();

Blend three_members() {
  return {{0.25f, 1.5f, 0.5f}, {1e-9f, -0.75f, -2.0f}, {3.0f, 1e3f, 1e4f}};
}

// [members][stride], the awkward scores first.
std::vector<float> scores_for(std::size_t members, std::size_t stride) {
  const float awkward[] = {0, -0.0f, -5, 1e-45f, 1e-30f, largest, 1e30f, 1};
  std::mt19937 random(3);
  std::vector<float> scores(members * stride);
  for (std::size_t i = 0; i < scores.size(); ++i)
    scores[i] = i % 3 == 0 ? awkward[random() % 8] : static_cast<float>(random() % 10'000) / 77.0f;
  return scores;
}

// The contract, word for word.
std::vector<float> by_definition(const Blend& blend, const std::vector<float>& scores, std::size_t stride,
                                 std::size_t count) {
  std::vector<float> all;
  for (std::size_t i = 0; i < count; ++i) {
    float sum = 0, top = -largest;
    for (std::size_t m = 0; m < blend.size(); ++m) {
      const float s = std::min(std::max(scores[m * stride + i], 0.0f) + blend[m].offset, largest);
      const float z = std::fma(blend[m].weight, lanner::log(s), blend[m].bias);
      sum += z;
      top = std::max(top, z);
    }
    const float a = std::fma(0.5f, top, 0.5f / static_cast<float>(blend.size()) * sum);
    all.push_back(std::min(std::max(a, -largest), largest));
  }
  return all;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

TEST(Blend, IsTheDefinitionOnEveryBackend) {
  for (const std::size_t count : {0u, 1u, 31u, 256u, 257u, 9000u}) {
    const std::size_t stride = count + 5;
    const Blend blend = three_members();
    const std::vector<float> scores = scores_for(3, stride);
    const std::vector<float> expected = by_definition(blend, scores, stride, count);
    for (float value : expected) ASSERT_TRUE(std::isfinite(value));
    const auto cpu = Device::cpu({CpuTier::scalar, 3});
    Stream stream = cpu->stream();
    std::vector<float> found(count);
    lanner::blend::blend(stream, *make_blend(*cpu, blend), scores, stride, found);
    EXPECT_TRUE(same_bits(found, expected)) << count;
    for (const auto& device : tests::gpus()) {
      const auto resident = make_blend(*device, blend);
      tests::OnDevice<float> in(*device, scores), out(*device, count);
      Stream on_gpu = device->stream();
      lanner::blend::blend(on_gpu, *resident, in.span(), stride, out.span());
      EXPECT_TRUE(same_bits(out.read(on_gpu), expected)) << device->description() << ' ' << count;
    }
  }
}

TEST(Blend, RefusesWhatDoesNotFit) {
  const auto device = Device::cpu();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Blend& wrong : {Blend{}, Blend{{1, 1, infinity}}, Blend{{0, 1, 0}}, Blend{{-1, 1, 0}},
                             Blend{{infinity, 1, 0}}, Blend{{1, infinity, 0}}})
    EXPECT_THROW(make_blend(*device, wrong), std::invalid_argument);
  const auto resident = make_blend(*device, three_members());
  EXPECT_EQ(resident->members(), 3u);
  Stream stream = device->stream();
  std::vector<float> scores(30), out(10);
  EXPECT_NO_THROW(lanner::blend::blend(stream, *resident, scores, 10, out));
  EXPECT_THROW(lanner::blend::blend(stream, *resident, std::span(scores).first(29), 10, out),
               std::invalid_argument);
  EXPECT_THROW(lanner::blend::blend(stream, *resident, scores, 9, out), std::invalid_argument);
}

}  // namespace
}  // namespace lanner::blend
