// Public data sets, whole: rows of the set and rows moved a little, against the brute force.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels/nearest/nearest.hpp"
#include "tests/kernels/nearest/brute_force.hpp"
#include "tests/kernels/nearest/npz.hpp"

namespace lanner::nearest {
namespace {

constexpr std::size_t query_count = 500;

std::vector<std::string> sets() {
  std::vector<std::string> names;
  const std::filesystem::path folder = LANNER_SOURCE_DIR "/../shared/data/tabular";
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(folder, missing))
    if (entry.path().extension() == ".npz") names.push_back(entry.path().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<float> queries_from(const test::Matrix& set, std::mt19937& random) {
  // Moved by a part of the feature's spread: off the grid that integer columns lie on.
  std::vector<float> spread(set.columns);
  for (std::size_t j = 0; j < set.columns; ++j) {
    float low = set.values[j], high = low;
    for (std::size_t i = 0; i < set.rows; ++i) {
      low = std::min(low, set.values[i * set.columns + j]);
      high = std::max(high, set.values[i * set.columns + j]);
    }
    spread[j] = high - low;
  }
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<float> queries;
  for (std::size_t i = 0; i < query_count; ++i) {
    const float* from = &set.values[random() % set.rows * set.columns];
    for (std::size_t j = 0; j < set.columns; ++j)
      queries.push_back(i % 2 ? from[j] + spread[j] * normal(random) : from[j]);
  }
  return queries;
}

std::vector<test::Answer> answers_of(const test::BruteForce& brute, Rows queries, std::size_t k) {
  std::vector<test::Answer> answers(queries.count);
  const auto half = [&](std::size_t begin) {
    for (std::size_t i = begin; i < queries.count; i += 2)
      answers[i] = brute.search(queries.row(i), k, Count::rows, no_self);
  };
  std::thread other(half, 1);
  half(0);
  other.join();
  return answers;
}

void expect_exact(const std::vector<test::Answer>& answers, const ReferenceSet& set, Rows queries,
                  std::size_t k, CpuTier tier) {
  const auto device = Device::cpu({tier, 2});
  const auto index = make_index(*device, set);
  Stream stream = device->stream();
  std::vector<std::byte> workspace(index->workspace_bytes(queries.count, k, Count::rows));
  std::vector<std::uint32_t> row(queries.count * k), taken(queries.count * k), count(queries.count);
  std::vector<float> distance(queries.count * k);
  search(stream, *index, queries, k, Count::rows, {}, workspace,
         {k, row.data(), distance.data(), taken.data(), count.data()});
  for (std::size_t i = 0; i < queries.count; ++i) {
    const test::Answer& expected = answers[i];
    ASSERT_EQ(count[i], expected.row.size()) << name(tier) << ", query " << i;
    ASSERT_TRUE(std::equal(expected.row.begin(), expected.row.end(), &row[i * k]))
        << name(tier) << ", query " << i;
    ASSERT_TRUE(std::equal(expected.taken.begin(), expected.taken.end(), &taken[i * k]))
        << name(tier) << ", query " << i;
    ASSERT_TRUE(std::equal(expected.distance.begin(), expected.distance.end(), &distance[i * k]))
        << name(tier) << ", query " << i;
  }
}

TEST(Search, IsExactOnPublicData) {
  if (sets().empty()) GTEST_SKIP() << "no public data beside the repository";
  for (const std::string& path : sets()) {
    SCOPED_TRACE(path);
    const test::Matrix set = test::read_npz(path, "X");
    const Rows references{set.values.data(), set.rows, set.columns, set.columns};
    std::mt19937 random(11);
    const std::vector<float> values = queries_from(set, random);
    const Rows queries{values.data(), query_count, set.columns, set.columns};
    const test::BruteForce brute(references);
    const ReferenceSet distinct = distinct_rows(references);
    ASSERT_EQ(distinct_of_rows(distinct), brute.distinct_of());
    const std::size_t many = std::clamp<std::size_t>(set.rows / 20, 6, 2000);
    for (const std::size_t k : {std::size_t{5}, many}) {
      const std::vector<test::Answer> answers = answers_of(brute, queries, k);
      for (CpuTier tier : available_cpu_tiers()) {
        if (tier == CpuTier::scalar && set.rows * set.columns > 200000) continue;  // a minute otherwise
        expect_exact(answers, distinct, queries, k, tier);
        if (HasFatalFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace lanner::nearest
