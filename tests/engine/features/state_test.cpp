// What changes as events pass: cuts, snapshots, limits, and rows that must leave no trace.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/features/features.hpp"
#include "tests/engine/features/events.hpp"

namespace lanner::engine {
namespace {

using testing::ElementsAre;

const FeatureLimits tight{.entities_max = 4, .events_max = 21, .events_total_max = 60};

Result transform_cut(const FeaturePlan& plan, const Records& records, std::mt19937& random, bool restart) {
  auto state = plan.make_state();
  Result result;
  for (std::size_t begin = 0; begin < records.count;) {
    const std::size_t end = std::min<std::size_t>(records.count, begin + random() % 400);
    transform_into(result, plan, records, begin, end, state.get());
    begin = end;
    if (restart) {
      const auto snapshot = state->snapshot();
      state = plan.make_state();
      state->restore(snapshot);
      EXPECT_EQ(state->snapshot(), snapshot);
    }
  }
  return result;
}

TEST(State, CutsAndRestartsChangeNoBit) {
  std::mt19937 random(11);
  for (const FeatureLimits& limits : {FeatureLimits{}, tight}) {
    const Records records = payments(4000, 5, 6);
    const auto plan = FeaturePlan::fit(payment_schema(), payment_features(), records, limits);
    const Result whole = transform_all(plan, records);
    EXPECT_GT(std::count(whole.refused.begin(), whole.refused.end(), 0), 3000);
    EXPECT_EQ(whole.reasons.empty(), false);
    for (int cuts = 0; cuts < 5; ++cuts) {
      EXPECT_EQ(transform_cut(plan, records, random, false), whole);
      EXPECT_EQ(transform_cut(plan, records, random, true), whole);
    }
  }
}

TEST(State, SingleRowsGiveTheSameBits) {
  const Records records = payments(600, 9);
  const auto plan = FeaturePlan::fit(payment_schema(), payment_features(), records, tight);
  auto state = plan.make_state();
  Result result;
  for (std::size_t i = 0; i < records.count; ++i)
    transform_into(result, plan, records, i, i + 1, state.get());
  EXPECT_EQ(result, transform_all(plan, records));
}

TEST(State, ALongRunDoesNotDrift) {
  // A million-fold swing passes through the window; what is left afterwards has the bits of a stream that
  // never saw it.
  const std::vector<FeatureSpec> specs{feature("m", FeatureKind::mean, "x", 50 * second),
                                       feature("s", FeatureKind::deviation, "x", 50 * second)};
  const Schema schema{{{"x", ColumnKind::number}}, "", "at", ""};
  Records with, without;
  with.columns.resize(1);
  without.columns.resize(1);
  for (int i = 0; i < 20'000; ++i) {
    const double x = 0.1 * (i % 7);
    with.columns[0].numbers.push_back(i < 16'000 ? 1e17 * x : x);
    without.columns[0].numbers.push_back(x);
    with.time.push_back(i * second);
    without.time.push_back(i * second);
  }
  with.count = without.count = 20'000;
  const auto plan = FeaturePlan::fit(schema, specs, without);
  const Result a = transform_all(plan, with), b = transform_all(plan, without);
  for (std::size_t i = 16'100; i < 20'000; ++i) {
    ASSERT_EQ(a.at(i, 0), b.at(i, 0));
    ASSERT_EQ(a.at(i, 1), b.at(i, 1));
  }
}

TEST(State, RefusedRowsLeaveNoTrace) {
  const Records records = payments(2000, 21);
  const auto plan = FeaturePlan::fit(payment_schema(), payment_features(), records, tight);
  const auto state = plan.make_state();
  const Result whole = transform_all(plan, records, state.get());

  Records clean;
  clean.columns.resize(3);
  std::vector<float> kept;
  for (std::size_t i = 0; i < records.count; ++i) {
    if (whole.refused[i]) continue;
    ++clean.count;
    clean.entity.push_back(records.entity[i]);
    clean.time.push_back(records.time[i]);
    for (const std::size_t c : {0u, 1u}) clean.columns[c].numbers.push_back(records.columns[c].numbers[i]);
    clean.columns[2].texts.push_back(records.columns[2].texts[i]);
    clean.columns[2].missing.push_back(records.columns[2].missing[i]);
    for (std::size_t c = 0; c < whole.width; ++c) kept.push_back(whole.at(i, c));
  }
  ASSERT_LT(clean.count, records.count - 100);
  const auto clean_state = plan.make_state();
  const Result again = transform_all(plan, clean, clean_state.get());
  EXPECT_TRUE(again.reasons.empty());
  EXPECT_EQ(again.values, kept);
  EXPECT_EQ(clean_state->snapshot(), state->snapshot());
}

Records visits(const std::vector<std::string>& entities, std::int64_t step = second) {
  Records records;
  records.count = entities.size();
  for (std::size_t i = 0; i < entities.size(); ++i) {
    records.entity.push_back(entities[i]);
    records.time.push_back(static_cast<std::int64_t>(i) * step);
  }
  return records;
}

FeaturePlan count_plan(FeatureLimits limits) {
  return FeaturePlan::fit({{}, "who", "at", ""}, {feature("n", FeatureKind::count, "", 1000 * second)},
                          visits({"a"}), limits);
}

TEST(Limits, TheEntityLongestUnseenMakesWay) {
  const auto plan = count_plan({.entities_max = 2});
  const auto state = plan.make_state();
  // c evicts b (a was seen since); b comes back as new and evicts a.
  const Result result = transform_all(plan, visits({"a", "b", "a", "c", "a", "c", "b", "a"}), state.get());
  EXPECT_THAT(result.values, ElementsAre(1, 1, 2, 1, 3, 2, 1, 1));
  EXPECT_EQ(state->entities_evicted(), 3u);
  EXPECT_EQ(state->events_evicted(), 0u);
}

TEST(Limits, TheOldestEventsLeaveEarly) {
  for (const std::size_t events_max : {1u, 2u, 15u, 16u, 17u, 40u}) {
    const auto plan = count_plan({.events_max = events_max});
    const auto state = plan.make_state();
    const Result result = transform_all(plan, visits(std::vector<std::string>(100, "a")), state.get());
    for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(result.at(i), std::min(i + 1, events_max));
    EXPECT_EQ(state->events_evicted(), 100 - events_max);
  }
}

TEST(Limits, EventsInAllAreBounded) {
  const auto plan = count_plan({.events_max = 10, .events_total_max = 12});
  const auto state = plan.make_state();
  std::vector<std::string> entities;
  for (int i = 0; i < 8; ++i) entities.push_back("a");
  for (int i = 0; i < 4; ++i) entities.push_back("b");
  entities.insert(entities.end(), {"b", "a", "b"});
  const Result result = transform_all(plan, visits(entities), state.get());
  EXPECT_EQ(result.at(11), 4);
  EXPECT_EQ(result.at(12), 5) << "a's eight make way for b's fifth";
  EXPECT_EQ(result.at(13), 1);
  EXPECT_EQ(result.at(14), 6);
  EXPECT_EQ(state->entities_evicted(), 1u);
}

TEST(Limits, ManyEntitiesComeAndGo) {
  const auto plan = count_plan({.entities_max = 100});
  const auto state = plan.make_state();
  std::mt19937 random(3);
  std::vector<std::string> entities;
  for (int i = 0; i < 20'000; ++i) entities.push_back("entity number " + std::to_string(random() % 300));
  const Records records = visits(entities, 1);
  const Result result = transform_all(plan, records, state.get());
  // The definition, by a list.
  std::vector<std::pair<std::string, int>> recent;
  std::uint64_t evicted = 0;
  for (std::size_t i = 0; i < entities.size(); ++i) {
    auto at =
        std::find_if(recent.begin(), recent.end(), [&](const auto& r) { return r.first == entities[i]; });
    std::pair<std::string, int> entry{entities[i], 0};
    if (at != recent.end()) {
      entry = *at;
      recent.erase(at);
    } else if (recent.size() == 100) {
      recent.erase(recent.begin());
      ++evicted;
    }
    ++entry.second;
    ASSERT_EQ(result.at(i), entry.second) << i;
    recent.push_back(entry);
  }
  EXPECT_EQ(state->entities_evicted(), evicted);
}

TEST(Limits, EntitiesWithNoNameOrTooLongAOneAreRefused) {
  const auto plan = count_plan({});
  const Result result = transform_all(plan, visits({"a", "", std::string(1025, 'x'), "a"}));
  EXPECT_THAT(result.refused, ElementsAre(0, 1, 1, 0));
  ASSERT_EQ(result.reasons.size(), 2u);
  EXPECT_EQ(result.reasons[0].reason, "n: missing entity");
  EXPECT_EQ(result.reasons[1].reason, "n: entity longer than 1024 bytes");
  EXPECT_EQ(result.at(3), 2);

  Records untimed = visits({"a"});
  untimed.time.clear();
  EXPECT_EQ(transform_all(plan, untimed).reasons.at(0).reason, "n: missing time");
}

TEST(Limits, WithNoEntityTheWholeStreamIsOne) {
  Records records = visits({"a", "a", "a"});
  records.entity.clear();
  const auto plan =
      FeaturePlan::fit({{}, "", "at", ""}, {feature("n", FeatureKind::count, "", 1000 * second)}, records);
  EXPECT_THAT(transform_all(plan, records).values, ElementsAre(1, 2, 3));
}

TEST(Windows, TimesAtTheEndsOfTheirRangeAreFine) {
  Records records = visits({"a", "a", "a", "a"});
  const auto lowest = std::numeric_limits<std::int64_t>::min(),
             highest = std::numeric_limits<std::int64_t>::max();
  records.time = {lowest, lowest + 1, highest, highest};
  const auto plan =
      FeaturePlan::fit({{}, "who", "at", ""}, {feature("n", FeatureKind::count, "", highest)}, records);
  const Result result = transform_all(plan, records);
  EXPECT_THAT(result.refused, ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(result.at(3), 2);
}

TEST(Snapshot, OfOtherWindowsIsRefusedAndOfARefittedPlanTaken) {
  const Records records = payments(500, 2);
  const auto plan = FeaturePlan::fit(payment_schema(), payment_features(), records, tight);
  const auto state = plan.make_state();
  transform_all(plan, records, state.get());
  const auto snapshot = state->snapshot();
  EXPECT_THROW(count_plan(tight).make_state()->restore(snapshot), std::invalid_argument);
  EXPECT_THROW(FeaturePlan::fit(payment_schema(), payment_features(), records)  // other limits
                   .make_state()
                   ->restore(snapshot),
               std::invalid_argument);
  const auto refitted =
      FeaturePlan::fit(payment_schema(), payment_features(), payments(500, 77), tight).make_state();
  refitted->restore(snapshot);
  EXPECT_EQ(refitted->snapshot(), snapshot);
  EXPECT_EQ(refitted->entities_evicted(), state->entities_evicted());
  EXPECT_EQ(refitted->events_evicted(), state->events_evicted());
}

TEST(Snapshot, DamageIsRefusedAndLeavesTheStateAsItWas) {
  const Records records = payments(300, 2);
  const auto plan = FeaturePlan::fit(payment_schema(), payment_features(), records, tight);
  const auto state = plan.make_state();
  transform_all(plan, records, state.get());
  const auto good = state->snapshot();
  for (std::size_t size = 0; size < good.size(); size += 1 + size / 7)
    EXPECT_THROW(state->restore(std::span(good).first(size)), std::invalid_argument) << size;
  for (std::size_t at = 0; at < good.size(); at += 5) {
    auto bad = good;
    bad[at] ^= std::byte{0x10};
    EXPECT_THROW(state->restore(bad), std::invalid_argument) << at;
  }
  EXPECT_EQ(state->snapshot(), good);
}

// A writer that knows the checksum can still only make states that there could be.
TEST(Snapshot, ForgedContentNeverCrashes) {
  const Records records = payments(60, 2);
  const auto plan = FeaturePlan::fit(payment_schema(), payment_features(), records, tight);
  const auto state = plan.make_state();
  transform_all(plan, records, state.get());
  const auto good = state->snapshot();
  std::mt19937 random(8);
  int taken = 0, refused = 0;
  for (int attempt = 0; attempt < 4000; ++attempt) {
    auto bad = good;
    for (unsigned n = 1 + random() % 3; n-- > 0;)
      bad[8 + random() % (bad.size() - 16)] = static_cast<std::byte>(random());
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (std::size_t i = 0; i + 8 < bad.size(); ++i)
      hash = (hash ^ static_cast<std::uint8_t>(bad[i])) * 0x100000001b3u;
    std::memcpy(bad.data() + bad.size() - 8, &hash, 8);
    const auto fresh = plan.make_state();
    try {
      fresh->restore(bad);
      transform_all(plan, records, fresh.get());
      EXPECT_EQ(plan.make_state()->entities_evicted(), 0u);
      ++taken;
    } catch (const std::invalid_argument&) {
      ++refused;
    }
  }
  EXPECT_GT(taken, 100);
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace lanner::engine
