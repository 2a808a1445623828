// Machines' metrics on their way through the host, scored by a model of series: what is published of each row
// is what the scorer says, however batches are cut; what survives, and what makes way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/series/series_model.hpp"
#include "engine/series/series_scorer.hpp"
#include "host/pipeline/state.hpp"
#include "host/pipeline/status.hpp"
#include "kernels/device/emulated.hpp"
#include "tests/engine/series/made_series.hpp"
#include "tests/host/pipeline/simulated_host.hpp"
#include "tests/host/results/directory.hpp"

namespace lanner::host {
namespace {

using testing::HasSubstr;

constexpr std::size_t metrics = 3, count = 600;
constexpr double rate = 0.05;
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

std::shared_ptr<const engine::SeriesModel> model(const std::string& neighbours = "5") {
  const auto device = Device::cpu();
  engine::Records records;
  const std::vector<double> values = engine::machine(900, 3);
  records.count = 900;
  records.dense = {nullptr, values.data(), metrics};
  for (std::size_t i = 0; i < 900; ++i) records.entity.push_back("trained");
  return engine::SeriesModel::fit(
      *device, {{{"cpu"}, {"memory"}, {"disk"}}, "host", "", ""}, records,
      {{{"windows", "5,30"}, {"neighbours", neighbours}, {"calibration", "0.5"}}, "machines"});
}

/// Three hosts, taking turns by no rule; now and then a metric is missing.
struct Events {
  std::vector<double> values = engine::machine(count, 4);
  std::vector<std::string> names;
  Events() {
    std::mt19937 random(5);
    for (std::size_t i = 0; i < count; ++i)
      names.push_back(random() % 4 == 0 ? "a" : random() % 3 == 0 ? "b" : "c");
    for (std::size_t i = 7; i < count; i += 31) values[i * metrics + i % metrics] = nan;
  }
};

const Events& events() {
  static const Events all;
  return all;
}

Wire wire(std::size_t begin, std::size_t end) {
  Json header = {{"v", 1}, {"stream", "s"}, {"format", "tensor"}, {"dtype", "float64"}};
  header["shape"] = {end - begin, metrics};
  header["sidecars"] = {"entity"};
  const auto* first = reinterpret_cast<const char*>(&events().values[begin * metrics]);
  std::string entities;
  for (std::size_t i = begin; i < end; ++i) entities += events().names[i] + "\n";
  return {"", {header.dump(), std::string(first, (end - begin) * metrics * sizeof(double)), entities}};
}

struct Result {
  float score;
  double p_value, threshold;
  std::uint8_t flag;
  bool operator==(const Result&) const = default;
};

class Machines : public testing::Test {
 protected:
  StreamConfig stream(const std::shared_ptr<const engine::SeriesModel>& one = model()) {
    model_ = one;
    const std::filesystem::path file = folder_.path() / "machines.lanner";
    one->save(file);
    StreamConfig config;
    config.name = "s";
    config.models.push_back({file, "machines", Role::active, std::nullopt});
    config.decide = engine::FalseAlarmRate{rate};
    return config;
  }

  struct Run {
    explicit Run(const StreamConfig& config, const std::vector<std::shared_ptr<Device>>& gpus = {})
        : host({device(), lossy(), false, gpus}, {config}) {}
    static DeviceConfig device() {
      DeviceConfig config;
      config.batch_max = 64;
      return config;
    }
    void pass(std::size_t begin, std::size_t end, std::size_t batch) {
      for (std::size_t at = begin; at < end; at += batch) {
        host.source.incoming.push_back(wire(at, std::min(end, at + batch)));
        host.step(0);  // batches may wait together for a slot
      }
      host.drain();
    }
    std::vector<Result> published(const std::string& name = "machines") const {
      std::vector<Result> all;
      for (const Published& message : host.publisher.of("scores.s")) {
        if (message.header()["model"] != name) continue;
        const auto scores = message.values<float>(1);
        const auto p_values = message.values<double>(2), thresholds = message.values<double>(3);
        const auto flags = message.values<std::uint8_t>(4);
        for (std::size_t i = 0; i < scores.size(); ++i)
          all.push_back({scores[i], p_values[i], thresholds[i], flags[i]});
      }
      return all;
    }
    void reload(const StreamConfig& config) {
      Config next;
      next.streams = {config};
      std::vector<ConfigError> faults;
      host.pipeline->replace_routes(
          build_routes(next, *host.device, host.streams, *host.pipeline->routes(), faults, host.gpus));
      EXPECT_TRUE(faults.empty());
      host.pipeline->move_on();
    }
    const Routes& routes() { return *(kept = host.pipeline->routes()); }
    Json status() { return Json::parse(status_json({}, host.counters, routes()))["streams"]["s"]; }

    SimulatedHost host;
    std::shared_ptr<const Routes> kept;
  };

  /// What the scorer says of all rows at once, and the decisions that follow.
  std::vector<Result> expected() const {
    const auto device = Device::cpu();
    engine::SeriesScorer scorer(*device, model_);
    std::vector<engine::EntityRow> rows;
    for (std::size_t i = 0; i < count; ++i)
      rows.push_back({events().names[i], &events().values[i * metrics]});
    std::vector<float> scores(count);
    std::vector<double> p_values(count);
    std::vector<std::uint8_t> marks(count);
    scorer.push_rows(rows, 100, scores, p_values, marks);
    std::vector<Result> all;
    for (std::size_t i = 0; i < count; ++i) {
      const bool flagged = p_values[i] <= rate;
      all.push_back({scores[i], p_values[i], rate, static_cast<std::uint8_t>((marks[i] ? 8 : 0) + flagged)});
    }
    return all;
  }

  Directory folder_;
  std::shared_ptr<const engine::SeriesModel> model_;
};

TEST_F(Machines, EachRowHasWhatTheScorerSays) {
  const StreamConfig config = stream();
  const std::vector<Result> wanted = expected();
  std::size_t flagged = 0, warm = 0;
  for (const Result& row : wanted) {
    flagged += row.flag & 1;
    warm += row.flag >> 3;
    EXPECT_LE(row.flag & 1, row.flag >> 3) << "nothing is flagged before it is warm";
  }
  EXPECT_GT(flagged, 20u);
  EXPECT_EQ(warm, count - 3 * 33);
  for (const std::size_t batch : {1u, 7u, 64u, 290u, 600u}) {
    Run run(config);
    run.pass(0, count, batch);
    EXPECT_EQ(run.published(), wanted) << batch;
    EXPECT_EQ(run.host.counters.events_scored, count);
    EXPECT_EQ(run.host.counters.alerts, flagged);
  }
}

TEST_F(Machines, AlertsSayWhichMetricsSpoke) {
  Run run(stream());
  run.pass(0, count, 50);
  const auto alerts = run.host.publisher.of("alerts.s");
  ASSERT_GT(alerts.size(), 20u);
  std::size_t third = 0;
  for (const Published& message : alerts) {
    const Json alert = message.header();
    const std::string event = alert["event"];
    const std::size_t place = event.rfind(':'), before = event.rfind(':', place - 1);
    const std::size_t at =
        (std::stoul(event.substr(before + 1)) - 1) * 50 + std::stoul(event.substr(place + 1));
    EXPECT_EQ(alert["entity"], events().names[at]);
    EXPECT_EQ(alert["model_hash"], model_->hash());
    EXPECT_EQ(alert["flag"], 9);
    ASSERT_EQ(alert["contributions"].size(), metrics);
    double sum = 0;
    for (const Json& part : alert["contributions"]) {
      EXPECT_GE(part["contribution"].get<double>(), 0);
      sum += part["contribution"].get<double>();
    }
    EXPECT_NEAR(sum, alert["score"].get<double>(), 1e-5 * sum);
    third += alert["contributions"][0]["feature"] == "disk" || alert["contributions"][0]["feature"] == "cpu";
  }
  EXPECT_GT(10 * third, 9 * alerts.size()) << "these no longer go together";
}

TEST_F(Machines, AnEntityIsNeededAndAMissingMetricNoReason) {
  Run run(stream());
  run.host.source.incoming.push_back({"",
                                      {R"({"v":1,"stream":"s","format":"jsonl"})",
                                       R"({"cpu": 1, "memory": 2, "disk": 3})"
                                       "\n"
                                       R"({"host": "a", "cpu": 1})"
                                       "\n"
                                       R"({"host": "a", "cpu": "high", "memory": 2, "disk": 3})"}});
  run.host.drain();
  const auto found = run.published();
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].flag, 2);
  EXPECT_TRUE(std::isnan(found[0].score));
  EXPECT_EQ(found[1].flag, 0);
  EXPECT_EQ(found[2].flag, 2) << "text is no number";
  EXPECT_EQ(run.status()["models"][0]["series"]["warm_up"]["rows"], 1);
}

TEST_F(Machines, TheOneUnseenLongestMakesWay) {
  StreamConfig config = stream();
  config.limits.entities_max = 2;
  std::optional<std::vector<Result>> first;
  for (const std::size_t batch : {1u, 33u, 600u}) {
    Run run(config);
    run.pass(0, count, batch);
    if (!first) first = run.published();
    EXPECT_EQ(run.published(), *first);
    const Json series = run.status()["models"][0]["series"];
    EXPECT_EQ(series["entities"], 2);
    EXPECT_GT(series["evicted"].get<int>(), 50);
  }
  EXPECT_NE(*first, expected());
}

TEST_F(Machines, StatusAndMetricsSayWhatTheyAre) {
  Run run(stream());
  run.pass(0, count, 50);
  const Json shown = run.status()["models"][0];
  EXPECT_EQ(shown["name"], "machines");
  EXPECT_EQ(shown["detector"], "multivariate_series");
  EXPECT_EQ(shown["model_hash"], model_->hash());
  EXPECT_EQ(shown["drift"], nullptr);
  EXPECT_EQ(shown["series"], (Json{{"entities", 3},
                                   {"warm", 3},
                                   {"warm_up", {{"rows", 3 * 34}, {"rows_wanted", 3 * 34}}},
                                   {"evicted", 0}}));
  const std::string text = metrics_text({}, run.host.counters, run.host.streams, run.routes());
  EXPECT_THAT(text, HasSubstr("\nlanner_series_warm{stream=\"s\",model=\"machines\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("detector=\"multivariate_series\""));
}

TEST_F(Machines, ARestartChangesNoBit) {
  StreamConfig config = stream();
  config.decide = engine::FalseDiscoveryRate{0.3, 1000};  // a rule with a state
  Run whole(config), first(config), second(config), without(config);
  whole.pass(0, count, 50);
  first.pass(0, 400, 50);
  const auto restored = restore_state(state_of(first.routes()), second.routes());
  ASSERT_EQ(restored.size(), 1u);
  EXPECT_EQ(restored[0].text, "stream s: machines: series and decisions go on from the last clean stop");
  EXPECT_TRUE(restored[0].whole);
  EXPECT_EQ(second.status()["models"][0]["series"], first.status()["models"][0]["series"]);
  for (Run* run : {&second, &without}) run->pass(400, count, 50);
  auto rest = whole.published();
  rest.erase(rest.begin(), rest.begin() + 400);
  EXPECT_EQ(second.published(), rest);
  EXPECT_NE(without.published(), rest) << "it would have made a difference";
  EXPECT_EQ(state_of(second.routes()), state_of(whole.routes()));
}

TEST_F(Machines, OfAnotherModelOrRuleOrWithDamageTheyBeginAnew) {
  StreamConfig config = stream();
  config.decide = engine::FalseDiscoveryRate{0.3, 1000};
  Run before(config);
  before.pass(0, 300, 50);
  std::string bytes = state_of(before.routes());
  config.decide = engine::FalseDiscoveryRate{0.2, 1000};
  Run other_rule(config);
  auto restored = restore_state(bytes, other_rule.routes());
  ASSERT_EQ(restored.size(), 1u);
  EXPECT_THAT(restored[0].text, HasSubstr("machines: decisions start anew: the last run's rule was "));
  EXPECT_EQ(other_rule.status()["models"][0]["series"]["entities"], 3) << "windows go on";
  Run other_model(stream(model("4")));
  restored = restore_state(bytes, other_model.routes());
  EXPECT_THAT(restored.at(0).text, HasSubstr("the last run's model of this name was another"));
  EXPECT_EQ(other_model.status()["models"][0]["series"]["entities"], 0);
}

TEST_F(Machines, GoOnOverAReloadWhereTheModelIsTheSame) {
  StreamConfig config = stream();
  Run whole(config), same(config), other(config);
  for (Run* run : {&whole, &same, &other}) run->pass(0, 400, 50);
  same.reload(config);
  other.reload(stream(model("4")));
  EXPECT_EQ(other.status()["models"][0]["series"]["entities"], 0);
  for (Run* run : {&whole, &same, &other}) run->pass(400, count, 50);
  EXPECT_EQ(same.published(), whole.published());
  EXPECT_NE(other.published(), whole.published());
}

TEST_F(Machines, StandBesideModelsOfRowsAndInTheShadow) {
  StreamConfig config = stream();
  Run alone(config);
  const auto device = Device::cpu();
  const std::vector<float> rows = normal_rows(200, metrics, 1);
  engine::Records records;
  records.count = 200;
  records.dense = {rows.data(), nullptr, metrics};
  engine::FitOptions options;
  options.detector = "histogram";
  const std::filesystem::path file = folder_.path() / "rows.lanner";
  engine::Model::fit(*device, model_->schema(), records, options)->save(file);
  config.models[0].role = Role::shadow;
  config.models.push_back({file, "rows", Role::shadow, std::nullopt});
  Run both(config, {make_emulated_device()});
  for (Run* run : {&alone, &both}) run->pass(0, count, 300);
  EXPECT_EQ(both.published(), alone.published());
  EXPECT_EQ(both.published("rows").size(), count);
  EXPECT_EQ(both.host.counters.alerts, 0u);
}

TEST_F(Machines, WhatDoesNotFitTheStreamIsAFault) {
  StreamConfig config = stream();
  const auto device = Device::cpu();
  const auto fault_of = [&] {
    Config all;
    all.streams = {config};
    StreamCounterTable counters;
    std::vector<ConfigError> faults;
    build_routes(all, *device, counters, {}, faults);
    return faults.size() == 1 ? faults[0].key + ": " + faults[0].found + " | " + faults[0].allowed
                              : std::to_string(faults.size());
  };
  config.schema.fields = {{"cpu"}, {"memory"}};
  EXPECT_THAT(fault_of(), HasSubstr("streams.s.models[0].file: "));
  EXPECT_THAT(fault_of(), HasSubstr("a model of the fields cpu, memory, disk"));
  config.schema.fields.clear();
  engine::FeatureSpec feature;
  feature.name = feature.field = "cpu";
  config.features = {feature};
  EXPECT_THAT(fault_of(), HasSubstr("streams.s.features: features beside "));
}

}  // namespace
}  // namespace lanner::host
