// A stream whose model is fitted again: on time or after a drift, gated, and put in its place between two
// batches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/model_file/tensors.hpp"
#include "engine/series/series_model.hpp"
#include "host/pipeline/status.hpp"
#include "tests/host/pipeline/simulated_host.hpp"
#include "tests/host/results/directory.hpp"

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

/// The same of a model's file, beside a shadow; a start and a reload look for what is kept.
struct FileHost {
  explicit FileHost(RefitConfig refit, bool saves, const std::string& detector = "histogram") {
    const auto device = Device::cpu();
    given = fitted(*device, width, detector, 1);
    given->save(file());
    fitted(*device, width, "mahalanobis")->save(folder.path() / "shadow.lanner");
    stream = stream_of("s", width);
    stream.learn.reset();
    stream.models.push_back({folder.path() / "shadow.lanner", "shadow", Role::shadow, std::nullopt});
    stream.models.push_back({file(), "m", Role::active, std::nullopt, refit, saves ? save() : ""});
    start();
  }
  std::filesystem::path file() const { return folder.path() / "m.lanner"; }
  std::filesystem::path save() const { return folder.path() / "m.refit.lanner"; }

  void start() {
    host = std::make_unique<SimulatedHost>(SimulatedHost::Options{{}, lossy(), false}, std::vector{stream});
  }
  std::vector<ConfigError> reload() {
    Config next;
    next.streams = {stream};
    std::vector<ConfigError> faults;
    Routes routes = build_routes(next, *host->device, host->streams, *host->pipeline->routes(), faults);
    if (!faults.empty()) return faults;
    host->pipeline->replace_routes(std::move(routes));
    host->pipeline->move_on();
    return {};
  }
  void pass(std::size_t count, unsigned seed, float shift = 0) {
    std::vector<float> rows = normal_rows(count, width, seed);
    for (float& value : rows) value += shift;
    host->source.incoming.push_back(tensor("", "s", rows, width));
    host->drain();
  }
  /// A refit takes over, and is saved as the process does it.
  void refit(unsigned seed) {
    pass(1000, seed);
    host->clock.now += 2 * second_ns;
    pass(500, seed + 1);
    ASSERT_EQ(host->to_refit.size(), 1u);
    const auto [refitting, now] = host->to_refit.at(0);
    host->to_refit.clear();
    EXPECT_EQ(now->hash(), hash());
    const auto [model, gate] = refitting->fit(*host->device, now, {});
    ASSERT_TRUE(gate.open()) << gate.text();
    auto next = with_refitted(*host->pipeline->routes(), "s", *refitting, *now, model, *host->device);
    ASSERT_TRUE(next);
    if (!refitting->save().empty()) model->save(refitting->save());
    host->pipeline->replace_routes(std::move(*next));
    host->pipeline->move_on();
    refitting->done(gate.text());
    EXPECT_EQ(hash(), model->hash());
  }
  const engine::Model& model() const { return host->pipeline->routes()->at("s")->lanes.at(1)->model(); }
  std::string hash() const { return model().hash(); }

  Directory folder;
  StreamConfig stream;
  std::shared_ptr<const engine::Model> given;
  std::unique_ptr<SimulatedHost> host;
};

TEST(RefitOfAFile, FitsAsItWasFittedAndLeavesTheOthersAlone) {
  FileHost run({.every_ns = second_ns, .rows = 1000}, true);
  const std::string shadow = run.host->pipeline->routes()->at("s")->lanes.at(0)->model().hash();
  run.refit(2);
  EXPECT_NE(run.hash(), run.given->hash());
  EXPECT_EQ(run.model().settings().values(), run.given->settings().values());
  EXPECT_EQ(run.model().detector().name, "histogram");
  EXPECT_EQ(run.model().name(), run.given->name());
  EXPECT_EQ(run.model().provenance().at("seed"), run.given->provenance().at("seed"));
  EXPECT_EQ(run.model().provenance().at("refit_of"), run.given->hash());
  EXPECT_EQ(run.host->pipeline->routes()->at("s")->lanes.at(0)->model().hash(), shadow);
  EXPECT_EQ(engine::Model::load(run.file())->hash(), run.given->hash()) << "what was given stays";
}

TEST(RefitOfAFile, IsTakenAtAStartAndAReloadUntilAnotherFileIsGiven) {
  FileHost run({.every_ns = second_ns, .rows = 1000}, true);
  run.refit(2);
  run.refit(4);
  const std::string refitted = run.hash();
  EXPECT_EQ(run.model().provenance().at("refit_of"), run.given->hash()) << "of a refit too";
  run.start();
  EXPECT_EQ(run.hash(), refitted);
  EXPECT_TRUE(run.reload().empty());
  EXPECT_EQ(run.hash(), refitted);
  const auto newer = fitted(*run.host->device, width, "histogram", 7);
  newer->save(run.file());
  EXPECT_TRUE(run.reload().empty());
  EXPECT_EQ(run.hash(), newer->hash()) << "a file that was given since goes before";
  run.start();
  EXPECT_EQ(run.hash(), newer->hash());
  run.refit(6);
  EXPECT_EQ(run.model().provenance().at("refit_of"), newer->hash());
  run.stream.models[1].refit.reset();
  EXPECT_TRUE(run.reload().empty());
  EXPECT_EQ(run.hash(), newer->hash()) << "without refit it is the file";
}

TEST(RefitOfAFile, InMemoryOutlivesAReloadAndNoStart) {
  FileHost run({.every_ns = second_ns, .rows = 1000}, false);
  run.refit(2);
  const std::string refitted = run.hash();
  run.pass(300, 9);
  const auto refitting = run.host->pipeline->routes()->at("s")->refitting;
  EXPECT_TRUE(run.reload().empty());
  EXPECT_EQ(run.hash(), refitted);
  EXPECT_EQ(run.host->pipeline->routes()->at("s")->refitting, refitting) << "with what is recent";
  run.stream.models[1].refit->rows = 500;
  EXPECT_TRUE(run.reload().empty());
  EXPECT_EQ(run.hash(), refitted);
  EXPECT_NE(run.host->pipeline->routes()->at("s")->refitting, refitting);
  run.start();
  EXPECT_EQ(run.hash(), run.given->hash());
}

TEST(RefitOfAFile, AfterADriftOfItsOwnData) {
  FileHost run({.on_drift = OnDrift::calibrate, .rows = 1000}, false);
  run.pass(3000, 2);
  EXPECT_TRUE(run.host->to_refit.empty());
  run.pass(3000, 3, 0.5);
  run.pass(1500, 4, 0.5);
  ASSERT_EQ(run.host->to_refit.size(), 1u);
  const auto [refitting, now] = run.host->to_refit.at(0);
  EXPECT_EQ(now->hash(), run.given->hash());
  const auto model = refitting->fit(*run.host->device, now, {}).model;
  EXPECT_EQ(model->provenance().at("recalibrated"), "of " + run.given->hash());
  EXPECT_EQ(model->provenance().at("refit_of"), run.given->hash());
}

TEST(RefitOfAFile, WhatCannotBeFittedAgainIsAFault) {
  FileHost run({.on_drift = OnDrift::fit, .rows = 1000}, false);
  const auto fault_of = [&] {
    const auto faults = run.reload();
    return faults.size() == 1 ? faults[0].key + ": " + faults[0].found + " | " + faults[0].allowed
                              : std::to_string(faults.size());
  };
  const auto device = Device::cpu();
  const std::vector<float> rows = normal_rows(400, width, 1);
  engine::Records records;
  records.count = 400;
  records.dense = {rows.data(), nullptr, width};
  engine::FitOptions options;
  options.detector = "mahalanobis";
  options.settings = {{"calibration", "none"}};
  const auto bare = engine::Model::fit(*device, numbers(width), records, options);
  bare->save(run.file());
  EXPECT_THAT(fault_of(), HasSubstr("streams.s.models[1].refit: "));
  EXPECT_THAT(fault_of(), HasSubstr("whose data can't be watched for drift"));
  engine::Model::calibrate(
      *device, numbers(width), records,
      {.detector = "mahalanobis",
       .fitted = bare->detector().load(engine::TensorReader(bare->bytes()), bare->settings()),
       .from = "elsewhere 1.0"},
      {})
      ->save(run.file());
  EXPECT_THAT(fault_of(), HasSubstr("m.lanner, a model that was imported: elsewhere 1.0 | "));
  std::vector<double> metrics(rows.begin(), rows.end());
  records.dense = {nullptr, metrics.data(), width};
  engine::SeriesModel::fit(*device, numbers(width), records, {{{"windows", "5"}}, "m"})->save(run.file());
  EXPECT_THAT(fault_of(), HasSubstr("m.lanner, a model of series | a model of rows"));
}

}  // namespace
}  // namespace lanner::host
