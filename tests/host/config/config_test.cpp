#include "host/config/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "host/config/quantity.hpp"

namespace lanner::host {
namespace {

using ::testing::HasSubstr;

constexpr const char* rest = "ingest:\n  - zeromq: {bind: \"tcp://127.0.0.1:5555\"}\n";

// Every fault of a configuration, a line each.
std::string faults(const std::string& yaml) {
  try {
    parse_config(yaml, "lanner.yaml");
  } catch (const InvalidConfig& error) {
    return error.what();
  }
  return "";
}

std::string faults_of_stream(const std::string& lines) {
  return faults("streams:\n  s:\n" + lines + rest);
}

TEST(Config, TheExampleOfTheDesignIsRead) {
  const Config config = parse_config(R"(
streams:
  checkout:
    entity: customer
    time: at
    features:
      - amount: {log1p: amount}
      - per_minute: {count: {window: 1m}}
      - country: {rarity: country}
      - balance
    models:
      - {file: models/checkout-neighbours.lanner, role: active}
      - {file: models/checkout-autoencoder.lanner, role: shadow}
    decide: {false_alarms_per_day: 20}
ingest:
  - zeromq: {bind: "tcp://127.0.0.1:5555", delivery: acked}
publish:
  - zeromq: {bind: "tcp://127.0.0.1:5556"}
device: {prefer: cuda, otherwise: cpu, batch_max: 65536, wait_ms_max: 2}
)",
                                     "/etc/lanner/lanner.yaml");
  ASSERT_EQ(config.streams.size(), 1u);
  const StreamConfig& stream = config.streams[0];
  EXPECT_EQ(stream.name, "checkout");
  ASSERT_EQ(stream.features.size(), 4u);
  EXPECT_EQ(stream.features[1].kind, engine::FeatureKind::count);
  EXPECT_EQ(stream.features[1].window_ns, 60'000'000'000);
  EXPECT_EQ(stream.features[3].kind, engine::FeatureKind::identity);
  EXPECT_EQ(stream.schema.fields.size(), 3u);
  ASSERT_EQ(stream.models.size(), 2u);
  EXPECT_EQ(stream.models[0].file, "/etc/lanner/models/checkout-neighbours.lanner");
  EXPECT_EQ(stream.models[0].name, "checkout-neighbours");
  EXPECT_EQ(stream.models[1].role, Role::shadow);
  EXPECT_EQ(std::get<engine::FalseAlarmsPerDay>(stream.decide).alarms, 20);
  EXPECT_EQ(config.ingest[0].delivery, Delivery::acked);
  EXPECT_EQ(config.device.batch_max, 65536u);
}

TEST(Config, SeriesAreRead) {
  const Config config = parse_config(std::string(R"(
streams:
  s:
    entity: host
    time: at
    series: {values: [latency_ms, errors], warm_up: 300, threshold: 3, entities_max: 50, missing: skip}
  t:
    fields: [a, b, {c: text}]
    series: {values: b}
)") + rest,
                                     "lanner.yaml");
  const StreamConfig& s = config.streams.at(0);
  ASSERT_TRUE(s.series);
  EXPECT_EQ(s.series->values, (std::vector<std::string>{"latency_ms", "errors"}));
  EXPECT_EQ(s.series->settings.integer("warm_up"), 300);
  EXPECT_EQ(s.series->settings.number("threshold"), 3);
  EXPECT_EQ(s.series->settings.number("pause"), 0.16);
  EXPECT_EQ(s.series->entities_max, 50u);
  EXPECT_TRUE(s.series->skips_missing);
  EXPECT_EQ(s.schema, (engine::Schema{{{"latency_ms"}, {"errors"}}, "host", "at", ""}));
  const StreamConfig& t = config.streams.at(1);
  EXPECT_EQ(t.series->values, std::vector<std::string>{"b"});
  EXPECT_EQ(t.schema.fields.size(), 3u);
  EXPECT_EQ(t.series->settings.integer("warm_up"), 750);
  EXPECT_EQ(t.series->entities_max, 1000u);
  EXPECT_FALSE(t.series->skips_missing);
}

TEST(Config, ShippedConfigurationsAreFine) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(LANNER_SOURCE_DIR "/configs")) {
    if (entry.path().extension() != ".yaml") continue;
    EXPECT_NO_THROW(read_config(entry.path())) << entry.path();
    ++count;
  }
  EXPECT_GE(count, 5);
}

TEST(Config, EveryFaultIsFoundInOnePass) {
  const std::string text = faults(R"(streams:
  s:
    lern: {rows: 5}
    decide: {false_alarm_rate: 2}
  t:
    learn: {rows: none, detector: nearest_neighbors}
ingest:
  - zeromq: {bnd: "tcp://127.0.0.1:5555"}
device: {slots: 1}
)");
  EXPECT_THAT(text, HasSubstr("lanner.yaml:3: streams.s.lern: found an unknown key"));
  EXPECT_THAT(text, HasSubstr("did you mean 'learn'?"));
  EXPECT_THAT(
      text,
      HasSubstr("lanner.yaml:4: streams.s.decide.false_alarm_rate: found '2', allowed a number above 0"));
  EXPECT_THAT(text, HasSubstr("lanner.yaml:6: streams.t.learn.rows: found 'none'"));
  EXPECT_THAT(text, HasSubstr("lanner.yaml:6: streams.t.learn.detector: found 'nearest_neighbors'"));
  EXPECT_THAT(text, HasSubstr("did you mean 'nearest_neighbours'?"));
  EXPECT_THAT(text, HasSubstr("lanner.yaml:8: ingest.zeromq.bnd: found an unknown key"));
  EXPECT_THAT(text, HasSubstr("lanner.yaml:9: device.slots: found '1'"));
}

struct BadCase {
  const char* name;
  std::string yaml, expected;
};

class BadConfig : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadConfig, IsRefusedWithFileLineAndKey) {
  const std::string text = faults(GetParam().yaml);
  EXPECT_THAT(text, HasSubstr(GetParam().expected));
  EXPECT_THAT(text, HasSubstr("lanner.yaml:"));
}

std::string stream(const std::string& lines) {
  return "streams:\n  s:\n" + lines + rest;
}
std::string top(const std::string& lines) {
  return "streams: {s: {fields: [x], learn: {rows: 100}}}\n" + lines;
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadConfig,
    ::testing::Values(
        BadCase{"empty", "", "streams: found nothing"}, BadCase{"not_yaml", "streams: [a", "(syntax)"},
        BadCase{"a_list", "- a\n- b\n", "(top): found a list, allowed a map"},
        BadCase{"a_word", "hello", "(top): found 'hello', allowed a map"},
        BadCase{"unknown_top_key", top("igest: []\n" + std::string(rest)), "igest: found an unknown key"},
        BadCase{"no_ingest", top(""), "ingest: found nothing"},
        BadCase{"ingest_a_map", top("ingest: {zeromq: {}}\n"), "ingest: found a map"},
        BadCase{"ingest_empty", top("ingest: []\n"), "ingest: found a list"},
        BadCase{"unknown_source", top("ingest:\n  - kafka: {}\n"), "ingest.kafka: found an unknown key"},
        BadCase{"source_of_nothing", top("ingest:\n  -\n"), "ingest.zeromq: found nothing, allowed a map"},
        BadCase{"publisher_of_nothing", top("publish:\n  - {}\n" + std::string(rest)),
                "publish.zeromq: found nothing, allowed a map"},
        BadCase{"no_bind", top("ingest:\n  - zeromq: {delivery: acked}\n"),
                "ingest.zeromq.bind: found nothing"},
        BadCase{"bad_endpoint", top("ingest:\n  - zeromq: {bind: \"127.0.0.1:5555\"}\n"),
                "ingest.zeromq.bind: found '127.0.0.1:5555'"},
        BadCase{"bad_port", top("ingest:\n  - zeromq: {bind: \"tcp://127.0.0.1:99999\"}\n"),
                "ingest.zeromq.bind: found"},
        BadCase{"bad_delivery", top("ingest:\n  - zeromq: {bind: \"ipc:///tmp/x\", delivery: ack}\n"),
                "ingest.zeromq.delivery: found 'ack'"},
        BadCase{"bad_durable", top("ingest:\n  - zeromq: {bind: \"ipc:///tmp/x\", durable: disk}\n"),
                "ingest.zeromq.durable: found 'disk'"},
        BadCase{"bad_size",
                top("ingest:\n  - zeromq: {bind: \"ipc:///tmp/x\", batch_bytes_max: 3 parsecs}\n"),
                "batch_bytes_max: found '3 parsecs'"},
        BadCase{"credit_below_batch",
                top("ingest:\n  - zeromq: {bind: \"ipc:///tmp/x\", credit_bytes: 1 MiB, batch_bytes_max: 2 "
                    "MiB}\n"),
                "credit_bytes: found 1048576"},
        BadCase{"publish_no_list", top("publish: {}\n" + std::string(rest)), "publish: found a map"},
        BadCase{"publish_no_bind", top("publish:\n  - zeromq: {queue_messages_max: 5}\n" + std::string(rest)),
                "publish.zeromq.bind: found nothing"},
        BadCase{"bad_queue",
                top("publish:\n  - zeromq: {bind: \"ipc:///tmp/x\", queue_messages_max: 0}\n" +
                    std::string(rest)),
                "queue_messages_max: found '0'"},
        BadCase{"results_no_directory", top("results: {format: csv}\n" + std::string(rest)),
                "results.directory: found nothing"},
        BadCase{"results_format", top("results: {directory: r, format: parquet}\n" + std::string(rest)),
                "results.format: found 'parquet'"},
        BadCase{"results_keep", top("results: {directory: r, keep: some}\n" + std::string(rest)),
                "results.keep: found 'some'"},
        BadCase{"results_rotate", top("results: {directory: r, rotate_every: soon}\n" + std::string(rest)),
                "results.rotate_every: found 'soon'"},
        BadCase{"device_backend", top("device: {prefer: tpu}\n" + std::string(rest)),
                "device.prefer: found 'tpu'"},
        BadCase{"device_both", top("device: {prefer: cpu, require: cpu}\n" + std::string(rest)),
                "device.require: found prefer and require"},
        BadCase{"device_batch", top("device: {batch_max: -5}\n" + std::string(rest)),
                "device.batch_max: found '-5'"},
        BadCase{"cores_order", top("cores: {score: \"2,1\"}\n" + std::string(rest)),
                "cores.score: found '2,1'"},
        BadCase{"device_wait", top("device: {wait_ms_max: nan}\n" + std::string(rest)),
                "device.wait_ms_max: found 'nan'"},
        BadCase{"api_no_port", top("api: {bind: localhost}\n" + std::string(rest)),
                "api.bind: found 'localhost'"},
        BadCase{"log_level", top("log: {level: loud}\n" + std::string(rest)), "log.level: found 'loud'"},
        BadCase{"log_format", top("log: {format: xml}\n" + std::string(rest)), "log.format: found 'xml'"},
        BadCase{"streams_a_list", "streams: [a]\n" + std::string(rest), "streams: found a list"},
        BadCase{"streams_empty", "streams: {}\n" + std::string(rest), "streams: found a map"},
        BadCase{"stream_name", "streams: {'a b': {learn: {rows: 10}}}\n" + std::string(rest),
                "allowed a name of letters"},
        BadCase{"stream_twice",
                "streams:\n  s: {learn: {rows: 10}}\n  s: {learn: {rows: 10}}\n" + std::string(rest),
                "a second time"},
        BadCase{"key_twice",
                "streams:\n  s:\n    learn: {rows: 10}\n    learn: {rows: 20}\n" + std::string(rest),
                "streams.s.learn: found the key a second time"},
        BadCase{"neither_model_nor_learn", stream("    entity: e\n"),
                "found neither models nor learn nor series, allowed one of them"},
        BadCase{"series_no_map", stream("    series: latency\n"), "s.series: found 'latency', allowed a map"},
        BadCase{"series_of_nothing", stream("    series: {warm_up: 100}\n"),
                "s.series.values: found nothing, allowed a field name, or a list of them"},
        BadCase{"series_empty", stream("    series: {values: []}\n"), "s.series.values: found a list"},
        BadCase{"series_a_list", stream("    series: {values: [[x]]}\n"),
                "s.series.values: found a list, allowed a field name"},
        BadCase{"series_twice", stream("    series: {values: [x, y, x]}\n"),
                "s.series.values: found 'x' a second time, allowed each field once"},
        BadCase{"series_unknown_key", stream("    series: {values: [x], warmup: 100}\n"),
                "s.series.warmup: found an unknown key, allowed warm_up, threshold,"},
        BadCase{"series_near_key", stream("    series: {values: [x], warmup: 100}\n"),
                "(did you mean 'warm_up'?)"},
        BadCase{"series_warm_up", stream("    series: {values: [x], warm_up: 19}\n"),
                "s.series.warm_up: found 19, allowed a whole number from 20 to 1000000"},
        BadCase{"series_threshold", stream("    series: {values: [x], threshold: high}\n"),
                "s.series.threshold: found high, allowed a number"},
        BadCase{"series_entities", stream("    series: {values: [x], entities_max: 0}\n"),
                "s.series.entities_max: found '0'"},
        BadCase{"series_missing", stream("    series: {values: [x], missing: skipp}\n"),
                "s.series.missing: found 'skipp', allowed refuse, skip (did you mean 'skip'?)"},
        BadCase{"series_of_no_field", stream("    fields: [xx, y]\n    series: {values: [x]}\n"),
                "s.series.values: found 'x', allowed a field of numbers, of xx, y (did you mean 'xx'?)"},
        BadCase{"series_of_text", stream("    fields: [{x: text}, y]\n    series: {values: x}\n"),
                "s.series.values: found 'x', allowed a field of numbers, of y"},
        BadCase{"series_and_learn", stream("    learn: {rows: 10}\n    series: {values: x}\n"),
                "s.learn: found 'learn' beside series, allowed fields, entity, time, id beside series"},
        BadCase{"series_and_decide", stream("    decide: {false_alarm_rate: 0.1}\n    series: {values: x}\n"),
                "s.decide: found 'decide' beside series"},
        BadCase{"series_and_windows", stream("    entities_max: 5\n    series: {values: x}\n"),
                "s.entities_max: found 'entities_max' beside series"},
        BadCase{"learn_rows", stream("    learn: {rows: 1}\n"), "learn.rows: found '1'"},
        BadCase{"learn_both", stream("    learn: {rows: 10, for: 1m}\n"), "learn.for: found rows and for"},
        BadCase{"learn_for", stream("    learn: {for: 10}\n"), "learn.for: found '10'"},
        BadCase{"learn_setting", stream("    learn: {rows: 10, set: {kk: 5}}\n"), "learn.set.kk: found"},
        BadCase{"auto_setting", stream("    learn: {rows: 10, detector: auto, set: {trees: 5}}\n"),
                "learn.set.trees: found an unknown setting, allowed fit_s_max, event_us_max, calibration"},
        BadCase{"auto_budget", stream("    learn: {rows: 10, detector: auto, set: {fit_s_max: 0}}\n"),
                "learn.set.fit_s_max: found 0, allowed a number from 0.001 to 1000000"},
        BadCase{"learn_setting_value", stream("    learn: {rows: 10, set: {k: many}}\n"),
                "learn.set.k: found"},
        BadCase{"learn_from_nothing", stream("    learn: {rows: 10}\n"),
                "lanner.yaml:3: streams.s.learn: found neither features nor fields of numbers"},
        BadCase{"learn_from_text", stream("    fields: [{x: text}]\n    learn: {rows: 10}\n"),
                "streams.s.learn: found neither features nor fields of numbers"},
        BadCase{"models_and_learn",
                stream("    fields: [x]\n    models: [{file: x}]\n    learn: {rows: 10}\n"),
                "lanner.yaml:5: streams.s.learn: found both models and learn, allowed one of them"},
        BadCase{"refit_word", stream("    fields: [x]\n    learn: {refit: often}\n"),
                "learn.refit: found 'often', allowed a map, a duration from 1s"},
        BadCase{"refit_when", stream("    fields: [x]\n    learn: {refit: {rows: 500}}\n"),
                "learn.refit: found neither every nor on_drift, allowed one of them, or both"},
        BadCase{"refit_on", stream("    fields: [x]\n    learn: {refit: {every: 1d, on_drift: fti}}\n"),
                "learn.refit.on_drift: found 'fti', allowed say, calibrate, fit (did you mean 'fit'?)"},
        BadCase{"refit_rows", stream("    fields: [x]\n    learn: {refit: {every: 1d, rows: 50}}\n"),
                "learn.refit.rows: found '50', allowed a whole number from 100"},
        BadCase{"refit_of_two",
                stream("    models: [{file: a, refit: 1d}, {file: b, refit: {every: 1d, save: c}}]\n"),
                "models.refit: found a second model with refit, allowed one in each stream"},
        BadCase{"refit_over_the_file", stream("    models: [{file: a, refit: {every: 1d, save: a}}]\n"),
                "models.refit.save: found 'a', allowed another path than `file`"},
        BadCase{"refit_of_what_was_learned",
                stream("    fields: [x]\n    learn: {refit: {every: 1d, save: c}}\n"),
                "learn.refit.save: found an unknown key"},
        BadCase{"refit_of_a_file_on_what",
                stream("    drift: off\n    models: [{file: a, refit: {on_drift: fit}}]\n"),
                "streams.s.drift: found 'off', though models.refit waits for a drift, allowed watch"},
        BadCase{"refit_on_what",
                stream("    fields: [x]\n    drift: off\n    learn: {refit: {on_drift: fit}}\n"),
                "streams.s.drift: found 'off', though learn.refit waits for a drift, allowed watch"},
        BadCase{"models_a_map", stream("    models: {file: x}\n"), "models: found a map"},
        BadCase{"model_no_file", stream("    models: [{role: active}]\n"), "models.file: found nothing"},
        BadCase{"model_role", stream("    models: [{file: x, role: boss}]\n"), "models.role: found 'boss'"},
        BadCase{"model_twice", stream("    models: [{file: x}, {file: x}]\n"),
                "models.name: found 'x' a second time"},
        BadCase{"decide_nothing", stream("    learn: {rows: 10}\n    decide: {}\n"),
                "decide: found a map, allowed one of"},
        BadCase{
            "decide_both",
            stream("    learn: {rows: 10}\n    decide: {false_alarm_rate: .1, false_alarms_per_day: 3}\n"),
            "decide: found a map, allowed one of"},
        BadCase{"decide_fdr", stream("    learn: {rows: 10}\n    decide: {false_discovery_rate: 1}\n"),
                "s.decide.false_discovery_rate: found '1'"},
        BadCase{"decide_memory",
                stream("    learn: {rows: 10}\n    decide: {false_alarm_rate: .1, memory: 500}\n"),
                "memory with false_discovery_rate alone"},
        BadCase{"decide_day_without_time",
                stream("    learn: {rows: 10}\n    decide: {false_alarms_per_day: 3}\n"),
                "found a budget per day in a stream with no time"},
        BadCase{"features_a_map", stream("    learn: {rows: 10}\n    features: {a: b}\n"),
                "features: found a map"},
        BadCase{"feature_kind", stream("    learn: {rows: 10}\n    features: [{a: {log2p: x}}]\n"),
                "did you mean 'log1p'?"},
        BadCase{"feature_two_kinds",
                stream("    learn: {rows: 10}\n    features: [{a: {log1p: x, identity: x}}]\n"),
                "found a second kind"},
        BadCase{"feature_no_field", stream("    learn: {rows: 10}\n    features: [{a: {log1p: }}]\n"),
                "log1p: found nothing"},
        BadCase{"feature_twice", stream("    learn: {rows: 10}\n    features: [a, a]\n"),
                "features.a: found the name a second time"},
        BadCase{"feature_scale",
                stream("    learn: {rows: 10}\n    features: [{a: {identity: x, scale: zscore}}]\n"),
                "features.a.scale: found 'zscore'"},
        BadCase{"feature_missing",
                stream("    learn: {rows: 10}\n    features: [{a: {identity: x, missing: drop}}]\n"),
                "features.a.missing: found 'drop'"},
        BadCase{"window_without_entity",
                stream("    time: t\n    learn: {rows: 10}\n    features: [{a: {count: {window: 1m}}}]\n"),
                "found a window in a stream with no entity"},
        BadCase{"window_without_time",
                stream("    entity: e\n    learn: {rows: 10}\n    features: [{a: {count: {window: 1m}}}]\n"),
                "count in a stream with no time"},
        BadCase{"window_length",
                stream("    entity: e\n    time: t\n    learn: {rows: 10}\n    features: [{a: {count: "
                       "{window: 5}}}]\n"),
                "window: found '5'"},
        BadCase{"window_key",
                stream("    entity: e\n    time: t\n    learn: {rows: 10}\n    features: [{a: {mean: {field: "
                       "x, windw: 5m}}}]\n"),
                "mean.windw: found an unknown key"},
        BadCase{"field_of_two_kinds",
                stream("    learn: {rows: 10}\n    features: [{a: {identity: x}}, {b: {rarity: x}}]\n"),
                "allowed each field as a number or as text"},
        BadCase{"field_not_declared",
                stream("    learn: {rows: 10}\n    fields: [x]\n    features: [{a: {identity: y}}]\n"),
                "found the field 'y'"},
        BadCase{"field_of_wrong_kind",
                stream("    learn: {rows: 10}\n    fields: [x]\n    features: [{a: {rarity: x}}]\n"),
                "found 'x' used as text"},
        BadCase{"two_documents",
                stream("    learn: {rows: 10}\n    fields: [x]\n") + "---\nlog: {level: debug}\n",
                "found a second document, allowed one"},
        BadCase{"fields_a_map", stream("    learn: {rows: 10}\n    fields: {x: text}\n"),
                "fields: found a map"},
        BadCase{"field_kind", stream("    learn: {rows: 10}\n    fields: [{x: colour}]\n"),
                "fields: found a map"},
        BadCase{"field_twice", stream("    learn: {rows: 10}\n    fields: [x, x]\n"), "'x' a second time"}),
    [](const auto& info) { return info.param.name; });

TEST(Config, TheFieldOfSegmentsIsReadFromEventsThoughNoFeatureDoes) {
  const auto fields = [](const std::string& lines) {
    return parse_config("streams:\n  s:\n" + lines + rest, "lanner.yaml").streams.at(0).schema.fields;
  };
  const std::string learn = "    learn: {rows: 100, detector: histogram, set: {segment: shop}}\n";
  const std::vector<engine::FieldSpec> with_shop{{"amount", engine::ColumnKind::number},
                                                 {"shop", engine::ColumnKind::text}};
  EXPECT_EQ(fields("    features: [amount]\n" + learn), with_shop);
  EXPECT_EQ(fields("    fields: [amount, {shop: text}]\n" + learn), with_shop);
  EXPECT_EQ(fields("    features: [amount]\n    entity: shop\n" + learn), std::vector{with_shop[0]});
  EXPECT_EQ(fields("    features: [amount]\n"
                   "    models: [{file: m.lanner, fit: {detector: histogram, set: {segment: shop}}}]\n"),
            with_shop);
  for (const char* wrong :
       {"    fields: [amount]\n", "    fields: [amount, shop]\n", "    features: [amount, shop]\n"})
    EXPECT_THAT(
        faults_of_stream(wrong + learn),
        HasSubstr("streams.s.learn.set.segment: found 'shop', allowed a field of text, or the entity"));
}

TEST(Config, AMissingFileIsSaid) {
  EXPECT_THROW(read_config("/nowhere/lanner.yaml"), InvalidConfig);
  EXPECT_THROW(read_config("/"), InvalidConfig);
}

TEST(Config, FaultsOfOneStreamDoNotHideAnother) {
  EXPECT_THAT(faults_of_stream("    learn: {rows: 10}\n    decid: {}\n"),
              HasSubstr("did you mean 'decide'?"));
}

TEST(Config, WhatHasNoFaultIsReadBesideWhatHas) {
  const PartialConfig partial = parse_partly(R"(streams:
  broken: {models: [{file: a}], decide: {false_alarm_rate: 2}}
  whole: {models: [{file: b}]}
ingest:
  - kafka: {}
  - zeromq: {bind: "127.0.0.1:1"}
  - zeromq: {bind: "tcp://127.0.0.1:2", delivery: ack}
device: {require: cuda, slots: 1}
)",
                                             "lanner.yaml");
  EXPECT_EQ(partial.errors.size(), 5u);
  ASSERT_EQ(partial.config.streams.size(), 1u);
  EXPECT_EQ(partial.config.streams[0].name, "whole");
  ASSERT_EQ(partial.config.ingest.size(), 3u);
  EXPECT_EQ(partial.config.ingest[1].bind, "");
  EXPECT_EQ(partial.config.ingest[2].bind, "tcp://127.0.0.1:2");
  EXPECT_TRUE(partial.config.device.required);
}

TEST(Config, LearningFromFieldsOrFeaturesIsFine) {
  EXPECT_EQ(faults_of_stream("    fields: [x, {y: text}]\n    learn: {rows: 10}\n"), "");
  EXPECT_EQ(faults_of_stream("    features: [{a: {rarity: x}}]\n    learn: {rows: 10}\n"), "");
}

TEST(Config, ADetectorMayBeChosen) {
  EXPECT_EQ(faults_of_stream("    fields: [x]\n    learn: {rows: 10, detector: auto, set: {fit_s_max: 5}}\n"),
            "");
  EXPECT_EQ(faults_of_stream("    fields: [x]\n    models: [{file: a.lanner, fit: {detector: auto}}]\n"), "");
}

TEST(Config, AFaultFoundAfterReadingIsGivenItsLine) {
  const auto file =
      std::filesystem::temp_directory_path() / ("lanner-locate-" + std::to_string(::getpid()) + ".yaml");
  std::ofstream(file) << R"(streams:
  a:
    models: []
  a.b:
    models:
      - file: one
      - role: shadow
        file: two
ingest: [{zeromq: {bind: x}},
         {zeromq: {bind: y}}]
)";
  const auto line = [&](const char* key, const std::filesystem::path& path) {
    std::vector<ConfigError> faults{{.key = key, .found = "X", .allowed = "Y"}};
    locate(faults, path);
    return faults[0].text();
  };
  const std::string place = file.string() + ":";
  EXPECT_EQ(line("streams.a.b.models[0].file", file),
            place + "6: streams.a.b.models.file: found X, allowed Y");
  EXPECT_EQ(line("streams.a.b.models[1].file", file),
            place + "8: streams.a.b.models.file: found X, allowed Y");
  EXPECT_EQ(line("ingest[1].zeromq.bind", file), place + "10: ingest.zeromq.bind: found X, allowed Y");
  EXPECT_EQ(line("streams.a.models[7].file", file), place + "3: streams.a.models.file: found X, allowed Y")
      << "not in the file: what would hold it";
  EXPECT_EQ(line("device.require", file), place + "1: device.require: found X, allowed Y");
  EXPECT_EQ(line("ingest[0].zeromq.bind", ""), "ingest.zeromq.bind: found X, allowed Y") << "no file";
  std::filesystem::remove(file);
}

TEST(Config, TheReferenceSaysWhatIsRequiredAndIsMarkdown) {
  const std::string text = config_reference();
  EXPECT_THAT(text, HasSubstr("| `publish` | a list of publishers | none |"));
  EXPECT_THAT(text, HasSubstr("| `<producer>:<seq>:<row>` |")) << "unquoted it would be HTML";
}

TEST(Config, TheReferenceNamesEveryKey) {
  const std::string text = config_reference();
  for (const char* key : {"`streams`", "`false_alarms_per_day`", "`wait_ms_max`", "`rarity`",
                          "nearest_neighbours", "`calibration`"})
    EXPECT_THAT(text, HasSubstr(key));
}

TEST(Config, TheReferenceInTheDocsIsCurrent) {
  std::ifstream page(LANNER_SOURCE_DIR "/docs/configuration.md");
  std::stringstream text;
  text << page.rdbuf();
  ASSERT_TRUE(page) << "docs/configuration.md can't be read";
  const std::string reference = config_reference();
  EXPECT_TRUE(text.str().find(reference) != std::string::npos)
      << "docs/configuration.md differs from the tables that validate. From the repository's root:\n"
         "  { sed '/^# Configuration reference$/,$d' docs/configuration.md; "
         "build/release/bin/lanner check --reference; } >docs/configuration.new && "
         "mv docs/configuration.new docs/configuration.md";
}

TEST(Quantity, DurationsSizesAndAddresses) {
  EXPECT_EQ(parse_duration_ns("1.5h"), 5'400'000'000'000);
  EXPECT_EQ(parse_duration_ns("500ms"), 500'000'000);
  for (const char* wrong : {"", "5", "h", "-1s", "1e30d", "5 parsecs"})
    EXPECT_EQ(parse_duration_ns(wrong), std::nullopt) << wrong;
  EXPECT_EQ(parse_cores("3"), std::vector<int>{3});
  EXPECT_EQ(parse_cores("0,2-4,9"), (std::vector<int>{0, 2, 3, 4, 9}));
  for (const char* wrong :
       {"", "a", "1,", ",1", "2-1", "3,3", "3,1", "1-", "-1", "1024", "0-99999999999999999999", "1 2"})
    EXPECT_EQ(parse_cores(wrong), std::nullopt) << wrong;
  EXPECT_EQ(parse_bytes("64 KiB"), 65536u);
  EXPECT_EQ(parse_bytes("1.5MiB"), 1572864u);
  for (const char* wrong : {"", "KiB", "-5", "1.5", "9e30"})
    EXPECT_EQ(parse_bytes(wrong), std::nullopt) << wrong;
  EXPECT_EQ(parse_host_port("[::1]:80")->first, "::1");
  EXPECT_EQ(parse_host_port("127.0.0.1:8080")->second, 8080);
  for (const char* wrong : {"", ":80", "host", "host:", "host:70000", "::1:80"})
    EXPECT_EQ(parse_host_port(wrong), std::nullopt) << wrong;
}

}  // namespace
}  // namespace lanner::host
