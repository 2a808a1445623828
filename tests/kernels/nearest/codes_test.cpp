// The screen in bytes: its bound, attacked, and searches by it where bytes are at their limits.
#include "kernels/nearest/codes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/nearest/index.hpp"
#include "tests/kernels/nearest/brute_force.hpp"
#include "tests/kernels/nearest/made_pairs.hpp"
#include "tests/kernels/nearest/made_rows.hpp"

namespace lanner::nearest {
namespace {

using test::Exact;
using test::MadeRows;
using test::Pair;

struct Coded {
  std::vector<int> codes;
  double error = 0;
};

// The nearest codes, now and then one off: the bound holds for any.
Coded coded(const std::vector<float>& row, const Pair& pair, double step, int low, int high,
            std::mt19937& random) {
  Coded coded;
  double squared = 0;
  for (std::size_t j = 0; j < row.size(); ++j) {
    const double value = std::fma(static_cast<double>(pair.scale), static_cast<double>(row[j]),
                                  -static_cast<double>(pair.centre[j]));
    const double off = random() % 50 == 0 ? 1 : 0;
    const double code =
        std::clamp(std::nearbyint(value / step) + off, static_cast<double>(low), static_cast<double>(high));
    coded.codes.push_back(static_cast<int>(code));
    squared += (value - code * step) * (value - code * step);
  }
  coded.error = code_error(std::sqrt(squared), step);
  return coded;
}

TEST(CodeBound, HoldsForAdversarialPairs) {
  std::mt19937 random(23);
  double used = 0;
  for (const std::size_t d : {1u, 2u, 3u, 8u, 31u, 128u, 700u, 4096u})
    for (int round = 0; round < 330; ++round) {
      const Pair pair = test::made_pair(d, round, random);
      const CodeRange range = round % 2 ? code_range_avx2 : code_range_avx512;
      const Exact truth = test::squared_distance(pair.q, pair.r, pair.scale);
      double widest = 0;
      for (std::size_t j = 0; j < d; ++j)
        widest = std::max(widest,
                          std::fabs(std::fma(static_cast<double>(pair.scale), static_cast<double>(pair.r[j]),
                                             -static_cast<double>(pair.centre[j]))));
      // Sometimes too fine for the reference, as rows of other cells are too wide for a set's step.
      const double step =
          static_cast<double>(std::max(1.0f, float_above(widest / (round % 7 == 0 ? 1000 : 127))));
      const int exponent = range.exponent_min + static_cast<int>(random() % 8);
      const double factor = std::ldexp(1.0, exponent + 1);
      const Coded r = coded(pair.r, pair, step, -reference_code_max, reference_code_max, random);
      const Coded q =
          coded(pair.q, pair, std::ldexp(step, exponent), -range.offset, range.offset - 1, random);
      std::int64_t square_q = 0, square_r = 0, sum = 0, product = 0;
      for (std::size_t j = 0; j < d; ++j) {
        square_q += q.codes[j] * q.codes[j];
        square_r += r.codes[j] * r.codes[j];
        sum += r.codes[j];
        product += (q.codes[j] + range.offset) * r.codes[j];
      }
      // As a tile sums it.
      const std::int64_t p = product - range.offset * sum - (square_r >> (exponent + 1));
      ASSERT_EQ(p, static_cast<std::int32_t>(p));
      ASSERT_GT(p, padding_start + 1);
      const double square = std::ldexp(static_cast<double>(square_q), 2 * exponent),
                   error = q.error + r.error;
      const Exact lower = static_cast<Exact>(code_lower(square, factor, static_cast<double>(p), error, step));
      const Exact upper = static_cast<Exact>(code_upper(square, factor, static_cast<double>(p), error, step));
      ASSERT_TRUE(lower <= truth) << "d " << d << ", round " << round;
      ASSERT_TRUE(upper >= truth) << "d " << d << ", round " << round;
      // The true distance, from the codes' own one, in parts of the error.
      const double own = std::sqrt(std::max(0.0, square - factor * static_cast<double>(p))) * step;
      used = std::max(used, std::fabs(std::sqrt(static_cast<double>(truth)) - own) / error);
      // A limit at the truth must not drop the pair.
      const double limit = static_cast<double>(float_above(static_cast<double>(truth)));
      ASSERT_GE(p, code_threshold(std::sqrt(limit), error, square, 1 / step, 1 / factor));
      ASSERT_LT(padding_start, code_threshold(INFINITY, error, square, 1 / step, 1 / factor));
    }
  EXPECT_GT(used, 0.9) << "the pairs do not come near the bound: the test has lost its teeth";
}

TEST(CodeBound, AThresholdDropsWhatIsFar) {
  // In units of the step: codes at distance 100, errors of 1 in all.
  const double square = 10'000, factor = 2;
  EXPECT_LE(code_threshold(99, 1, square, 1, 1 / factor), 0);
  EXPECT_GT(code_threshold(98, 1, square, 1, 1 / factor), 0);
}

// Answers of an index in codes, of every tier that has them, beside those of the brute force.
void expect_exact(const MadeRows& references, const MadeRows& queries, std::size_t k) {
  const test::BruteForce brute(references);
  const ReferenceSet set = distinct_rows(references);
  for (const CpuTier tier : available_cpu_tiers()) {
    if (tier == CpuTier::scalar || !has_code_products(tier)) continue;
    const auto device = Device::cpu({tier, 1});
    const CpuIndex index(*device, set, Screen::codes);
    ASSERT_NE(index.view().codes.codes, nullptr);
    Stream stream = device->stream();
    std::vector<std::byte> workspace(index.workspace_bytes(queries.count, k, Count::rows));
    std::vector<float> kth(queries.count);
    distances(stream, index, queries, k, Count::rows, Summary::kth, {}, workspace, kth);
    for (std::size_t i = 0; i < queries.count; ++i)
      ASSERT_EQ(kth[i], test::BruteForce::summarise(brute.search(queries.row(i), k, Count::rows, no_self),
                                                    Summary::kth))
          << name(tier) << ", query " << i;
  }
}

// All products of one sign and as large as they can be, in as many features as are allowed.
TEST(Codes, AtTheirLimits) {
  std::mt19937 random(31);
  for (const std::size_t width : {4u, 64u, 257u, 4096u}) {
    MadeRows references(300, width), queries(20, width);
    for (std::size_t i = 0; i < references.count; ++i)
      for (std::size_t j = 0; j < width; ++j)
        references.row(i)[j] = (i < 2 || random() % 64 != 0) == (i % 2 == 0) ? 1.0f : -1.0f;
    for (std::size_t i = 0; i < queries.count; ++i)
      for (std::size_t j = 0; j < width; ++j)
        queries.row(i)[j] = std::ldexp(i % 2 ? 1.0f : -1.0f, static_cast<int>(i / 2 * 5 % 45));
    expect_exact(references, queries, 7);
    if (HasFatalFailure()) return;
  }
}

// Far outside the references, by factors that differ from query to query in a tile.
TEST(Codes, OfQueriesBeyondTheReferences) {
  std::mt19937 random(32);
  const MadeRows references = test::made_normal(3000, 24, random);
  MadeRows queries = test::made_normal(97, 24, random);
  for (std::size_t i = 0; i < queries.count; ++i)
    for (std::size_t j = 0; j < queries.width; ++j)
      queries.row(i)[j] *= std::ldexp(1.0f, i % 3 == 0 ? 0 : static_cast<int>(random() % 60) - 10);
  expect_exact(references, queries, 10);
}

// As of standardised flags.
TEST(Codes, HitAValueThatMostRowsShare) {
  std::mt19937 random(35);
  MadeRows rows(2000, 40);
  for (std::size_t i = 0; i < rows.count; ++i)
    for (std::size_t j = 0; j < rows.width; ++j)
      rows.row(i)[j] = random() % 10 ? -0.1f * static_cast<float>(j + 1) : 3.0f + static_cast<float>(j);
  const ReferenceSet set = distinct_rows(rows);
  const CodeGrid grid = code_grid(set, 1);
  std::vector<float> common(rows.width);
  for (std::size_t j = 0; j < rows.width; ++j) common[j] = -0.1f * static_cast<float>(j + 1);
  std::vector<std::int8_t> codes(rows.width);
  EXPECT_LT(encode(grid, 1, common.data(), codes.data()), 1e-3 * static_cast<double>(grid.step));
  for (std::size_t i = 0; i < rows.count; ++i)  // and none is cut off
    EXPECT_LE(encode(grid, 1, rows.row(i), codes.data()),
              0.51 * std::sqrt(40) * static_cast<double>(grid.step));
}

TEST(Codes, WithBoxesThatTellAndWithout) {
  std::mt19937 random(36);
  const MadeRows round = test::made_normal(6000, 30, random);
  const MadeRows clusters = test::made_low_rank_clusters(30'000, 30, random);
  for (const MadeRows* references : {&round, &clusters}) {
    const ReferenceSet set = distinct_rows(*references);
    for (const CpuTier tier : available_cpu_tiers()) {
      if (tier == CpuTier::scalar || !has_code_products(tier)) continue;
      const auto device = Device::cpu({tier, 1});
      EXPECT_EQ(CpuIndex(*device, set, Screen::codes).view().boxes_tell, references == &clusters);
    }
    MadeRows queries = test::made_normal(90, 30, random);
    for (std::size_t i = 0; i < 60; ++i) std::copy_n(references->row(i * 31), 30, queries.row(i));
    for (const std::size_t k : {5u, 200u}) {
      expect_exact(*references, queries, k);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Codes, AreChosenWhereBoxesExcludeLittle) {
  std::mt19937 random(33);
  const ReferenceSet round = distinct_rows(test::made_normal(20'000, 64, random));
  const ReferenceSet clusters = distinct_rows(test::made_low_rank_clusters(20'000, 64, random));
  const ReferenceSet tails = distinct_rows(test::made_heavy_tails(20'000, 64, random));
  for (const CpuTier tier : available_cpu_tiers()) {
    const auto device = Device::cpu({tier, 1});
    const bool able = tier != CpuTier::scalar && has_code_products(tier);
    EXPECT_EQ(CpuIndex(*device, round).view().codes.codes != nullptr, able) << name(tier);
    EXPECT_EQ(CpuIndex(*device, clusters).view().codes.codes, nullptr) << name(tier);
    EXPECT_EQ(CpuIndex(*device, tails).view().codes.codes, nullptr) << name(tier);
  }
}

TEST(Codes, AreRefusedForMoreFeaturesThanTheyCanSum) {
  std::mt19937 random(34);
  const ReferenceSet set = distinct_rows(test::made_normal(10, code_width_max + 1, random));
  for (const CpuTier tier : available_cpu_tiers()) {
    if (tier == CpuTier::scalar) continue;
    const auto device = Device::cpu({tier, 1});
    EXPECT_THROW(CpuIndex(*device, set, Screen::codes), std::invalid_argument);
    EXPECT_EQ(CpuIndex(*device, set).view().codes.codes, nullptr);
  }
}

}  // namespace
}  // namespace lanner::nearest
