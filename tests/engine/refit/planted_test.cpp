#include "engine/refit/planted.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/engine/refit/events.hpp"

namespace lanner::engine {
namespace {

using testing::made_events;
using testing::made_schema;

FeaturePlan plan_of(std::vector<FeatureSpec> specs) {
  return FeaturePlan::fit(made_schema(), std::move(specs), made_events(500, 1));
}

const std::vector<FeatureSpec> numbers{{.name = "x0", .field = "x0"}, {.name = "x2", .field = "x2"}};

TEST(Planted, AltersOneEventInTenInWhatFeaturesReadAndNothingElse) {
  std::vector<FeatureSpec> specs = numbers;
  specs.push_back({.name = "rare", .kind = FeatureKind::rarity, .field = "kind"});
  const Records events = made_events(1000, 2);
  const Planted planted = plant(plan_of(specs), events, 7);
  ASSERT_EQ(planted.records.count, 1000u);
  std::size_t altered = 0, in_one_field = 0;
  for (std::size_t row = 0; row < 1000; ++row) {
    const auto moved = [&](std::size_t f) { return planted.records.number(row, f) - events.number(row, f); };
    const bool text = planted.records.columns[3].texts[row] != events.columns[3].texts[row];
    const int fields = (moved(0) != 0) + (moved(2) != 0) + text;
    EXPECT_EQ(fields > 0, planted.altered[row] == 1);
    EXPECT_EQ(moved(1), 0) << "no feature reads it";
    EXPECT_EQ(planted.records.time[row], events.time[row]);
    EXPECT_EQ(planted.records.entity[row], events.entity[row]);
    for (const std::size_t f : {0u, 2u})
      EXPECT_TRUE(moved(f) == 0 || (std::fabs(moved(f)) > 2.5 && std::fabs(moved(f)) < 9)) << moved(f);
    const std::string_view now = planted.records.columns[3].texts[row];
    EXPECT_TRUE(!text || (now != "card" && now != "cash"));
    altered += static_cast<std::size_t>(planted.altered[row]);
    in_one_field += fields == 1;
  }
  EXPECT_EQ(altered, 100u);
  EXPECT_GE(in_one_field, 50u);
  EXPECT_LT(in_one_field, 90u);
}

TEST(Planted, IsTheSeedsAndTheSeedsAlone) {
  const FeaturePlan plan = plan_of(numbers);
  const Records events = made_events(400, 2);
  const Planted a = plant(plan, events, 7), b = plant(plan, events, 7), c = plant(plan, events, 8);
  EXPECT_EQ(a.altered, b.altered);
  EXPECT_EQ(a.records.columns[0].numbers, b.records.columns[0].numbers);
  EXPECT_NE(a.altered, c.altered);
}

TEST(Planted, GivesAMissingNumberAValueAndKeepsRefusals) {
  Records events = made_events(50, 2);
  for (std::size_t row = 1; row < 50; ++row)
    events.columns[0].numbers[row] = std::numeric_limits<double>::quiet_NaN();
  events.refused = {{3, "why"}};
  const Planted planted = plant(plan_of({numbers[0]}), events, 1);
  for (std::size_t row = 1; row < 50; ++row)
    EXPECT_EQ(std::isfinite(planted.records.number(row, 0)), planted.altered[row] == 1);
  ASSERT_EQ(planted.records.refused.size(), 1u);
  EXPECT_EQ(planted.records.refused[0].row, 3u);
}

TEST(Planted, AltersNothingWhereOnlyTheTimeIsRead) {
  const Planted planted =
      plant(plan_of({{.name = "at", .kind = FeatureKind::time_of_day, .field = ""}}), made_events(50, 2), 1);
  EXPECT_EQ(planted.altered, std::vector<int>(50));
}

}  // namespace
}  // namespace lanner::engine
