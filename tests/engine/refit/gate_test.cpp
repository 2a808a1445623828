#include "engine/refit/gate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/refit/events.hpp"

namespace lanner::engine {
namespace {

using ::testing::HasSubstr;
using testing::made_events;
using testing::made_model;
using testing::made_options;

struct GateTest : ::testing::Test {
  std::shared_ptr<Device> device = Device::cpu();
  Records before = made_events(1500, 2), held_out = made_events(500, 3);
  std::shared_ptr<const Model> good = made_model(*device, made_events(2000, 1));

  Gate against(const std::shared_ptr<const Model>& next) {
    return compare(*device, good, next, before, held_out, 1);
  }
};

TEST_F(GateTest, IsOpenToTheSameModelAndToOneAsGood) {
  const Gate same = against(good);
  EXPECT_TRUE(same.open()) << same.text();
  EXPECT_EQ(same.flagged_now, same.flagged_next);
  EXPECT_EQ(same.ranked_now, same.ranked_next);
  EXPECT_EQ(same.events, 500u);
  EXPECT_EQ(same.planted, 50u);
  EXPECT_GT(same.ranked_now, 0.9);
  EXPECT_LE(same.flagged_now, same.flagged_allowed);
  for (unsigned seed = 10; seed < 20; ++seed) {
    const Gate gate = against(made_model(*device, made_events(2000, seed)));
    EXPECT_TRUE(gate.open()) << seed << ": " << gate.text();
  }
}

TEST_F(GateTest, IsShutToOneThatFlagsTooMuch) {
  const Gate gate = against(made_model(*device, made_events(2000, 4, 0, 0.5)));
  EXPECT_FALSE(gate.flags_no_worse());
  EXPECT_FALSE(gate.open());
  EXPECT_THAT(gate.text(), HasSubstr("too many flags"));
}

TEST_F(GateTest, IsShutToOneThatSeesLess) {
  // Learned while the fields had nothing to do with each other, and were wide.
  Records wide = made_events(2000, 4, 0, 30);
  wide.columns[1] = made_events(2000, 5, 0, 1).columns[1];
  const Gate gate = against(made_model(*device, wide));
  EXPECT_TRUE(gate.flags_no_worse());
  EXPECT_FALSE(gate.ranks_no_worse()) << gate.text();
  EXPECT_FALSE(gate.open());
  EXPECT_THAT(gate.text(), HasSubstr("ranked lower"));
}

TEST_F(GateTest, ForgivesFlagsWhereTheModelAtWorkFlagsMore) {
  // The stream has become twice as wide; the next has learned half of that.
  held_out = made_events(500, 3, 0, 2);
  const Gate gate = against(made_model(*device, made_events(2000, 4, 0, 1.5)));
  EXPECT_GT(gate.flagged_next, gate.flagged_allowed);
  EXPECT_LT(gate.flagged_next, gate.flagged_now);
  EXPECT_TRUE(gate.open()) << gate.text();
}

TEST_F(GateTest, CountsWithWindowsThatLookBackOnWhatCameBefore) {
  FitOptions options = made_options();
  options.features = {{.name = "n", .kind = FeatureKind::count, .field = "", .window_ns = 600'000'000'000},
                      {.name = "x0", .field = "x0"}};
  const auto model = made_model(*device, made_events(2000, 1), options);
  for (std::int64_t& time : held_out.time) time += 1500'000'000'000;
  const Gate carried = compare(*device, model, model, before, held_out, 1);
  EXPECT_LE(carried.flagged_now, carried.flagged_allowed) << carried.text();
  const Gate alone = compare(*device, model, model, made_events(10, 2), held_out, 1);
  EXPECT_NE(alone.flagged_now, carried.flagged_now) << "the first ten minutes count fewer events than ever";
}

TEST_F(GateTest, LeavesOutWhatEitherRefuses) {
  held_out.columns[0].numbers[4] = std::numeric_limits<double>::infinity();
  held_out.refused = {{9, "decoding"}};
  const Gate gate = against(good);
  EXPECT_EQ(gate.events, 498u);
  EXPECT_TRUE(gate.open());
}

}  // namespace
}  // namespace lanner::engine
