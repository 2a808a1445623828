// What survives a clean stop, what begins anew, and why.
#include "host/pipeline/state.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/host/pipeline/simulated_host.hpp"
#include "tests/host/results/directory.hpp"

namespace lanner::host {
namespace {

using testing::HasSubstr;

constexpr std::int64_t second_ns = 1'000'000'000;

struct Event {
  float amount;
  std::string entity;
  std::int64_t time;
};

std::vector<Event> events_of(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(20, 5);
  std::vector<Event> events;
  std::int64_t time = 1'789'999'999'000'000'000;
  for (std::size_t i = 0; i < count; ++i) {
    time += static_cast<std::int64_t>(random() % static_cast<unsigned>(second_ns)) * 30;
    events.push_back(
        {normal(random) * (i % 50 == 7 ? 4.0f : 1.0f), "c" + std::to_string(random() % 7), time});
  }
  return events;
}

std::shared_ptr<const engine::Model> windowed(Device& device, unsigned seed = 1) {
  engine::Records records;
  records.columns.resize(1);
  for (const Event& event : events_of(800, seed)) {
    records.columns[0].numbers.push_back(event.amount);
    records.entity.push_back(event.entity);
    records.time.push_back(event.time);
    ++records.count;
  }
  const auto feature = [](std::string name, engine::FeatureKind kind, std::string field) {
    engine::FeatureSpec spec;
    spec.name = std::move(name);
    spec.kind = kind;
    spec.field = std::move(field);
    if (kind != engine::FeatureKind::identity) spec.window_ns = 600 * second_ns;
    return spec;
  };
  engine::FitOptions options;
  options.detector = "histogram";
  options.features = {feature("x0", engine::FeatureKind::identity, "x0"),
                      feature("often", engine::FeatureKind::count, ""),
                      feature("unusual", engine::FeatureKind::change, "x0")};
  options.name = "m";
  return engine::Model::fit(device, numbers(1), records, options);
}

StreamConfig daily(double alarms) {
  StreamConfig stream = stream_of("s", 1);
  stream.decide = engine::FalseAlarmsPerDay{alarms};
  stream.learn->save = "somewhere";  // its model is in a file
  return stream;
}

struct WindowedHost {
  explicit WindowedHost(double alarms = 20, unsigned seed = 1) : host({{}, lossy(), false}, {daily(alarms)}) {
    host.use("s", {windowed(*host.device, seed)});
  }

  void pass(const std::vector<Event>& events, std::size_t begin, std::size_t end) {
    for (std::size_t at = begin; at < end;) {
      const std::size_t n = std::min<std::size_t>(end - at, 13);
      std::vector<float> amounts;
      std::vector<std::int64_t> times;
      std::string entities;
      for (std::size_t i = at; i < at + n; ++i) {
        amounts.push_back(events[i].amount);
        times.push_back(events[i].time);
        entities += events[i].entity + "\n";
      }
      Wire wire = tensor("", "s", amounts, 1);
      Json header = Json::parse(wire.frames[0]);
      header["sidecars"] = {"time", "entity"};
      wire.frames[0] = header.dump();
      wire.frames.emplace_back(reinterpret_cast<const char*>(times.data()), times.size() * 8);
      wire.frames.push_back(entities);
      host.source.incoming.push_back(std::move(wire));
      at += n;
    }
    host.drain();
  }

  /// Scores, p-values, thresholds and flags: their bytes.
  std::vector<std::string> published() const {
    std::vector<std::string> all(4);
    for (const Published& message : host.publisher.of("scores.s"))
      for (std::size_t i = 0; i < 4; ++i) all[i] += message.frames.at(i + 1);
    return all;
  }

  const Routes& routes() { return *(kept = host.pipeline->routes()); }
  const Lane& lane() { return *routes().at("s")->lanes.at(0); }

  SimulatedHost host;
  std::shared_ptr<const Routes> kept;
};

const std::vector<Event>& events() {
  static const std::vector<Event> all = events_of(600, 7);
  return all;
}

std::string state_after_half(double alarms = 20, unsigned seed = 1) {
  WindowedHost run(alarms, seed);
  run.pass(events(), 0, 300);
  return state_of(run.routes());
}

struct LaneState {
  std::vector<std::byte> windows;
  std::vector<double> decisions;
  explicit LaneState(const Lane& lane) : windows(lane.state->snapshot()), decisions(lane.decider->state()) {}
  bool operator==(const LaneState&) const = default;
};

TEST(State, ARestartChangesNoBit) {
  WindowedHost whole, first, second, without;
  whole.pass(events(), 0, 300);
  first.pass(events(), 0, 300);
  const std::string bytes = state_of(first.routes());
  const auto restored = restore_state(bytes, second.routes());
  ASSERT_EQ(restored.size(), 1u);
  EXPECT_EQ(restored[0].text, "stream s: m0: windows and decisions go on from the last clean stop");
  EXPECT_TRUE(restored[0].whole);
  EXPECT_EQ(LaneState(second.lane()), LaneState(first.lane()));
  for (WindowedHost* run : {&whole, &second, &without}) {
    run->host.publisher.messages.clear();
    run->pass(events(), 300, 600);
  }
  EXPECT_EQ(second.published(), whole.published());
  EXPECT_NE(without.published()[0], whole.published()[0]) << "it would have made a difference";
  EXPECT_NE(without.published()[2], whole.published()[2]) << "it would have made a difference";
  EXPECT_EQ(state_of(second.routes()), state_of(whole.routes()));
}

TEST(State, DamageAnywhereIsFoundAndHarmsNothing) {
  const std::string good = state_after_half();
  WindowedHost run;
  const LaneState fresh(run.lane());
  const auto expect_refused = [&](std::string_view bytes) {
    const auto restored = restore_state(bytes, run.routes());
    ASSERT_EQ(restored.size(), 1u);
    ASSERT_FALSE(restored[0].whole);
    ASSERT_THAT(restored[0].text,
                HasSubstr("windows and decisions start anew: the last run's state can't be"));
    ASSERT_EQ(LaneState(run.lane()), fresh);
  };
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const unsigned mask : {1u, 0x80u, 0xFFu}) {
      std::string bad = good;
      bad[at] = static_cast<char>(static_cast<unsigned char>(bad[at]) ^ mask);
      ASSERT_NO_FATAL_FAILURE(expect_refused(bad)) << at;
    }
    ASSERT_NO_FATAL_FAILURE(expect_refused(std::string_view(good).substr(0, at))) << at;
  }
  expect_refused(good + '\0');
  expect_refused("a file of somebody else's");
  EXPECT_TRUE(restore_state(good, run.routes())[0].whole);
}

TEST(State, AnotherModelBeginsAnew) {
  const std::string bytes = state_after_half(20, 2);
  WindowedHost run;
  const LaneState fresh(run.lane());
  const auto restored = restore_state(bytes, run.routes());
  ASSERT_EQ(restored.size(), 1u);
  EXPECT_THAT(restored[0].text, HasSubstr("the last run's model of this name was another"));
  EXPECT_FALSE(restored[0].whole);
  EXPECT_EQ(LaneState(run.lane()), fresh);
}

TEST(State, AnotherRuleKeepsTheWindows) {
  WindowedHost before(20), run(30);
  before.pass(events(), 0, 300);
  const LaneState fresh(run.lane()), old(before.lane());
  const auto restored = restore_state(state_of(before.routes()), run.routes());
  ASSERT_EQ(restored.size(), 1u);
  EXPECT_EQ(restored[0].text,
            "stream s: m0: decisions start anew: the last run's rule was false_alarms_per_day: 20");
  EXPECT_FALSE(restored[0].whole);
  EXPECT_EQ(LaneState(run.lane()).windows, old.windows);
  EXPECT_EQ(LaneState(run.lane()).decisions, fresh.decisions);
}

TEST(State, AModelOfAnotherNameOrInMemoryAlone) {
  WindowedHost before;
  before.pass(events(), 0, 300);
  WindowedHost run;
  Routes renamed = run.routes();
  auto route = std::make_shared<Route>(*renamed.at("s"));
  route->lanes = {std::make_shared<Lane>(*route->lanes[0])};
  route->lanes[0]->name = "new";
  renamed["s"] = route;
  const auto restored = restore_state(state_of(before.routes()), renamed);
  ASSERT_EQ(restored.size(), 1u);
  EXPECT_THAT(restored[0].text, HasSubstr("the last run had no such model"));

  route->config.learn->save.clear();
  EXPECT_EQ(state_of(renamed), "") << "it is learned again";
  EXPECT_EQ(state_of({}), "");
  EXPECT_TRUE(begin_anew("why", {}).empty());
  EXPECT_EQ(begin_anew("why", run.routes()).at(0).text,
            "stream s: m0: windows and decisions start anew: why");
}

TEST(StateFile, IsTakenOnce) {
  const Directory directory;
  const StateFile file(directory.path());
  EXPECT_EQ(file.take(), std::nullopt);
  file.keep("");
  EXPECT_TRUE(directory.names().empty());
  const std::string bytes("some\0bytes", 10);
  file.keep(bytes);
  EXPECT_EQ(directory.names(), std::vector<std::string>{"state"});
  EXPECT_EQ(file.take(), bytes);
  EXPECT_EQ(file.take(), std::nullopt);
  EXPECT_TRUE(directory.names().empty());
}

TEST(StateFile, WhatCannotBeReadIsRemovedAndWhatCannotBeRemovedIsNotTaken) {
  const Directory directory;
  const StateFile file(directory.path());
  std::filesystem::create_directory(directory.path() / "state");
  EXPECT_EQ(file.take(), "");
  EXPECT_EQ(file.take(), std::nullopt);
  std::filesystem::create_directories(directory.path() / "state" / "inside");
  EXPECT_THROW(file.take(), std::system_error);
}

TEST(StateFile, IsNotWrittenIntoAnothersDirectory) {
  const Directory directory;
  {
    const auto results = open_results(directory.options());
    EXPECT_THROW(StateFile(directory.path()).keep("bytes"), std::runtime_error);
  }
  StateFile(directory.path()).keep("bytes");
  const auto results = open_results(directory.options());
  EXPECT_EQ(StateFile(directory.path()).take(), "bytes") << "results leave it alone";
}

}  // namespace
}  // namespace lanner::host
