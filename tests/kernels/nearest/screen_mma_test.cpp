// The bound of the GPU's screen against tensor cores as the emulated ones may be: exact, or truncating
// partial sums in any order.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "kernels/device/emulated.hpp"
#include "kernels/device/simt.hpp"
#include "kernels/nearest/screen_bf16.hpp"
#include "tests/kernels/nearest/made_pairs.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::nearest {
namespace {

constexpr unsigned query_count = 16, reference_count = 8;

// One warp. queries: [steps, 32, 4], references: [steps, 32, 2], sums: [16, 8].
__global__ void sums_kernel(const unsigned* queries, const unsigned* references, const float* bias,
                            unsigned steps, float* sums) {
  const unsigned lane = threadIdx.x, column = lane % 4 * 2;
  float sum[4] = {bias[column], bias[column + 1], bias[column], bias[column + 1]};
  for (unsigned step = 0; step < steps; ++step) {
    unsigned a[4], b[2];
    for (unsigned i = 0; i < 4; ++i) a[i] = queries[(step * 32 + lane) * 4 + i];
    for (unsigned i = 0; i < 2; ++i) b[i] = references[(step * 32 + lane) * 2 + i];
    mma_m16n8k16_bf16(sum, a, b);
  }
  for (unsigned e = 0; e < 4; ++e) sums[(lane / 4 + e / 2 * 8) * reference_count + column + e % 2] = sum[e];
}

using test::Exact;
using test::Pair;

// Sixteen queries and eight references of one cell.
struct Tile {
  std::vector<Pair> pairs;
  const Pair& cell() const { return pairs[0]; }
};

float centred(float x, const Pair& cell, std::size_t j) {
  return std::fma(cell.scale, x, -cell.centre[j]);
}

void expect_bounded(Device& device, const Tile& tile) {
  const Pair& cell = tile.cell();
  const std::size_t d = cell.q.size(), steps = (d + step_features - 1) / step_features;
  const ScreenBound bound = screen_bound_bf16(d);
  std::vector<unsigned> queries(steps * 32 * 4, 0), references(steps * 32 * 2, 0);
  const auto pair_at = [&](const std::vector<float>& x, float factor, std::size_t j) {
    const float low = j < d ? factor * centred(x[j], cell, j) : 0;
    const float high = j + 1 < d ? factor * centred(x[j + 1], cell, j + 1) : 0;
    return to_bf16_pair(low, high);
  };
  for (std::size_t step = 0; step < steps; ++step)
    for (std::size_t lane = 0; lane < 32; ++lane) {
      const std::size_t j = step * step_features + lane % 4 * 4;
      for (std::size_t i = 0; i < 4; ++i)
        queries[(step * 32 + lane) * 4 + i] = pair_at(tile.pairs[lane / 4 + i % 2 * 8].q, -2, j + i / 2 * 2);
      for (std::size_t i = 0; i < 2; ++i)
        references[(step * 32 + lane) * 2 + i] = pair_at(tile.pairs[lane / 4].r, 1, j + i * 2);
    }
  std::vector<float> bias;
  for (std::size_t n = 0; n < reference_count; ++n) {
    Pair in_cell = cell;
    bias.push_back(screen_bias(bound, test::squared_norm(tile.pairs[n].r, in_cell)));
  }

  Stream stream = device.stream();
  tests::OnDevice<unsigned> a(device, std::span<const unsigned>(queries)),
      b(device, std::span<const unsigned>(references));
  tests::OnDevice<float> start(device, std::span<const float>(bias)),
      sums(device, query_count * reference_count);
  launch(stream, sums_kernel, dim3(1), dim3(32), 0, a.data(), b.data(), start.data(),
         static_cast<unsigned>(steps), sums.data());
  const std::vector<float> found = sums.read(stream);
  for (std::size_t m = 0; m < query_count; ++m) {
    const std::vector<float>& q = tile.pairs[m].q;
    float query_norm = 0;
    for (std::size_t j = 0; j < d; ++j) {
      const float v = centred(q[j], cell, j);
      query_norm = std::fma(v, v, query_norm);
    }
    for (std::size_t n = 0; n < reference_count; ++n) {
      const std::vector<float>& r = tile.pairs[n].r;
      const Exact truth = test::squared_distance(q, r, cell.scale);
      const auto sum = static_cast<Exact>(found[m * reference_count + n]);
      const float extra = screen_extra(bound, screen_bias(bound, test::squared_norm(r, cell)));
      ASSERT_TRUE(sum + static_cast<Exact>(screen_lower_shift(bound, query_norm)) <= truth) << "d " << d;
      ASSERT_TRUE(sum + static_cast<Exact>(extra) +
                      static_cast<Exact>(screen_upper_shift(bound, query_norm)) >=
                  truth)
          << "d " << d;
    }
  }
}

TEST(ScreenOnTensorCores, IsBounded) {
  std::mt19937 random(23);
  for (const bool truncating : {false, true})
    for (const std::uint64_t seed : {0u, 1u, 2u}) {
      const auto device = make_emulated_device({.seed = seed, .truncating_products = truncating});
      for (const std::size_t d : {1u, 3u, 16u, 17u, 130u, 1555u})
        for (int round = 0; round < (d < 1000 ? 30 : 10); ++round) {
          Tile tile;
          // Now and then rows of all kinds and sizes, else of one.
          for (unsigned i = 0; i < query_count; ++i)
            tile.pairs.push_back(
                test::made_pair(d, round % 4 == 3 ? static_cast<int>(random() % 60) : round, random));
          expect_bounded(*device, tile);
          if (HasFatalFailure()) return;
        }
    }
}

}  // namespace
}  // namespace lanner::nearest
