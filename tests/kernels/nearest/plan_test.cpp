#include "kernels/nearest/plan.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>

#include "kernels/nearest/index.hpp"
#include "tests/kernels/nearest/made_rows.hpp"
#include "tests/kernels/nearest/run_search.hpp"

namespace lanner::nearest {
namespace {

void expect_same(const test::Found& found, const test::Found& expected) {
  ASSERT_EQ(found.kth, expected.kth);
  ASSERT_EQ(found.mean, expected.mean);
  for (std::size_t i = 0; i < expected.answers.size(); ++i) {
    ASSERT_EQ(found.answers[i].row, expected.answers[i].row);
    ASSERT_EQ(found.answers[i].taken, expected.answers[i].taken);
  }
}

TEST(IndexPlan, AnIndexFollowsTheOneThatItsSetBrings) {
  std::mt19937 random(1);
  for (const std::size_t width : {3, 8, 40}) {
    ReferenceSet set = distinct_rows(test::made_low_rank_clusters(5000, width, random));
    const test::MadeRows queries = test::made_low_rank_clusters(60, width, random);
    for (const CpuTier tier : available_cpu_tiers()) {
      if (tier == CpuTier::scalar) continue;
      const auto device = Device::cpu({tier, 1});
      set.plan = nullptr;
      const auto expected = run(*device, *make_index(*device, set, 9), queries, 9, Count::rows, {}, 60);
      const auto fitting = std::make_shared<IndexPlan>(*plan_index(set, 9));
      set.plan = fitting;
      const CpuIndex followed(*device, set);
      expect_same(run(*device, followed, queries, 9, Count::rows, {}, 60), expected);

      // One that no count would lead to: every 200 rows a cell, as they come.
      IndexPlan odd;
      odd.cells.order.resize(set.distinct());
      std::iota(odd.cells.order.begin(), odd.cells.order.end(), 0u);
      for (std::size_t begin = 0; begin < set.distinct(); begin += 200) odd.cells.begins.push_back(begin);
      odd.cells.groups = {0, 1, 6};
      odd.cells.rows_read = 5000;
      odd.left_over = std::numeric_limits<double>::infinity();
      set.plan = std::make_shared<IndexPlan>(odd);
      const CpuIndex oddly(*device, set);
      EXPECT_EQ(oddly.view().codes.codes, nullptr);
      EXPECT_NE(oddly.view().cells, followed.view().cells);
      expect_same(run(*device, oddly, queries, 9, Count::rows, {}, 60), expected);

      odd.left_over = 0;
      odd.cells.rows_read = 1e9;
      set.plan = std::make_shared<IndexPlan>(odd);
      const CpuIndex coded(*device, set);
      EXPECT_EQ(coded.view().codes.codes != nullptr, has_code_products(tier)) << name(tier) << ' ' << width;
      expect_same(run(*device, coded, queries, 9, Count::rows, {}, 60), expected);
    }
  }
}

TEST(IndexPlan, OneOfAnotherSetIsRefused) {
  std::mt19937 random(2);
  ReferenceSet set = distinct_rows(test::made_normal(3000, 9, random));
  const auto plan = plan_index(set, 10);
  ASSERT_TRUE(fits(*plan, set));
  EXPECT_FALSE(fits(*plan, distinct_rows(test::made_normal(2999, 9, random))));

  const auto refused = [&](const auto& damage) {
    IndexPlan damaged = *plan;
    damage(damaged);
    return !fits(damaged, set);
  };
  EXPECT_TRUE(refused([](IndexPlan& p) { p.cells.order[7] = p.cells.order[8]; }));
  EXPECT_TRUE(refused([](IndexPlan& p) { p.cells.order[7] = 3000; }));
  EXPECT_TRUE(refused([](IndexPlan& p) { p.cells.begins.erase(p.cells.begins.begin() + 1); }));
  EXPECT_TRUE(refused([](IndexPlan& p) { p.cells.begins[0] = 1; }));
  EXPECT_TRUE(refused([](IndexPlan& p) { p.cells.begins[2] = p.cells.begins[1]; }));
  EXPECT_TRUE(refused([](IndexPlan& p) { p.cells.begins.push_back(3000); }));
  EXPECT_TRUE(refused([](IndexPlan& p) { p.cells.begins.clear(); }));
  EXPECT_TRUE(refused([](IndexPlan& p) { p.cells.groups.push_back(p.cells.count()); }));
  EXPECT_TRUE(refused([](IndexPlan& p) { p.cells.groups.clear(); }));
  EXPECT_TRUE(refused([](IndexPlan& p) { p.cells.rows_read = std::numeric_limits<double>::quiet_NaN(); }));
  EXPECT_TRUE(refused([](IndexPlan& p) { p.left_over = -1; }));
  EXPECT_TRUE(refused([](IndexPlan& p) {  // a cell for every row
    p.cells.begins.resize(3000);
    std::iota(p.cells.begins.begin(), p.cells.begins.end(), std::size_t{0});
  }));

  auto other = std::make_shared<IndexPlan>(*plan);
  other->cells.order.pop_back();
  set.plan = other;
  for (const CpuTier tier : available_cpu_tiers()) {
    if (tier == CpuTier::scalar) continue;
    EXPECT_THROW(make_index(*Device::cpu({tier, 1}), set), std::invalid_argument);
  }
}

}  // namespace
}  // namespace lanner::nearest
