// Every tier against the brute force of brute_force.hpp: rows, distances, how many of each, all bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <stdexcept>

#include "kernels/nearest/index.hpp"
#include "kernels/nearest/nearest.hpp"
#include "tests/kernels/nearest/brute_force.hpp"
#include "tests/kernels/nearest/made_rows.hpp"
#include "tests/kernels/nearest/run_search.hpp"

namespace lanner::nearest {
namespace {

using test::Answer;
using test::BruteForce;
using test::Found;
using test::MadeRows;
using test::queries_for;
using test::run;

void expect_exact(Rows references, Rows queries, std::size_t k, std::span<const std::uint32_t> self,
                  const std::string& what, unsigned threads = 2, std::size_t batch = 1 << 20) {
  const BruteForce brute(references);
  const ReferenceSet set = distinct_rows(references);
  ASSERT_EQ(distinct_of_rows(set), brute.distinct_of()) << what;
  for (Count count : {Count::rows, Count::distinct}) {
    std::vector<Answer> expected;
    for (std::size_t i = 0; i < queries.count; ++i)
      expected.push_back(brute.search(queries.row(i), k, count, self.empty() ? no_self : self[i]));
    for (CpuTier tier : available_cpu_tiers()) {
      const auto device = Device::cpu({tier, threads});
      for (const Screen screen : {Screen::floats, Screen::codes}) {
        if (screen == Screen::codes && (tier == CpuTier::scalar || !has_code_products(tier))) continue;
        const CpuIndex index(*device, set, screen);
        const std::string where =
            what + ", " + std::string(name(tier)) + (screen == Screen::codes ? ", codes" : "");
        const Found found = run(*device, index, queries, k, count, self, std::min(batch, queries.count));
        for (std::size_t i = 0; i < queries.count; ++i) {
          ASSERT_TRUE(found.answers[i] == expected[i]) << where << ", query " << i << ", k " << k << ", "
                                                       << (count == Count::rows ? "rows" : "distinct");
          ASSERT_EQ(found.kth[i], BruteForce::summarise(expected[i], Summary::kth)) << where;
          ASSERT_EQ(found.mean[i], BruteForce::summarise(expected[i], Summary::mean)) << where;
        }
      }
    }
  }
}

// The distinct row that equals a query, as when training rows are scored.
std::vector<std::uint32_t> self_of(const BruteForce& brute, Rows references, Rows queries) {
  std::vector<std::uint32_t> self;
  for (std::size_t i = 0; i < queries.count; ++i) {
    std::uint32_t found = no_self;
    for (std::size_t r = 0; r < references.count && found == no_self; ++r)
      if (std::equal(queries.row(i), queries.row(i) + queries.width, references.row(r)))
        found = brute.distinct_of()[r];
    self.push_back(found);
  }
  return self;
}

class EveryKind : public ::testing::TestWithParam<std::pair<const char*, test::Maker>> {};

TEST_P(EveryKind, IsExactForAllShapes) {
  std::mt19937 random(1);
  const struct {
    std::size_t n, width, queries, k;
  } shapes[] = {{1, 1, 3, 1},          {1, 3, 5, 4},       {2, 2, 7, 2},      {15, 1, 9, 3},
                {16, 2, 13, 16},       {17, 7, 12, 5},     {33, 4, 30, 1},    {100, 8, 40, 10},
                {129, 17, 6, 129},     {300, 3, 61, 7},    {700, 64, 25, 70}, {1000, 65, 14, 20},
                {2500, 5, 100, 10},    {5000, 3, 50, 300}, {5000, 31, 20, 2}, {260, 1555, 8, 12},
                {1200, 130, 12, 1300}, {3000, 2, 40, 1000}};
  for (const auto& shape : shapes) {
    const MadeRows references = GetParam().second(shape.n, shape.width, random);
    const MadeRows others = GetParam().second(20, shape.width, random);
    const MadeRows queries = queries_for(references, others, shape.queries, random);
    const std::string what =
        std::string(GetParam().first) + " " + std::to_string(shape.n) + " x " + std::to_string(shape.width);
    const BruteForce brute(references);
    const auto self = self_of(brute, references, queries);
    const unsigned threads = 1 + random() % 5;
    expect_exact(references, queries, shape.k, {}, what, threads, 1 + random() % (2 * shape.queries));
    if (HasFatalFailure()) return;
    // Also so few that they are searched for one by one.
    expect_exact(references, queries, shape.k, self, what + " self", threads,
                 random() % 2 ? 1 + random() % 3 : 1 << 20);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Made, EveryKind, ::testing::ValuesIn(test::made_kinds),
                         [](const auto& info) { return std::string(info.param.first); });

// The same values in another order and with other signs: eight and eight rows as far from the origin as each
// other, but for the last bits and how a chain of them rounds; or all of them. Beside the one large value the
// squares of others are lost in float32, or not, as they come before it or after.
TEST(Search, RowsThatOnlyTheirChainsTellApart) {
  std::mt19937 random(5);
  for (const std::size_t width : {3u, 9u, 40u, 130u, 600u, 601u}) {
    const bool all_alike = width == 601;
    MadeRows references(900, width);
    MadeRows values = test::made_normal(1, width, random);
    if (width > 100)
      for (std::size_t j = 0; j < width; ++j) values.row(0)[j] = j == 0 ? 1.0f : 0x1.69p-13f;
    for (std::size_t i = 0; i < references.count; ++i) {
      float* row = references.row(i);
      const float radius = all_alike ? 1 : 1 + 0.001f * static_cast<float>(i / 8);
      const float off = 1 + 0x1p-23f * static_cast<float>(random() % 4);
      for (std::size_t j = 0; j < width; ++j)
        row[j] = off * (radius * (random() % 2 ? 1.0f : -1.0f) * values.row(0)[j]);
      std::shuffle(row, row + width, random);
    }
    MadeRows queries(23, width);
    for (std::size_t i = 0; i < queries.count; ++i)
      for (std::size_t j = 0; j < width; ++j)
        queries.row(i)[j] = i == 0 ? 0.0f : std::ldexp(1.0f, -30 - static_cast<int>(random() % 20));
    for (const std::size_t k : {1u, 12u, 150u, 899u}) {
      expect_exact(references, queries, k, {}, "shell x " + std::to_string(width), 1);
      if (HasFatalFailure()) return;
    }
  }
}

// So many queries that boxes are found out to exclude nothing, and no more are asked.
TEST(Search, WhereBoxesExcludeNothing) {
  std::mt19937 random(6);
  const MadeRows references = test::made_normal(9000, 24, random);
  const MadeRows queries = test::made_normal(150, 24, random);
  for (const std::size_t k : {4u, 300u}) {
    expect_exact(references, queries, k, {}, "round", 1);
    if (HasFatalFailure()) return;
  }
}

// Cells enough for a sample of them to give the first limits; repeated rows, queries far beyond the rows, and
// so many that are rows themselves that some are in the sample.
TEST(Search, WhereASampleGivesTheFirstLimits) {
  std::mt19937 random(8);
  MadeRows references = test::made_normal(25'000, 32, random);
  for (std::size_t i = 0; i < 700; ++i)
    std::copy_n(references.row(i), references.width, references.row(references.count - 1 - i));
  MadeRows queries = test::made_normal(60, references.width, random);
  for (std::size_t i = 0; i < 30; ++i)
    std::copy_n(references.row(i * 400), references.width, queries.row(2 * i));
  for (std::size_t j = 0; j < references.width; ++j) {
    queries.row(1)[j] *= 300;
    queries.row(3)[j] *= 1e30f;
  }
  const BruteForce brute(references);
  expect_exact(references, queries, 1, {}, "sampled", 1);
  if (HasFatalFailure()) return;
  expect_exact(references, queries, 16, {}, "sampled", 1);
  if (HasFatalFailure()) return;
  MadeRows own(800, references.width);
  std::vector<std::uint32_t> self;
  for (std::size_t i = 0; i < own.count; ++i) {
    std::copy_n(references.row(31 * i), references.width, own.row(i));
    self.push_back(brute.distinct_of()[31 * i]);
  }
  expect_exact(references, own, 1, self, "sampled, self", 1);
  const auto device = Device::cpu({CpuTier::avx2, 1});
  const CpuIndex index(*device, distinct_rows(references), Screen::codes);
  EXPECT_FALSE(index.view().boxes_tell);
  EXPECT_GE(index.view().cells, 128u) << "too few cells for a sample: the test has lost its teeth";
}

TEST(Search, TheLowestOriginalRowsWinTiesEvenBetweenRepeatedRows) {
  // At distance 1 from the origin: a at rows 0, 5, 6; b at 1, 4; c at 2, 3. Four of the seven are wanted.
  const float a[] = {1, 0}, b[] = {0, 1}, c[] = {-1, 0};
  std::vector<float> values;
  for (const float* row : {a, b, c, c, b, a, a}) values.insert(values.end(), row, row + 2);
  const float origin[] = {0, 0};
  for (CpuTier tier : available_cpu_tiers()) {
    const auto device = Device::cpu({tier, 1});
    const auto index = make_index(*device, distinct_rows({values.data(), 7, 2, 2}));
    const Found found = run(*device, *index, {origin, 1, 2, 2}, 4, Count::rows, {}, 1);
    EXPECT_EQ(found.answers[0].row, (std::vector<std::uint32_t>{0, 1, 2}));
    EXPECT_EQ(found.answers[0].taken, (std::vector<std::uint32_t>{1, 1, 2}));
    EXPECT_EQ(found.mean[0], 1);
  }
}

TEST(Search, ThreadsAndBatchesDoNotMatter) {
  std::mt19937 random(7);
  const MadeRows references = test::made_clusters(4000, 6, random);
  const MadeRows queries = queries_for(references, {}, 333, random);
  const ReferenceSet set = distinct_rows(references);
  for (CpuTier tier : available_cpu_tiers()) {
    const auto one = Device::cpu({tier, 1});
    const Found expected = run(*one, *make_index(*one, set), queries, 9, Count::rows, {}, 333);
    for (unsigned threads : {1u, 2u, 5u}) {
      const auto device = Device::cpu({tier, threads});
      const auto index = make_index(*device, set);
      for (std::size_t batch : {1u, 2u, 5u, 64u, 333u}) {
        const Found found = run(*device, *index, queries, 9, Count::rows, {}, batch);
        EXPECT_TRUE(found.answers == expected.answers) << threads << " threads, batches of " << batch;
        EXPECT_EQ(found.kth, expected.kth);
        EXPECT_EQ(found.mean, expected.mean);
      }
    }
  }
}

TEST(Search, ReadsOnlyTheFeaturesOfARow) {
  std::mt19937 random(3);
  const MadeRows references = test::made_clusters(500, 5, random);
  const MadeRows queries = test::made_clusters(20, 5, random);
  std::vector<float> strided(20 * 8, std::nanf(""));
  for (std::size_t i = 0; i < 20; ++i) std::copy_n(queries.row(i), 5, &strided[i * 8]);
  for (CpuTier tier : available_cpu_tiers()) {
    const auto device = Device::cpu({tier, 1});
    const auto index = make_index(*device, distinct_rows(references));
    EXPECT_TRUE(run(*device, *index, queries, 3, Count::rows, {}, 20).answers ==
                run(*device, *index, {strided.data(), 20, 5, 8}, 3, Count::rows, {}, 20).answers);
  }
}

TEST(Search, RefusesWhatItCannotDo) {
  const float values[] = {1, 2, 3, 4};
  const auto device = Device::cpu({CpuTier::scalar, 2});
  Stream stream = device->stream();
  EXPECT_THROW(make_index(*device, ReferenceSet{}), std::invalid_argument);
  ReferenceSet infinite = distinct_rows({values, 2, 2, 2});
  infinite.values[1] = INFINITY;
  EXPECT_THROW(make_index(*device, infinite), std::invalid_argument);
  ReferenceSet weightless = distinct_rows({values, 2, 2, 2});
  weightless.weight[1] = 7;
  EXPECT_THROW(make_index(*device, weightless), std::invalid_argument);

  const auto index = make_index(*device, distinct_rows({values, 2, 2, 2}));
  const Rows queries{values, 2, 2, 2};
  std::vector<std::byte> workspace(index->workspace_bytes(2, 1, Count::rows));
  std::vector<float> out(2);
  const auto ask = [&](Rows rows, std::size_t k, std::span<const std::uint32_t> self,
                       std::span<std::byte> memory) {
    distances(stream, *index, rows, k, Count::rows, Summary::kth, self, memory, out);
  };
  EXPECT_NO_THROW(ask(queries, 1, {}, workspace));
  EXPECT_THROW(ask(queries, 0, {}, workspace), std::invalid_argument);
  EXPECT_THROW(ask({values, 4, 1, 1}, 1, {}, workspace), std::invalid_argument);
  EXPECT_THROW(ask(queries, 1, {}, std::span(workspace).first(8)), std::invalid_argument);
  const std::uint32_t self[] = {0, 2};
  EXPECT_THROW(ask(queries, 1, self, workspace), std::invalid_argument);
  EXPECT_THROW(ask(queries, 1, std::span(self).first(1), workspace), std::invalid_argument);
}

}  // namespace
}  // namespace lanner::nearest
