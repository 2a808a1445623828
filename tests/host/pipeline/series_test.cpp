// Series on their way through the host: what is published of each row is what its entity's detector says,
// however batches are cut; what survives, and what makes way.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/series/series_detector.hpp"
#include "engine/series/series_settings.hpp"
#include "host/pipeline/state.hpp"
#include "host/pipeline/status.hpp"
#include "kernels/device/emulated.hpp"
#include "tests/engine/series/made_series.hpp"
#include "tests/host/pipeline/simulated_host.hpp"

namespace lanner::host {
namespace {

using testing::HasSubstr;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::size_t warm_up = 100;

struct Row {
  std::string entity;
  std::int64_t time;
  double latency, errors;
};

/// Three hosts, taking turns by no rule, their spikes ever higher.
std::vector<Row> rows_of(std::size_t count) {
  const std::vector<double> latency = engine::daily(count), errors = engine::bursts(count);
  std::map<std::string, std::size_t> done;
  std::mt19937 random(5);
  std::vector<Row> rows;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string entity = random() % 4 == 0 ? "a" : random() % 3 == 0 ? "b" : "c";
    const std::size_t at = done[entity]++;
    const double spike = at % 70 == 69 ? 3000.0 * static_cast<double>(at) : 0;
    rows.push_back({entity, engine::made_time_ns(at), latency[at] + spike, errors[at]});
  }
  return rows;
}

const std::vector<Row>& rows() {
  static const std::vector<Row> all = rows_of(900);
  return all;
}

StreamConfig stream(std::vector<std::string> values = {"latency", "errors"},
                    std::map<std::string, std::string> settings = {}) {
  StreamConfig config;
  config.name = "s";
  config.schema = {{{"latency"}, {"errors"}}, "host", "at", ""};
  settings.emplace("warm_up", std::to_string(warm_up));
  config.series = {std::move(values), engine::Settings::parse(engine::series_settings(), settings)};
  return config;
}

Wire wire(std::span<const Row> rows, bool sidecars = true) {
  std::string values, times, entities;
  for (const Row& row : rows) {
    for (const double value : {row.latency, row.errors})
      values.append(reinterpret_cast<const char*>(&value), sizeof value);
    times.append(reinterpret_cast<const char*>(&row.time), sizeof row.time);
    entities += row.entity + "\n";
  }
  Json header = {{"v", 1}, {"stream", "s"}, {"format", "tensor"}, {"dtype", "float64"}};
  header["shape"] = {rows.size(), 2};
  if (!sidecars) return {"", {header.dump(), values}};
  header["sidecars"] = {"entity", "time"};
  return {"", {header.dump(), values, entities, times}};
}

/// Of one row, as published.
struct Result {
  float score;
  double p_value, threshold;
  std::uint8_t flag;
  bool operator==(const Result& other) const {
    return (score == other.score || (std::isnan(score) && std::isnan(other.score))) &&
           p_value == other.p_value && threshold == other.threshold && flag == other.flag;
  }
};

struct SeriesHost {
  explicit SeriesHost(const StreamConfig& config = stream(),
                      const std::vector<std::shared_ptr<Device>>& gpus = {})
      : host({device(!gpus.empty()), lossy(), false, gpus}, {config}) {}

  static DeviceConfig device(bool gpu) {
    DeviceConfig config;
    config.batch_max = 64;
    if (gpu) config.offload = Offload::always;
    return config;
  }

  void pass(std::span<const Row> some, std::size_t batch) {
    for (std::size_t at = 0; at < some.size(); at += batch) {
      host.source.incoming.push_back(wire(some.subspan(at, std::min(batch, some.size() - at))));
      host.step(0);  // batches may wait together for a slot
    }
    host.drain();
  }

  /// Of one field's series, in the order of rows.
  std::vector<Result> published(const std::string& value = "latency") const {
    std::vector<Result> all;
    for (const Published& message : messages("scores.s")) {
      if (message.header()["model"] != value) continue;
      const auto scores = message.values<float>(1);
      const auto p_values = message.values<double>(2), thresholds = message.values<double>(3);
      const auto flags = message.values<std::uint8_t>(4);
      for (std::size_t i = 0; i < scores.size(); ++i)
        all.push_back({scores[i], p_values[i], thresholds[i], flags[i]});
    }
    return all;
  }

  std::vector<Published> messages(const std::string& topic) const { return host.publisher.of(topic); }

  /// As a SIGHUP with this stream.
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
  std::string metrics() { return metrics_text({}, host.counters, host.streams, routes()); }

  SimulatedHost host;
  std::shared_ptr<const Routes> kept;
};

/// What detectors say that see one entity's rows alone; rows without a value don't reach them.
std::vector<engine::SeriesScore> alone(std::span<const Row> rows, double Row::*value) {
  std::map<std::string, engine::SeriesDetector> detectors;
  engine::SeriesParameters parameters;
  parameters.warm_up = warm_up;
  std::vector<engine::SeriesScore> all;
  for (const Row& row : rows)
    all.push_back(detectors.try_emplace(row.entity, parameters).first->second.push(row.time, row.*value));
  return all;
}

TEST(Series, EachRowHasWhatItsEntitysDetectorSays) {
  const auto latency = alone(rows(), &Row::latency), errors = alone(rows(), &Row::errors);
  std::optional<std::vector<Result>> first;
  for (const std::size_t batch : {1u, 7u, 64u, 290u, 900u}) {
    SeriesHost run;
    run.pass(rows(), batch);
    for (const auto& [value, expected] : {std::pair{"latency", &latency}, std::pair{"errors", &errors}}) {
      const auto found = run.published(value);
      ASSERT_EQ(found.size(), expected->size());
      int alarms = 0, scored = 0;
      for (std::size_t i = 0; i < found.size(); ++i) {
        const engine::SeriesScore& row = (*expected)[i];
        ASSERT_EQ(found[i].score, static_cast<float>(row.score)) << value << i;
        ASSERT_EQ(found[i].p_value, row.warming_up ? 1 : engine::tail_probability(row.score)) << i;
        ASSERT_EQ(found[i].flag, row.warming_up ? 0 : row.alarm ? 9 : 8) << i;
        ASSERT_EQ(row.alarm, found[i].p_value <= found[i].threshold) << i;
        ASSERT_NEAR(found[i].threshold, engine::tail_probability(row.threshold), 1e-15) << i;
        alarms += row.alarm;
        scored += !row.warming_up;
      }
      EXPECT_GT(alarms, 2) << value;
      EXPECT_EQ(scored, 900 - 3 * static_cast<int>(warm_up));
    }
    if (!first) first = run.published();
    EXPECT_EQ(run.published(), *first) << batch;
    EXPECT_EQ(run.host.counters.events_scored, 900u);
    EXPECT_EQ(run.host.counters.events_in, 900u);
  }
}

TEST(Series, AlarmsAreAlertsWithTheChannelsThatSpoke) {
  SeriesHost run;
  run.pass(rows(), 50);
  const auto latency = alone(rows(), &Row::latency), errors = alone(rows(), &Row::errors);
  std::size_t alarms = 0;
  for (const auto* detector : {&latency, &errors})
    for (const engine::SeriesScore& row : *detector) alarms += row.alarm;
  const auto alerts = run.messages("alerts.s");
  EXPECT_EQ(alerts.size(), alarms);
  EXPECT_EQ(run.host.counters.alerts, alarms);
  const std::string model_hash = run.messages("scores.s")[0].header()["model_hash"];
  for (const Published& message : alerts) {
    const Json alert = message.header();
    const std::string event = alert["event"], value = alert["model"];
    const std::size_t place = event.rfind(':'), before = event.rfind(':', place - 1);
    const std::size_t seq = std::stoul(event.substr(before + 1)),
                      in_batch = std::stoul(event.substr(place + 1));
    const std::size_t at = (seq - 1) * 50 + in_batch;
    const Row& row = rows()[at];
    const engine::SeriesScore& expected = (value == "latency" ? latency : errors)[at];
    ASSERT_TRUE(expected.alarm) << at;
    EXPECT_EQ(alert["id"], "s/" + value + "/" + event);
    EXPECT_EQ(alert["entity"], row.entity);
    EXPECT_EQ(alert["time"], row.time);
    EXPECT_EQ(alert["flag"], 9);
    EXPECT_EQ(alert["base"], 0);
    EXPECT_EQ(alert["expected"].get<double>(), expected.expected);
    EXPECT_EQ(alert["model_hash"] == model_hash, value == "latency");
    double sum = 0;
    ASSERT_EQ(alert["contributions"].size(), engine::series_channels);
    for (const Json& part : alert["contributions"]) {
      EXPECT_THAT(part["feature"].get<std::string>(), testing::StartsWith(value + "."));
      EXPECT_EQ(part["value"], value == "latency" ? row.latency : row.errors);
      sum += part["contribution"].get<double>();
    }
    EXPECT_NEAR(sum, alert["score"].get<double>(), 1e-6 * sum);
  }
}

TEST(Series, WhatCannotBeScoredIsRefusedAndLeavesNoTrace) {
  std::vector<Row> awkward = rows();
  std::vector<Row> sound;
  std::map<std::size_t, std::string> wanted;  // reasons for `latency`
  for (std::size_t i = 0; i < awkward.size(); ++i) {
    Row& row = awkward[i];
    if (i % 10 != 9) {
      sound.push_back(row);
      continue;
    }
    switch (i / 10 % 6) {
      case 0:
        row.latency = nan, wanted[i] = "latency: missing";
        break;
      case 1:
        row.latency = -infinity, wanted[i] = "latency: not finite";
        break;
      case 2:
        row.latency = 2e150, wanted[i] = "latency: beyond 1e150";
        break;
      case 3:
        row.entity.clear(), wanted[i] = "latency: missing entity";
        break;
      case 4:
        row.entity.assign(1025, 'x'), wanted[i] = "latency: entity longer than 1024 bytes";
        break;
      default:
        row.time = -row.time;  // time going back is no reason
        sound.push_back(row);
    }
  }
  ASSERT_EQ(wanted.size(), 75u);
  const auto expected = alone(sound, &Row::latency);
  for (const std::size_t batch : {1u, 90u}) {
    SeriesHost run(stream({"latency"}));
    run.pass(awkward, batch);
    const auto found = run.published();
    ASSERT_EQ(found.size(), awkward.size());
    std::size_t at = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (wanted.contains(i)) {
        EXPECT_EQ(found[i], (Result{std::numeric_limits<float>::quiet_NaN(), 1, 0, 2})) << i;
      } else {
        ASSERT_EQ(found[i].score, static_cast<float>(expected[at++].score)) << i;
      }
    }
    EXPECT_EQ(run.host.counters.events_refused, 75u);
    EXPECT_EQ(run.host.counters.events_scored, 825u);
    EXPECT_EQ(run.status()["models"][0]["series"]["entities"], 3);
  }
}

TEST(Series, TheProducerIsToldWhichRowsAndWhy) {
  IngestConfig ingest;
  ingest.bind = "simulated";
  SimulatedHost host({{}, ingest, false}, {stream()});
  host.source.incoming.push_back({"peer", {R"({"v":1,"hello":true,"producer":"p"})"}});
  host.drain();
  std::vector<Row> some(rows().begin(), rows().begin() + 4);
  some[1].errors = nan;
  some[2].latency = some[2].errors = nan;
  Wire sent = wire(some);
  sent.peer = "peer";
  Json header = Json::parse(sent.frames[0]);
  header["producer"] = "p";
  header["seq"] = 1;
  sent.frames[0] = header.dump();
  host.source.incoming.push_back(sent);
  host.drain();
  host.source.pop("peer");
  const Json nack = host.source.pop("peer");
  EXPECT_EQ(nack["nack"], 1);
  EXPECT_EQ(nack["rows_refused"], 2);
  EXPECT_EQ(nack["rows"], (Json{{{"row", 1}, {"reason", "errors: missing"}},
                                {{"row", 2}, {"reason", "latency: missing"}}}));
}

TEST(Series, AMissingValueMayBeSkipped) {
  std::vector<Row> awkward = rows();
  for (std::size_t i = 3; i < awkward.size(); i += 7) awkward[i].latency = nan;
  StreamConfig config = stream();
  config.series->skips_missing = true;
  SeriesHost run(config);
  run.pass(awkward, 40);
  const auto expected = alone(awkward, &Row::latency), errors = alone(awkward, &Row::errors);
  const auto found = run.published(), found_errors = run.published("errors");
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i] == (Result{0, 1, 0, 0}), i % 7 == 3 || expected[i].warming_up) << i;
    ASSERT_EQ(found[i].score, static_cast<float>(expected[i].score)) << i;
    ASSERT_EQ(found_errors[i].score, static_cast<float>(errors[i].score))
        << "the other series has its own rows";
  }
  EXPECT_EQ(run.host.counters.events_refused, 0u);
}

TEST(Series, WithoutTimeAndEntityItIsOneSeries) {
  StreamConfig config = stream({"latency"});
  config.schema.entity.clear();
  config.schema.time.clear();
  SeriesHost run(config);
  std::vector<Row> one = rows();
  for (std::size_t i = 0; i < one.size(); ++i) {
    run.host.source.incoming.push_back(wire(std::span(one).subspan(i, 1), false));
    one[i].entity.clear();
    one[i].time = 0;
  }
  run.host.drain();
  const auto expected = alone(one, &Row::latency);
  const auto found = run.published();
  ASSERT_EQ(found.size(), one.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    ASSERT_EQ(found[i].score, static_cast<float>(expected[i].score)) << i;
}

TEST(Series, WhereThereIsATimeABatchWithoutIsRefused) {
  SeriesHost run;
  run.host.source.incoming.push_back(wire(std::span(rows()).first(3), false));
  run.host.drain();
  EXPECT_TRUE(run.published().empty());
  EXPECT_EQ(run.host.counters.refused[static_cast<std::size_t>(Refusal::payload)], 1u);
}

TEST(Series, TheOneUnseenLongestMakesWay) {
  StreamConfig config = stream();
  config.series->entities_max = 2;
  std::optional<std::vector<Result>> first;
  for (const std::size_t batch : {1u, 33u, 900u}) {
    SeriesHost run(config);
    run.pass(rows(), batch);
    if (!first) first = run.published();
    EXPECT_EQ(run.published(), *first) << "who makes way depends on the order of rows alone";
    const Json series = run.status()["models"][0]["series"];
    EXPECT_EQ(series["entities"], 2);
    EXPECT_GT(series["evicted"].get<int>(), 100);
    EXPECT_THAT(run.metrics(), HasSubstr("lanner_series{stream=\"s\",model=\"latency\"} 2"));
    EXPECT_THAT(run.metrics(), HasSubstr("lanner_series_evicted_total{stream=\"s\",model=\"errors\"} " +
                                         series["evicted"].dump()));
  }
}

TEST(Series, StatusAndMetricsSayHowFarTheyAreWarm) {
  SeriesHost run;
  const std::vector<Row> one(120, {"a", 0, 1, 2});
  run.pass(std::span(one).first(30), 10);
  Json model = run.status()["models"][1];
  EXPECT_EQ(model["name"], "errors");
  EXPECT_EQ(model["detector"], "series");
  EXPECT_EQ(model["series"], (Json{{"entities", 1},
                                   {"warm", 0},
                                   {"warm_up", {{"rows", 30}, {"rows_wanted", warm_up}}},
                                   {"evicted", 0}}));
  run.pass(std::span(one).subspan(30), 10);
  run.pass(std::vector<Row>{{"b", 0, 1, 1}}, 1);
  model = run.status()["models"][1];
  EXPECT_EQ(model["series"]["warm"], 1);
  EXPECT_EQ(model["series"]["warm_up"], (Json{{"rows", warm_up + 1}, {"rows_wanted", 2 * warm_up}}));
  const std::string labels = "{stream=\"s\",model=\"latency\"} ";
  for (const auto& [name, value] :
       {std::pair{"", "2"}, std::pair{"_warm", "1"}, std::pair{"_warm_up_rows", "101"},
        std::pair{"_warm_up_rows_wanted", "200"}})
    EXPECT_THAT(run.metrics(), HasSubstr("\nlanner_series" + std::string(name) + labels + value + "\n"));
  EXPECT_THAT(run.metrics(), HasSubstr("detector=\"series\""));
}

TEST(Series, GoOnOverAReloadWhereTheSettingsAreTheSame) {
  SeriesHost whole, same, other;
  for (SeriesHost* run : {&whole, &same, &other}) run->pass(std::span(rows()).first(600), 50);
  StreamConfig more = stream({"errors", "latency"});  // in another order
  more.series->entities_max = 500;
  more.series->skips_missing = true;
  same.reload(more);
  other.reload(stream({"latency", "errors"}, {{"threshold", "2.6"}}));
  EXPECT_EQ(other.status()["models"][0]["series"]["entities"], 0) << "others begin anew";
  EXPECT_NE(other.status()["models"][0]["model_hash"], same.status()["models"][1]["model_hash"]);
  EXPECT_EQ(whole.status()["models"][0]["model_hash"], same.status()["models"][1]["model_hash"]);
  for (SeriesHost* run : {&whole, &same, &other}) run->pass(std::span(rows()).subspan(600), 50);
  for (const char* value : {"latency", "errors"}) {
    EXPECT_EQ(same.published(value), whole.published(value));
    EXPECT_NE(other.published(value), whole.published(value));
  }
  other.reload(stream({"errors"}));
  EXPECT_EQ(other.status()["models"].size(), 1u);
}

TEST(Series, ARestartChangesNoBit) {
  SeriesHost whole, first, second, without;
  whole.pass(rows(), 50);
  first.pass(std::span(rows()).first(600), 50);
  const std::string bytes = state_of(first.routes());
  const auto restored = restore_state(bytes, second.routes());
  ASSERT_EQ(restored.size(), 2u);
  EXPECT_EQ(restored[0].text, "stream s: latency: series go on from the last clean stop");
  EXPECT_TRUE(restored[0].whole && restored[1].whole);
  EXPECT_EQ(second.status()["models"][0]["series"], first.status()["models"][0]["series"]);
  for (SeriesHost* run : {&second, &without}) run->pass(std::span(rows()).subspan(600), 50);
  for (const char* value : {"latency", "errors"}) {
    auto rest = whole.published(value);
    rest.erase(rest.begin(), rest.begin() + 600);
    EXPECT_EQ(second.published(value), rest);
    EXPECT_NE(without.published(value), rest) << "it would have made a difference";
  }
  EXPECT_EQ(state_of(second.routes()), state_of(whole.routes()));
}

TEST(Series, OfOtherSettingsOrWithDamageTheyBeginAnew) {
  SeriesHost before, other(stream({"latency"}, {{"pause", "0.2"}})), same(stream({"latency"}));
  before.pass(std::span(rows()).first(300), 50);
  std::string bytes = state_of(before.routes());
  auto restored = restore_state(bytes, other.routes());
  ASSERT_EQ(restored.size(), 1u);
  EXPECT_EQ(restored[0].text, "stream s: latency: series start anew: the last run's settings were others");
  EXPECT_FALSE(restored[0].whole);
  EXPECT_EQ(other.status()["models"][0]["series"]["entities"], 0);
  bytes[bytes.size() / 2] ^= 1;
  restored = restore_state(bytes, same.routes());
  EXPECT_THAT(restored.at(0).text, HasSubstr("start anew: the last run's state can't be read"));
  EXPECT_EQ(begin_anew("why", same.routes()).at(0).text, "stream s: latency: series start anew: why");
  EXPECT_EQ(same.status()["models"][0]["series"]["entities"], 0);
}

TEST(Series, StandBesideStreamsWithModelsAndGpus) {
  SeriesHost alone_there, beside(stream(), {make_emulated_device()});
  StreamConfig learned = stream_of("t", 3);
  Config both;
  both.streams = {beside.host.config.streams[0], learned};
  std::vector<ConfigError> faults;
  beside.host.pipeline->replace_routes(build_routes(both, *beside.host.device, beside.host.streams,
                                                    *beside.host.pipeline->routes(), faults,
                                                    beside.host.gpus));
  beside.host.pipeline->move_on();
  beside.host.use("t", {fitted(*beside.host.device, 3, "mahalanobis")});
  const std::vector<float> numbers = normal_rows(20, 3, 9);
  for (std::size_t at = 0; at < rows().size(); at += 30) {
    beside.host.source.incoming.push_back(wire(std::span(rows()).subspan(at, 30)));
    beside.host.source.incoming.push_back(tensor("", "t", numbers, 3));
  }
  beside.host.drain();
  alone_there.pass(rows(), 45);
  EXPECT_EQ(beside.published(), alone_there.published());
  EXPECT_EQ(beside.messages("scores.t").size(), 30u);
  EXPECT_GT(beside.host.counters.slots_scored_on_gpu, 0u);
  for (const Published& message : beside.messages("scores.s")) EXPECT_EQ(message.header()["device"], "cpu");
}

}  // namespace
}  // namespace lanner::host
