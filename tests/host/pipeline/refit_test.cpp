// A stream whose model is fitted again: on time or after a drift, gated, and put in its place between two
// batches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/pipeline/status.hpp"
#include "tests/host/pipeline/simulated_host.hpp"

namespace lanner::host {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t width = 4, a_batch = 100;

StreamConfig refitted(RefitConfig refit, engine::DecisionRule rule = engine::FalseAlarmRate{0.01}) {
  StreamConfig stream = stream_of("s", width);
  stream.learn->rows = 2000;
  stream.learn->fit.detector = "histogram";
  stream.learn->refit = refit;
  stream.decide = rule;
  return stream;
}

/// Learns from its first 2,000 events.
struct RefittingHost {
  explicit RefittingHost(const StreamConfig& stream) : host({{}, lossy(), false}, {stream}) {
    pass(2000, 1);
    const auto [name, learning] = host.to_learn.at(0);
    const auto model = learning->fit(*host.device);
    host.pipeline->replace_routes(with_learned(*host.pipeline->routes(), "s", *learning, model,
                                               learning->state_after(*model), *host.device));
    host.pipeline->move_on();
  }

  void pass(std::size_t count, unsigned seed, float shift = 0) {
    std::vector<float> rows = normal_rows(count, width, seed);
    for (float& value : rows) value += shift;
    for (std::size_t at = 0; at < rows.size(); at += a_batch * width)
      host.source.incoming.push_back(
          tensor("", "s",
                 {rows.begin() + static_cast<std::ptrdiff_t>(at),
                  rows.begin() + static_cast<std::ptrdiff_t>(at + a_batch * width)},
                 width));
    host.drain();
  }

  /// What the learner's thread does of it.
  engine::Gate refit() {
    const auto [refitting, now] = host.to_refit.at(0);
    host.to_refit.clear();
    const auto [model, gate] = refitting->fit(*host.device, now, {});
    if (gate.open()) {
      auto next = with_refitted(*host.pipeline->routes(), "s", *refitting, *now, model, *host.device);
      taken_over = next.has_value();
      if (next) host.pipeline->replace_routes(std::move(*next));
      host.pipeline->move_on();
    }
    refitting->done(gate.text());
    return gate;
  }

  std::shared_ptr<Route> route() const { return host.pipeline->routes()->at("s"); }
  std::string hash() const { return route()->lanes.at(0)->model().hash(); }
  Json status() const {
    return Json::parse(status_json({}, host.counters, *host.pipeline->routes()))["streams"]["s"]["refit"];
  }

  SimulatedHost host;
  bool taken_over = false;
};

TEST(Refit, HappensOnceThePeriodIsOverAndThereAreEnoughEvents) {
  RefittingHost run(refitted({.every_ns = 3600 * second_ns, .rows = 1000}));
  const std::string first = run.hash();
  run.pass(1500, 2);
  EXPECT_TRUE(run.host.to_refit.empty()) << "the hour isn't over";
  EXPECT_EQ(run.status()["state"], "collecting");
  run.host.clock.now += 3600 * second_ns;
  run.pass(300, 3);
  ASSERT_EQ(run.host.to_refit.size(), 1u) << "once, though more came";
  EXPECT_EQ(run.status()["state"], "fitting");
  const engine::Gate gate = run.refit();
  EXPECT_TRUE(gate.open()) << gate.text();
  EXPECT_NE(run.hash(), first);
  EXPECT_EQ(run.status()["state"], "collecting");
  EXPECT_THAT(run.status()["last"].get<std::string>(), HasSubstr("planted anomalies"));

  run.host.clock.now += 3600 * second_ns;
  run.pass(900, 4);
  EXPECT_TRUE(run.host.to_refit.empty()) << "an hour since, but too few events";
  run.host.clock.now += 3600 * second_ns;
  run.pass(100, 5);
  EXPECT_EQ(run.host.to_refit.size(), 1u);
}

TEST(Refit, LosesAndRepeatsNothing) {
  RefittingHost run(refitted({.every_ns = second_ns, .rows = 1000}));
  run.pass(1000, 2);
  run.host.clock.now += 2 * second_ns;
  run.pass(500, 4);
  ASSERT_EQ(run.host.to_refit.size(), 1u);
  run.refit();
  run.pass(500, 3);
  EXPECT_EQ(run.host.counters.events_scored, 2000u);
  std::size_t published = 0;
  std::vector<std::string> hashes;
  for (const Published& message : run.host.publisher.of("scores.s")) {
    published += message.values<float>(1).size();
    const std::string hash = message.header()["model_hash"];
    if (hashes.empty() || hashes.back() != hash) hashes.push_back(hash);
    EXPECT_EQ(message.header()["model"], "s");
  }
  EXPECT_EQ(published, 2000u);
  EXPECT_EQ(hashes.size(), 2u) << "one, then the other";
}

TEST(Refit, AfterADriftIsOnEventsSinceAndRestoresTheGuarantee) {
  RefittingHost run(refitted({.on_drift = OnDrift::fit, .rows = 1000}));
  const std::string first = run.hash();
  run.pass(3000, 2);
  EXPECT_TRUE(run.host.to_refit.empty());
  run.pass(3000, 3, 1);
  const auto& drift = run.route()->lanes[0]->drift;
  ASSERT_NE(drift->withdrawn_at(), 0u);
  ASSERT_EQ(run.host.to_refit.size(), 1u);
  const engine::Gate gate = run.refit();
  EXPECT_TRUE(gate.open()) << gate.text();
  EXPECT_GT(gate.flagged_now, gate.flagged_next);
  EXPECT_NE(run.hash(), first);
  run.pass(3000, 4, 1);
  EXPECT_EQ(run.route()->lanes[0]->drift->withdrawn_at(), 0u);
  EXPECT_TRUE(run.host.to_refit.empty());
}

TEST(Refit, OfTheCalibrationAloneKeepsTheDetector) {
  RefittingHost run(refitted({.on_drift = OnDrift::calibrate, .rows = 1000}));
  run.pass(3000, 2);
  // A scale that the detector has learned is off, and what it ranks highest is still what lies outside.
  run.pass(3000, 3, 0.5);
  ASSERT_EQ(run.host.to_refit.size(), 1u);
  const auto before = run.route()->lanes[0]->scorer;
  const engine::Gate gate = run.refit();
  ASSERT_TRUE(gate.open()) << gate.text();
  EXPECT_EQ(gate.ranked_next, gate.ranked_now);
  const auto& after = run.route()->lanes[0]->scorer;
  EXPECT_NE(after->model().hash(), before->model().hash());
  EXPECT_EQ(after->model().provenance().at("recalibrated"), "of " + before->model().hash());
  EXPECT_EQ(after->model().provenance().at("rows_fitted_on"), "1600");
  run.pass(2000, 4, 0.5);
  EXPECT_EQ(run.route()->lanes[0]->drift->withdrawn_at(), 0u);
}

TEST(Refit, ThatDoesWorseLeavesTheModelAtWork) {
  RefittingHost run(refitted({.every_ns = second_ns, .rows = 1000}));
  const std::string first = run.hash();
  // Four fifths of what is kept comes from a time that was wild, the rest is as it was: the new model sees
  // less.
  std::vector<float> wild = normal_rows(800, width, 2, 100);
  for (std::size_t at = 0; at < wild.size(); at += a_batch * width)
    run.host.source.incoming.push_back(
        tensor("", "s",
               {wild.begin() + static_cast<std::ptrdiff_t>(at),
                wild.begin() + static_cast<std::ptrdiff_t>(at + a_batch * width)},
               width));
  run.host.drain();
  run.host.clock.now += 2 * second_ns;
  run.pass(200, 3);
  ASSERT_EQ(run.host.to_refit.size(), 1u);
  EXPECT_FALSE(run.refit().open());
  EXPECT_EQ(run.hash(), first);
  EXPECT_EQ(run.status()["state"], "collecting");
}

TEST(Refit, KeepsWindowsAndTheBudgetOfDecisions) {
  StreamConfig stream =
      refitted({.every_ns = second_ns, .rows = 1000}, engine::FalseDiscoveryRate{0.05, 1000});
  RefittingHost run(stream);
  run.pass(1000, 2);
  run.host.clock.now += 2 * second_ns;
  run.pass(500, 4);
  const auto state = run.route()->lanes[0]->state;
  const auto decider = run.route()->lanes[0]->decider;
  const std::vector<double> before = decider->state();
  ASSERT_TRUE(run.refit().open());
  EXPECT_EQ(run.route()->lanes[0]->state, state);
  EXPECT_EQ(run.route()->lanes[0]->decider->state(), before);
  run.pass(100, 3);
  EXPECT_NE(run.route()->lanes[0]->decider->state(), before);
}

TEST(Refit, OfAModelThatIsNoLongerAtWorkIsDropped) {
  RefittingHost run(refitted({.every_ns = second_ns, .rows = 1000}));
  run.pass(1000, 2);
  run.host.clock.now += 2 * second_ns;
  run.pass(500, 4);
  ASSERT_EQ(run.host.to_refit.size(), 1u);
  run.host.use("s", {fitted(*run.host.device, width, "histogram", 9)});
  const std::string other = run.hash();
  run.refit();
  EXPECT_FALSE(run.taken_over);
  EXPECT_EQ(run.hash(), other);
}

}  // namespace
}  // namespace lanner::host
