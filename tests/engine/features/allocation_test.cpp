// The steady path allocates nothing: this binary counts.
#include <gtest/gtest.h>

#include "engine/features/features.hpp"
#include "tests/allocations/allocations.hpp"
#include "tests/engine/features/events.hpp"

namespace lanner::engine {
namespace {

Records clean_payments(std::size_t count, std::uint32_t seed, int customers) {
  Records records = payments(count, seed, customers);
  records.refused.clear();
  for (double& amount : records.columns[0].numbers) {
    if (!std::isfinite(amount)) amount = 1;
  }
  return records;
}

std::size_t allocations_of(const FeaturePlan& plan, const Records& records, FeatureState* state,
                           std::vector<float>& values, std::vector<std::uint8_t>& refused) {
  std::vector<RowRefusal> reasons;
  const MutableRows out{values.data(), records.count, plan.width(), plan.width()};
  const std::size_t before = test::allocations();
  plan.transform(records, 0, records.count, state, out, refused, reasons);
  const std::size_t after = test::allocations();
  EXPECT_TRUE(reasons.empty());
  return after - before;
}

TEST(Allocation, NoneInTheSteadyState) {
  // Limits keep the state turning over: entities are evicted and come back, windows fill and empty.
  const FeatureLimits limits{.entities_max = 40, .events_max = 50, .events_total_max = 400};
  const Records records = clean_payments(5000, 1, 60);
  const auto plan = FeaturePlan::fit(payment_schema(), payment_features(), records, limits);
  const auto state = plan.make_state();
  std::vector<float> values(records.count * plan.width());
  std::vector<std::uint8_t> refused(records.count);
  EXPECT_GT(allocations_of(plan, records, state.get(), values, refused), 0u) << "the counter should count";
  EXPECT_GT(state->entities_evicted(), 100u);
  EXPECT_EQ(allocations_of(plan, records, state.get(), values, refused), 0u);
  EXPECT_EQ(allocations_of(plan, clean_payments(5000, 2, 60), state.get(), values, refused), 0u);
}

TEST(Allocation, NoneForDenseRowsEver) {
  const Schema schema = numbers({"a", "b", "c"});
  const std::vector<float> rows(3 * 1000, 0.5f);
  Records records;
  records.count = 1000;
  records.dense = {rows.data(), nullptr, 3};
  std::vector<float> values(3 * 1000);
  std::vector<std::uint8_t> refused(1000);
  for (const Scale scale : {Scale::none, Scale::robust}) {
    const auto plan = FeaturePlan::fit(schema, identity_features(schema, scale), records);
    EXPECT_EQ(allocations_of(plan, records, nullptr, values, refused), 0u);
  }
}

}  // namespace
}  // namespace lanner::engine
