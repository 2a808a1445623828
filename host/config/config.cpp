#include "host/config/config.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <set>
#include <span>
#include <sstream>

#include "engine/choose/choose.hpp"
#include "engine/detectors/detector.hpp"
#include "engine/model/model.hpp"
#include "engine/series/series_settings.hpp"
#include "host/config/quantity.hpp"

namespace lanner::host {
namespace {

using engine::nearest_name;

// A key of a section: what validation, defaults and the reference documentation are made from.
struct Key {
  std::string_view name, allowed, fallback, summary;
};

constexpr Key top_keys[] = {
    {"streams", "a map of stream names", "",
     "What is scored: each stream with its events' fields, features, models and decision rule."},
    {"ingest", "a list of sources", "", "Where events come from."},
    {"publish", "a list of publishers", "none", "Where scores, alerts and status are published."},
    {"results", "a map", "none", "Files of scored rows, synced before a batch is acknowledged."},
    {"device", "a map", "the CPU", "What scores."},
    {"cores", "a map", "wherever the system likes", "Which cores threads are kept on."},
    {"api", "a map", "none", "HTTP: health, status, Prometheus metrics."},
    {"log", "a map", "text at level info", "Structured logs on standard error."},
};
constexpr Key stream_keys[] = {
    {"fields", "a list of field names, or {NAME: number | text}", "what the features mention, in that order",
     "The events' fields; a tensor's columns in order."},
    {"entity", "a field name", "none",
     "What windows are kept for: a customer, a host. Published with every row."},
    {"time", "a field name", "none",
     "The event time; integers are nanoseconds since 1970 UTC, text is ISO 8601."},
    {"id", "a field name", "`<producer>:<seq>:<row>`", "The event's own identifier."},
    {"features", "a list of features", "every field as it is",
     "How a row is computed from an event; see features.md."},
    {"entities_max", "a whole number from 1", "100000",
     "Entities whose windows are kept; the one unseen longest makes way."},
    {"window_events_max", "a whole number from 1", "4096", "Events kept in a window of one entity."},
    {"models", "a list of models", "none", "Models that score the stream."},
    {"learn", "a map", "none", "Start with no model: collect, fit, calibrate and swap in."},
    {"series", "a map", "none", "Watch fields as series, row by row, with no model; see series.md."},
    {"decide", "one of false_alarm_rate, false_alarms_per_day, false_discovery_rate",
     "{false_alarm_rate: 0.001}", "The false-alarm budget."},
    {"drift", "watch, off", "watch",
     "watch: say so where the data stops looking like the calibration rows; see calibration.md."},
};
constexpr Key model_keys[] = {
    {"file", "a path", "", "The model file, from this configuration's folder."},
    {"name", "text", "the file's name without its ending", "The name it is published under."},
    {"role", "active, shadow", "active", "active: raises alerts. shadow: scored and published beside it."},
    {"fit", "a map", "none", "How `lanner fit --config` fits it."},
    {"refit", "a map, a duration", "none",
     "Fit it again on recent events, as it was fitted; of one model of the stream. A duration: `every`."},
};
constexpr Key fit_keys[] = {
    {"detector", "a detector's name, auto, multivariate_series", "nearest_neighbours",
     "See `lanner fit --help`; auto chooses."},
    {"seed", "a whole number from 0", "1", "Of everything random in the fit."},
    {"set", "a map of settings", "{}",
     "The detector's settings, and calibration, scale, trim, extrapolate, segment, segment_rows."},
};
constexpr Key learn_keys[] = {
    {"rows", "a whole number from 2", "5000", "Rows to learn from."},
    {"for", "a duration", "none", "Learn for this long instead of a number of rows."},
    {"detector", "a detector's name, auto", "nearest_neighbours", "What is fitted; auto chooses."},
    {"seed", "a whole number from 0", "1", "Of everything random in the fit."},
    {"set", "a map of settings", "{}",
     "The detector's settings, and calibration, scale, trim, extrapolate, segment, segment_rows."},
    {"save", "a path", "kept in memory", "Where the fitted model is written."},
    {"name", "text", "the stream's name", "The name it is published under."},
    {"refit", "a map, a duration", "none",
     "Fit again on recent events; the new model takes over if it does no worse. A duration: `every`."},
};
constexpr Key refit_keys[] = {
    {"every", "a duration from 1s", "none", "After so much event time (without event times: time)."},
    {"on_drift", "say, calibrate, fit", "say",
     "Once the data stops looking like the calibration rows. calibrate: the detector stays, its p-values are "
     "renewed."},
    {"rows", "a whole number from 100", "as many as were learned from",
     "Recent events that it needs; four fifths are fitted on, the rest compared on."},
};
constexpr Key model_refit_keys[] = {
    {"every", "a duration from 1s", "none", "After so much event time (without event times: time)."},
    {"on_drift", "say, calibrate, fit", "say",
     "Once the data stops looking like the calibration rows. calibrate: the detector stays, its p-values are "
     "renewed."},
    {"rows", "a whole number from 100", "5000",
     "Recent events that it needs; four fifths are fitted on, the rest compared on."},
    {"save", "a path", "kept in memory",
     "Where a model that took over is written, and read at a start while `file` is the one it came from."},
};
constexpr Key series_keys[] = {
    {"values", "a field name, or a list of them", "", "Fields of numbers: a series each, for each entity."},
    {"entities_max", "a whole number from 1", "1000",
     "Entities whose series are kept, about 160 kB a series; the one unseen longest makes way."},
    {"missing", "refuse, skip", "refuse",
     "What becomes of a row without a value. skip: it scores 0, and the series goes on as if it had never "
     "been."},
};
constexpr Key feature_keys[] = {
    {"scale", "none, standard, robust, minmax", "none", "Learned from the training rows."},
    {"missing", "refuse, mean, median, a number", "refuse", "What a missing value does to its row."},
    {"categories_max", "a whole number from 1 to 10000", "32",
     "one_hot: columns before the rest become 'other'."},
};
constexpr Key zeromq_ingest_keys[] = {
    {"bind", "a ZeroMQ endpoint (tcp://HOST:PORT, ipc://PATH)", "", "Where producers connect."},
    {"delivery", "acked, lossy", "acked",
     "acked: ROUTER, nothing acknowledged is lost. lossy: PULL, fastest."},
    {"durable", "scored, none", "scored", "acked: what must be on disk before the ack."},
    {"credit_bytes", "a size", "64 MiB", "Bytes that a producer may have in flight."},
    {"batch_bytes_max", "a size from 1 KiB to 1 GiB", "16 MiB", "A larger batch is refused."},
};
constexpr Key zeromq_publish_keys[] = {
    {"bind", "a ZeroMQ endpoint (tcp://HOST:PORT, ipc://PATH)", "", "Where subscribers connect."},
    {"queue_messages_max", "a whole number from 1", "10000",
     "Messages waiting for one slow subscriber, beyond which it loses some; counted."},
};
constexpr Key source_keys[] = {{"zeromq", "a map", "", "A ZeroMQ socket."}};
constexpr Key results_keys[] = {
    {"directory", "a path", "", "Created if missing."},
    {"format", "csv, arrow", "csv", "arrow: Arrow IPC files."},
    {"keep", "all, flagged, none", "all",
     "Which rows are written; what isn't kept isn't part of the durable point."},
    {"rotate_bytes", "a size from 1 KiB", "256 MiB", "A new file after this much."},
    {"rotate_every", "a duration from 1s", "1h", "A new file after this long."},
};
constexpr Key device_keys[] = {
    {"prefer", "cpu, cuda, emulated", "cpu",
     "Used if it is there (emulated: a GPU made of the CPU, for tests; very slow)."},
    {"otherwise", "cpu", "cpu", "Used if it isn't; logged."},
    {"require", "cpu, cuda, emulated", "none", "Instead of prefer: refuse to start without it."},
    {"batch_max", "a whole number from 1 to 1048576", "8192", "Rows a slot holds."},
    {"wait_ms_max", "a number from 0 to 10000", "2",
     "How long a slot may wait to fill, while others are being scored."},
    {"slots", "a whole number from 2 to 256", "4", "Slots in the ring, allocated at start."},
    {"threads", "a whole number from 1 to 1024", "LANNER_THREADS, or the CPUs there are",
     "Threads that score."},
    {"offload", "measured, always", "measured",
     "Which slots a GPU gets: those that it is measured to score sooner than the CPU, or all."},
    {"watchdog_s", "a number from 0.01 to 3600", "10", "What takes a GPU longer is taken to hang."},
    {"when_lost", "stay, restart", "stay",
     "A GPU that is lost to this process: stay on the CPU; or drain and end with status 3, to be started "
     "again."},
};
constexpr Key cores_keys[] = {
    {"intake", "core numbers, as 0 or 2-5,8", "any", "Of the thread that receives, decodes and stages."},
    {"score", "core numbers, as 0 or 2-5,8", "any",
     "Of the thread that scores and those that help it, as many as cores where `device.threads` isn't set."},
    {"outlet", "core numbers, as 0 or 2-5,8", "any", "Of the thread that publishes and stores."},
    {"sockets", "core numbers, as 0 or 2-5,8", "any", "Of ZeroMQ's own threads."},
};
constexpr Key api_keys[] = {
    {"bind", "HOST:PORT", "", "Where HTTP is served: /health/live, /health/ready, /status, /metrics."}};
constexpr Key log_keys[] = {
    {"level", "trace, debug, info, warn, error", "info", "The least that is logged."},
    {"format", "text, json", "text", "json: one object a line."},
};
constexpr Key decide_keys[] = {
    {"false_alarm_rate", "a number above 0 and below 1", "0.001", "Flag where the p-value is at most this."},
    {"false_alarms_per_day", "a number above 0", "none", "A budget in event time; needs `time`."},
    {"false_discovery_rate", "a number above 0 and below 1", "none",
     "At most this share of the flags is false, on average over the recent ones."},
    {"memory", "100 to 1e9 events", "10000", "How far back false_discovery_rate remembers its flags."},
};

std::string in_quotes(const YAML::Node& node) {
  if (!node.IsDefined() || node.IsNull()) return "nothing";
  if (node.IsScalar()) return "'" + node.Scalar() + "'";
  return node.IsMap() ? "a map" : "a list";
}

class Reader {
 public:
  Reader(std::string file, std::filesystem::path folder)
      : file_(std::move(file)), folder_(std::move(folder)) {}

  std::vector<ConfigError> errors;

  void fault(const YAML::Node& at, const std::string& key, std::string found, std::string allowed,
             std::string nearest = "") {
    const int line = at.IsDefined() && !at.Mark().is_null() ? at.Mark().line + 1 : line_;
    errors.push_back({file_, line, key, std::move(found), std::move(allowed), std::move(nearest)});
  }

  // A map whose keys are all known. Keeps the place for faults about keys that are missing.
  class Section {
   public:
    Section(Reader& reader, const YAML::Node& node, std::string path, std::span<const Key> keys,
            std::span<const std::string_view> more = {})
        : reader_(reader),
          path_(std::move(path)),
          keys_(keys),
          node_(node.IsMap() ? node : YAML::Node(YAML::NodeType::Undefined)) {
      if (!node.IsMap()) {
        if (!node.IsNull()) reader.fault(node, path_.empty() ? "(top)" : path_, in_quotes(node), "a map");
        return;
      }
      reader.line_ = node.Mark().line + 1;
      std::vector<std::string_view> names(more.begin(), more.end());
      for (const Key& key : keys) names.push_back(key.name);
      std::set<std::string> seen;
      for (const auto& entry : node) {
        const std::string name = entry.first.IsScalar() ? entry.first.Scalar() : "";
        if (std::find(names.begin(), names.end(), name) == names.end()) {
          std::string allowed;
          for (std::string_view known : names) allowed += (allowed.empty() ? "" : ", ") + std::string(known);
          reader.fault(entry.first, at(name), "an unknown key", allowed, nearest_name(name, names));
        } else if (!seen.insert(name).second) {
          reader.fault(entry.first, at(name), "the key a second time", "each key once");
        }
      }
    }

    std::string at(std::string_view name) const {
      return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
    }
    bool has(std::string_view name) const { return node_.IsMap() && node_[std::string(name)].IsDefined(); }
    YAML::Node operator[](std::string_view name) const {
      if (!node_.IsMap()) return YAML::Node(YAML::NodeType::Undefined);
      return YAML::Node(node_)[std::string(name)];
    }
    std::string_view allowed(std::string_view name) const {
      for (const Key& key : keys_)
        if (key.name == name) return key.allowed;
      return "";
    }
    void fault(std::string_view name, std::string found) const {
      reader_.fault((*this)[name], at(name), std::move(found), std::string(allowed(name)));
    }
    void missing(std::string_view name) const {
      reader_.fault(node_, at(name), "nothing", std::string(allowed(name)));
    }

    void text(std::string_view name, std::string& into) const {
      if (!has(name)) return;
      const YAML::Node value = (*this)[name];
      if (!value.IsScalar() || value.Scalar().empty()) return fault(name, in_quotes(value));
      into = value.Scalar();
    }
    void path(std::string_view name, std::filesystem::path& into) const {
      std::string text_value;
      text(name, text_value);
      if (!text_value.empty()) into = reader_.folder_ / text_value;
    }
    template <class T>
    void integer(std::string_view name, T& into, std::uint64_t least, std::uint64_t most) const {
      if (!has(name)) return;
      const YAML::Node value = (*this)[name];
      std::uint64_t number = 0;
      if (!value.IsScalar() || !parse_whole(value.Scalar(), number) || number < least || number > most)
        return fault(name, in_quotes(value));
      into = static_cast<T>(number);
    }
    void number(std::string_view name, double& into, double least, double most, bool open = false) const {
      if (!has(name)) return;
      const YAML::Node value = (*this)[name];
      double parsed = 0;
      if (!value.IsScalar() || !parse_number(value.Scalar(), parsed) || parsed < least || parsed > most ||
          (open && (parsed == least || parsed == most)))
        return fault(name, in_quotes(value));
      into = parsed;
    }
    void bytes(std::string_view name, std::uint64_t& into, std::uint64_t least, std::uint64_t most) const {
      if (!has(name)) return;
      const YAML::Node value = (*this)[name];
      const auto parsed = value.IsScalar() ? parse_bytes(value.Scalar()) : std::nullopt;
      if (!parsed || *parsed < least || *parsed > most) return fault(name, in_quotes(value));
      into = *parsed;
    }
    void duration(std::string_view name, std::int64_t& into_ns, std::int64_t least_ns) const {
      if (!has(name)) return;
      const YAML::Node value = (*this)[name];
      const auto parsed = value.IsScalar() ? parse_duration_ns(value.Scalar()) : std::nullopt;
      if (!parsed || *parsed < least_ns) return fault(name, in_quotes(value));
      into_ns = *parsed;
    }
    void cores(std::string_view name, std::vector<int>& into) const {
      if (!has(name)) return;
      const YAML::Node value = (*this)[name];
      const auto parsed = value.IsScalar() ? parse_cores(value.Scalar()) : std::nullopt;
      if (!parsed) return fault(name, in_quotes(value));
      into = *parsed;
    }
    template <class T>
    void choice(std::string_view name, T& into,
                std::initializer_list<std::pair<std::string_view, T>> choices) const {
      if (!has(name)) return;
      const YAML::Node value = (*this)[name];
      const std::string word = value.IsScalar() ? value.Scalar() : "";
      std::vector<std::string_view> words;
      for (const auto& [text_value, meaning] : choices) {
        words.push_back(text_value);
        if (word == text_value) {
          into = meaning;
          return;
        }
      }
      reader_.fault(value, at(name), in_quotes(value), std::string(allowed(name)), nearest_name(word, words));
    }

   private:
    Reader& reader_;
    std::string path_;
    std::span<const Key> keys_;
    // Constructed, never assigned: yaml-cpp would merge the two documents' memory, node by node.
    YAML::Node node_;
  };

  Config read(const YAML::Node& root) {
    Config config;
    const Section top(*this, root, "", top_keys);
    if (!root.IsMap() || !top.has("streams")) fault(root, "streams", "nothing", "a map of stream names");
    read_streams(top["streams"], config);
    read_sources(top["ingest"], config);
    read_publishers(top["publish"], config);
    if (top.has("results")) read_results(top["results"], config);
    if (top.has("device")) read_device(top["device"], config.device);
    if (top.has("cores")) read_cores(top["cores"], config);
    if (top.has("api")) {
      const Section api(*this, top["api"], "api", api_keys);
      if (!api.has("bind")) api.missing("bind");
      api.text("bind", config.api.bind);
      if (!config.api.bind.empty() && !parse_host_port(config.api.bind)) {
        api.fault("bind", "'" + config.api.bind + "'");
        config.api.bind.clear();
      }
    }
    if (top.has("log")) {
      const Section log(*this, top["log"], "log", log_keys);
      log.choice<std::string>(
          "level", config.log.level,
          {{"trace", "trace"}, {"debug", "debug"}, {"info", "info"}, {"warn", "warn"}, {"error", "error"}});
      log.choice("format", config.log.json, {{"text", false}, {"json", true}});
    }
    return config;
  }

 private:
  // A named list: yaml "- name" or "- {name: ...}" items.
  void read_streams(const YAML::Node& node, Config& config) {
    if (!node.IsDefined()) return;
    if (!node.IsMap() || node.size() == 0)
      return fault(node, "streams", in_quotes(node), "a map of stream names");
    std::set<std::string> names;
    for (const auto& entry : node) {
      const std::size_t before = errors.size();
      StreamConfig stream;
      stream.name = entry.first.IsScalar() ? entry.first.Scalar() : "";
      const std::string path = "streams." + stream.name;
      const bool plain =
          !stream.name.empty() && std::all_of(stream.name.begin(), stream.name.end(), [](unsigned char c) {
            return std::isalnum(c) || c == '-' || c == '_' || c == '.';
          });
      if (!plain)
        fault(entry.first, path, in_quotes(entry.first), "a name of letters, digits, '-', '_' and '.'");
      if (!names.insert(stream.name).second)
        fault(entry.first, path, "the name a second time", "each stream once");
      read_stream(entry.second, path, stream);
      if (errors.size() == before) config.streams.push_back(std::move(stream));
    }
  }

  void read_stream(const YAML::Node& node, const std::string& path, StreamConfig& stream) {
    const Section section(*this, node, path, stream_keys);
    std::string entity, time, id;
    section.text("entity", entity);
    section.text("time", time);
    section.text("id", id);
    section.integer("entities_max", stream.limits.entities_max, 1, 100'000'000);
    section.integer("window_events_max", stream.limits.events_max, 1, 1'000'000);
    bool features_fine = true;
    if (section.has("features")) {
      const std::size_t before = errors.size();
      read_features(section["features"], path + ".features", entity, time, stream.features);
      features_fine = errors.size() == before;
    }
    const std::size_t before_schema = errors.size();
    read_schema(section, path, entity, time, id, features_fine, stream);
    const bool schema_fine = features_fine && errors.size() == before_schema;
    if (section.has("models")) read_models(section["models"], path + ".models", stream);
    if (section.has("learn")) {
      const Section learn(*this, section["learn"], path + ".learn", learn_keys);
      LearnConfig& config = stream.learn.emplace();
      config.name = stream.name;
      if (learn.has("rows") && learn.has("for")) learn.fault("for", "rows and for");
      learn.integer("rows", config.rows, 2, 1'000'000'000);
      learn.duration("for", config.for_ns, 1'000'000);
      if (config.for_ns) config.rows = 0;
      read_fit(learn, path + ".learn", engine::all_parameters, config.fit);
      learn.path("save", config.save);
      learn.text("name", config.name);
      if (learn.has("refit")) {
        constexpr std::size_t least = 100;
        RefitConfig& refit = config.refit.emplace();
        if (config.rows > 0) refit.rows = std::max(config.rows, least);
        read_refit(learn["refit"], path + ".learn.refit", refit_keys, refit);
      }
      if (section.has("models"))
        fault(section["learn"], path + ".learn", "both models and learn", "one of them");
      else if (schema_fine && !any_to_learn_from(stream))
        fault(section["learn"], path + ".learn", "neither features nor fields of numbers",
              "one of them, to learn from");
    }
    for (std::size_t i = 0; i < stream.models.size(); ++i)
      if (const auto& fit = stream.models[i].fit)
        take_segment(fit->segment(), section["models"][i]["fit"],
                     path + ".models[" + std::to_string(i) + "].fit", section.has("fields"), stream.schema);
    if (stream.learn)
      take_segment(stream.learn->fit.segment(), section["learn"], path + ".learn", section.has("fields"),
                   stream.schema);
    if (section.has("series")) read_series(section, path, schema_fine, stream);
    if (stream.models.empty() && !stream.learn && !stream.series && errors_about(path) == 0)
      fault(node, path, "neither models nor learn nor series", "one of them");
    if (section.has("decide")) read_decide(section["decide"], path + ".decide", !time.empty(), stream);
    section.choice("drift", stream.watch_drift, {{"watch", true}, {"off", false}});
    const auto waits = [](const std::optional<RefitConfig>& refit) {
      return refit && refit->on_drift != OnDrift::say;
    };
    if (!stream.watch_drift && stream.learn && waits(stream.learn->refit))
      fault(section["drift"], path + ".drift", "'off', though learn.refit waits for a drift", "watch");
    if (!stream.watch_drift &&
        std::ranges::any_of(stream.models, [&](const ModelConfig& model) { return waits(model.refit); }))
      fault(section["drift"], path + ".drift", "'off', though models.refit waits for a drift", "watch");
  }

  void read_series(const Section& stream_section, const std::string& stream_path, bool schema_fine,
                   StreamConfig& stream) {
    SeriesConfig& config = stream.series.emplace();
    const YAML::Node node = stream_section["series"];
    const std::string path = stream_path + ".series";
    for (const std::string_view other :
         {"features", "models", "learn", "decide", "drift", "entities_max", "window_events_max"}) {
      if (stream_section.has(other))
        fault(stream_section[other], stream_section.at(other), "'" + std::string(other) + "' beside series",
              "fields, entity, time, id beside series");
    }
    const std::span<const engine::Parameter> table = engine::series_settings();
    std::vector<std::string_view> setting_names;
    for (const engine::Parameter& parameter : table) setting_names.push_back(parameter.name);
    const Section section(*this, node, path, series_keys, setting_names);
    section.integer("entities_max", config.entities_max, 1, 100'000'000);
    section.choice("missing", config.skips_missing, {{"refuse", false}, {"skip", true}});
    std::map<std::string, std::string> given;
    for (const std::string_view name : setting_names) {
      if (!section.has(name)) continue;
      const YAML::Node value = section[name];
      given[std::string(name)] = value.IsScalar() ? value.Scalar() : "";
    }
    const auto faults = engine::Settings::check(table, given);
    for (const auto& error : faults)
      fault(section[error.name], section.at(error.name), error.found, error.allowed, error.nearest);
    if (faults.empty()) config.settings = engine::Settings::parse(table, given);
    if (!section.has("values")) return section.missing("values");
    const YAML::Node values = section["values"];
    if (values.IsScalar() && !values.Scalar().empty()) {
      take_series_value(values, path + ".values", schema_fine, stream);
    } else if (values.IsSequence() && values.size() > 0) {
      for (const auto& value : values) take_series_value(value, path + ".values", schema_fine, stream);
    } else {
      return section.fault("values", in_quotes(values));
    }
    if (stream.schema.fields.empty())
      for (const std::string& value : config.values) stream.schema.fields.push_back({value});
  }

  void take_series_value(const YAML::Node& node, const std::string& path, bool schema_fine,
                         StreamConfig& stream) {
    const std::string value = node.IsScalar() ? node.Scalar() : "";
    std::vector<std::string>& values = stream.series->values;
    if (value.empty()) return fault(node, path, in_quotes(node), "a field name");
    if (std::ranges::find(values, value) != values.end())
      return fault(node, path, "'" + value + "' a second time", "each field once");
    values.push_back(value);
    if (!schema_fine || stream.schema.fields.empty()) return;
    std::vector<std::string_view> numbers;
    std::string allowed;
    for (const engine::FieldSpec& field : stream.schema.fields) {
      if (field.kind != engine::ColumnKind::number) continue;
      if (field.name == value) return;
      numbers.push_back(field.name);
      allowed += (allowed.empty() ? "" : ", ") + field.name;
    }
    fault(node, path, "'" + value + "'", "a field of numbers, of " + allowed, nearest_name(value, numbers));
  }

  void read_refit(const YAML::Node& node, const std::string& path, std::span<const Key> keys,
                  RefitConfig& config, std::filesystem::path* save = nullptr) {
    constexpr std::size_t least = 100;
    constexpr std::int64_t second = 1'000'000'000;
    if (node.IsScalar()) {
      const auto every = parse_duration_ns(node.Scalar());
      if (!every || *every < second) return fault(node, path, in_quotes(node), "a map, a duration from 1s");
      config.every_ns = *every;
      return;
    }
    const Section section(*this, node, path, keys);
    if (save) section.path("save", *save);
    section.duration("every", config.every_ns, second);
    section.choice("on_drift", config.on_drift,
                   {{"say", OnDrift::say}, {"calibrate", OnDrift::calibrate}, {"fit", OnDrift::fit}});
    section.integer("rows", config.rows, least, 10'000'000);
    if (node.IsMap() && !section.has("every") && config.on_drift == OnDrift::say && errors_about(path) == 0)
      fault(node, path, "neither every nor on_drift", "one of them, or both");
  }

  /// No feature reads the field of segments, which is read from events all the same.
  void take_segment(const std::string& field, const YAML::Node& node, const std::string& path, bool declared,
                    engine::Schema& schema) {
    if (field.empty() || field == schema.entity) return;
    const auto found = std::find_if(schema.fields.begin(), schema.fields.end(),
                                    [&](const auto& f) { return f.name == field; });
    if (found != schema.fields.end() && found->kind == engine::ColumnKind::text) return;
    if (found != schema.fields.end() || declared)
      return fault(node["set"]["segment"], path + ".set.segment", "'" + field + "'",
                   "a field of text, or the entity");
    if (!schema.fields.empty()) schema.fields.push_back({field, engine::ColumnKind::text});
  }

  static bool any_to_learn_from(const StreamConfig& stream) {
    const auto& fields = stream.schema.fields;
    return !stream.features.empty() || std::any_of(fields.begin(), fields.end(), [](const auto& field) {
      return field.kind == engine::ColumnKind::number;
    });
  }

  std::size_t errors_about(const std::string& path) const {
    return static_cast<std::size_t>(std::count_if(
        errors.begin(), errors.end(), [&](const ConfigError& e) { return e.key.starts_with(path); }));
  }

  void read_schema(const Section& section, const std::string& path, const std::string& entity,
                   const std::string& time, const std::string& id, bool features_fine, StreamConfig& stream) {
    stream.schema.entity = entity;
    stream.schema.time = time;
    stream.schema.id = id;
    if (features_fine && !stream.features.empty()) {
      try {
        stream.schema = engine::schema_of(stream.features, entity, time, id);
      } catch (const std::invalid_argument& error) {
        return fault(section["features"], path + ".features", error.what(),
                     "each field as a number or as text");
      }
    }
    if (!section.has("fields")) return;
    const YAML::Node fields = section["fields"];
    if (!fields.IsSequence() || fields.size() == 0) return section.fault("fields", in_quotes(fields));
    std::vector<engine::FieldSpec> declared;
    for (const auto& item : fields) {
      engine::FieldSpec field;
      if (item.IsScalar()) {
        field.name = item.Scalar();
      } else if (item.IsMap() && item.size() == 1 && item.begin()->second.IsScalar() &&
                 (item.begin()->second.Scalar() == "text" || item.begin()->second.Scalar() == "number")) {
        field.name = item.begin()->first.Scalar();
        if (item.begin()->second.Scalar() == "text") field.kind = engine::ColumnKind::text;
      } else {
        fault(item, path + ".fields", in_quotes(item), std::string(section.allowed("fields")));
        continue;
      }
      if (std::any_of(declared.begin(), declared.end(), [&](const auto& f) { return f.name == field.name; }))
        fault(item, path + ".fields", "'" + field.name + "' a second time", "each field once");
      declared.push_back(field);
    }
    std::vector<std::string_view> names;
    for (const auto& field : declared) names.push_back(field.name);
    for (const auto& needed : stream.schema.fields) {
      const auto found = std::find_if(declared.begin(), declared.end(),
                                      [&](const auto& f) { return f.name == needed.name; });
      if (found == declared.end())
        fault(section["features"], path + ".features", "the field '" + needed.name + "'",
              "a field of " + path + ".fields", nearest_name(needed.name, names));
      else if (found->kind != needed.kind)
        fault(section["features"], path + ".features",
              "'" + needed.name + "' used as " + kind_word(needed.kind),
              "its declared kind, " + kind_word(found->kind));
    }
    stream.schema.fields = std::move(declared);
  }

  static std::string kind_word(engine::ColumnKind kind) {
    return kind == engine::ColumnKind::text ? "text" : "number";
  }

  void read_features(const YAML::Node& node, const std::string& path, const std::string& entity,
                     const std::string& time, std::vector<engine::FeatureSpec>& features) {
    if (!node.IsSequence() || node.size() == 0)
      return fault(node, path, in_quotes(node), "a list of features");
    std::set<std::string> names;
    for (const auto& item : node) {
      engine::FeatureSpec spec;
      if (item.IsScalar() && !item.Scalar().empty()) {  // "- amount": the field as it is
        spec.name = spec.field = item.Scalar();
      } else if (item.IsMap() && item.size() == 1 && item.begin()->first.IsScalar()) {
        spec.name = item.begin()->first.Scalar();
        if (!read_feature(item.begin()->second, path + "." + spec.name, entity, time, spec)) continue;
      } else {
        fault(item, path, in_quotes(item), "NAME, or NAME: {KIND: FIELD}");
        continue;
      }
      if (!names.insert(spec.name).second)
        fault(item, path + "." + spec.name, "the name a second time", "each feature once");
      features.push_back(std::move(spec));
    }
  }

  bool read_feature(const YAML::Node& node, const std::string& path, const std::string& entity,
                    const std::string& time, engine::FeatureSpec& spec) {
    const std::size_t before = errors.size();
    std::vector<std::string_view> kind_names;
    for (const auto& info : engine::feature_kinds()) kind_names.push_back(info.name);
    const Section section(*this, node, path, feature_keys, kind_names);
    const engine::FeatureKindInfo* kind = nullptr;
    for (const auto& info : engine::feature_kinds()) {
      if (!section.has(info.name)) continue;
      if (kind) {
        fault(section[info.name], section.at(info.name), "a second kind beside " + std::string(kind->name),
              "one kind");
        continue;
      }
      kind = &info;
    }
    if (!kind) {
      if (errors.size() == before) {
        std::string allowed;
        for (std::string_view name : kind_names) allowed += (allowed.empty() ? "" : ", ") + std::string(name);
        fault(node, path, in_quotes(node), "a map with one of " + allowed);
      }
      return false;
    }
    spec.kind = kind->kind;
    const YAML::Node argument = section[kind->name];
    const std::string at = section.at(kind->name);
    if (argument.IsMap()) {
      for (const auto& entry : argument) {
        const std::string name = entry.first.Scalar();
        const bool known = (name == "field" && kind->takes_field) || (name == "window" && kind->takes_window);
        if (!known)
          fault(entry.first, at + "." + name, "an unknown key",
                kind->takes_window ? (kind->takes_field ? "field, window" : "window") : "field");
      }
    }
    // Never assigned to: to yaml-cpp that would mean a change of the document.
    const YAML::Node field = argument.IsMap() ? argument["field"] : argument;
    const YAML::Node window = argument.IsMap() ? argument["window"] : YAML::Node(YAML::NodeType::Undefined);
    if (kind->takes_field) {
      if (field.IsDefined() && field.IsScalar() && !field.Scalar().empty())
        spec.field = field.Scalar();
      else
        fault(argument, at, in_quotes(argument),
              kind->takes_window ? "{field: NAME, window: DURATION}" : "a field name");
    }
    if (kind->takes_window) {
      const auto ns =
          window.IsDefined() && window.IsScalar() ? parse_duration_ns(window.Scalar()) : std::nullopt;
      if (ns && *ns > 0)
        spec.window_ns = *ns;
      else
        fault(window.IsDefined() ? window : argument, at + ".window", in_quotes(window),
              "a duration (30s, 5m, 1h, 7d)");
      if (entity.empty())
        fault(node, path, "a window in a stream with no entity", "`entity: FIELD` in the stream");
    }
    if ((kind->takes_window || kind->takes_time) && time.empty())
      fault(node, path, std::string(kind->name) + " in a stream with no time", "`time: FIELD` in the stream");
    section.choice("scale", spec.scale,
                   {{"none", engine::Scale::none},
                    {"standard", engine::Scale::standard},
                    {"robust", engine::Scale::robust},
                    {"minmax", engine::Scale::minmax}});
    section.integer("categories_max", spec.categories_max, 1, 10000);
    if (section.has("missing")) {
      const YAML::Node missing = section["missing"];
      const std::string word = missing.IsScalar() ? missing.Scalar() : "";
      if (word == "refuse")
        spec.missing = engine::Missing::refuse;
      else if (word == "mean")
        spec.missing = engine::Missing::mean;
      else if (word == "median")
        spec.missing = engine::Missing::median;
      else if (parse_number(word, spec.missing_value))
        spec.missing = engine::Missing::value;
      else
        section.fault("missing", in_quotes(missing));
    }
    return errors.size() == before;
  }

  void read_models(const YAML::Node& node, const std::string& path, StreamConfig& stream) {
    if (!node.IsSequence() || node.size() == 0) return fault(node, path, in_quotes(node), "a list of models");
    std::set<std::string> names;
    for (const auto& item : node) {
      const Section section(*this, item, path, model_keys);
      ModelConfig model;
      if (!section.has("file")) section.missing("file");
      section.path("file", model.file);
      model.name = model.file.stem().string();
      section.text("name", model.name);
      section.choice("role", model.role, {{"active", Role::active}, {"shadow", Role::shadow}});
      if (section.has("fit"))
        read_fit(Section(*this, section["fit"], path + ".fit", fit_keys), path + ".fit", fit_settings,
                 model.fit.emplace());
      if (section.has("refit")) {
        if (std::ranges::any_of(stream.models,
                                [](const ModelConfig& other) { return other.refit.has_value(); }))
          fault(section["refit"], path + ".refit", "a second model with refit", "one in each stream");
        read_refit(section["refit"], path + ".refit", model_refit_keys, model.refit.emplace(),
                   &model.refit_save);
        if (!model.refit_save.empty() && model.refit_save == model.file)
          fault(section["refit"]["save"], path + ".refit.save", in_quotes(section["refit"]["save"]),
                "another path than `file`, which stays what was given");
      }
      if (!model.name.empty() && !names.insert(model.name).second)
        fault(item, path + ".name", "'" + model.name + "' a second time", "each model's own name");
      stream.models.push_back(std::move(model));
    }
  }

  void read_fit(const Section& section, const std::string& path,
                std::vector<engine::Parameter> (*settings)(std::string_view), FitConfig& fit) {
    section.text("detector", fit.detector);
    section.integer("seed", fit.seed, 0, std::numeric_limits<std::uint64_t>::max());
    std::vector<engine::Parameter> table;
    try {
      table = settings(fit.detector);
    } catch (const engine::InvalidSettings& unknown) {
      const engine::SettingError& error = unknown.errors().front();
      return fault(section["detector"], path + ".detector", error.found, error.allowed, error.nearest);
    }
    const YAML::Node set = section["set"];
    if (set.IsDefined() && !set.IsMap()) return section.fault("set", in_quotes(set));
    if (set.IsDefined()) {
      for (const auto& entry : set) {
        std::string value;
        if (entry.second.IsSequence()) {
          for (const auto& part : entry.second)
            value += (value.empty() ? "" : ",") + (part.IsScalar() ? part.Scalar() : "");
        } else if (entry.second.IsScalar()) {
          value = entry.second.Scalar();
        }
        fit.settings[entry.first.Scalar()] = value;
      }
    }
    for (const auto& error : engine::Settings::check(table, fit.settings))
      fault(set.IsDefined() && set[error.name].IsDefined() ? set[error.name] : set,
            path + ".set." + error.name, error.found, error.allowed, error.nearest);
  }

  void read_decide(const YAML::Node& node, const std::string& path, bool has_time, StreamConfig& stream) {
    const Section section(*this, node, path, decide_keys);
    if (section.has("false_alarm_rate") + section.has("false_alarms_per_day") +
            section.has("false_discovery_rate") !=
        1)
      return fault(node, path, in_quotes(node),
                   "one of false_alarm_rate, false_alarms_per_day, false_discovery_rate");
    if (section.has("memory") && !section.has("false_discovery_rate"))
      section.fault("memory", "memory with false_discovery_rate alone");
    if (section.has("false_alarm_rate")) {
      engine::FalseAlarmRate rule;
      section.number("false_alarm_rate", rule.rate, 0, 1, true);
      stream.decide = rule;
    } else if (section.has("false_discovery_rate")) {
      engine::FalseDiscoveryRate rule;
      section.number("false_discovery_rate", rule.rate, 0, 1, true);
      section.number("memory", rule.memory, 100, 1e9, false);
      stream.decide = rule;
    } else {
      engine::FalseAlarmsPerDay rule;
      section.number("false_alarms_per_day", rule.alarms, 0, 1e12, true);
      if (!has_time) section.fault("false_alarms_per_day", "a budget per day in a stream with no time");
      stream.decide = rule;
    }
  }

  void read_sources(const YAML::Node& node, Config& config) {
    if (!node.IsDefined()) return fault(node, "ingest", "nothing", "a list of sources");
    if (!node.IsSequence() || node.size() == 0)
      return fault(node, "ingest", in_quotes(node), "a list of sources");
    for (const auto& item : node) {
      IngestConfig& ingest = config.ingest.emplace_back();
      const YAML::Node socket = read_kind(item, "ingest");
      if (!socket.IsDefined()) continue;
      const Section section(*this, socket, "ingest.zeromq", zeromq_ingest_keys);
      read_endpoint(section, ingest.bind);
      section.choice("delivery", ingest.delivery, {{"acked", Delivery::acked}, {"lossy", Delivery::lossy}});
      section.choice("durable", ingest.durable, {{"scored", Durable::scored}, {"none", Durable::none}});
      section.bytes("credit_bytes", ingest.credit_bytes, 1024, std::uint64_t{1} << 40);
      section.bytes("batch_bytes_max", ingest.batch_bytes_max, 1024, std::uint64_t{1} << 30);
      if (ingest.credit_bytes < ingest.batch_bytes_max)
        fault(socket, "ingest.zeromq.credit_bytes", std::to_string(ingest.credit_bytes),
              "at least batch_bytes_max (" + std::to_string(ingest.batch_bytes_max) + ")");
    }
  }

  void read_publishers(const YAML::Node& node, Config& config) {
    if (!node.IsDefined()) return;
    if (!node.IsSequence()) return fault(node, "publish", in_quotes(node), "a list of publishers");
    for (const auto& item : node) {
      PublishConfig& publish = config.publish.emplace_back();
      const YAML::Node socket = read_kind(item, "publish");
      if (!socket.IsDefined()) continue;
      const Section section(*this, socket, "publish.zeromq", zeromq_publish_keys);
      read_endpoint(section, publish.bind);
      section.integer("queue_messages_max", publish.queue_messages_max, 1, 1'000'000);
    }
  }

  // What an item of ingest or publish says of its socket; undefined where it says nothing, which is a fault.
  YAML::Node read_kind(const YAML::Node& item, const std::string& path) {
    const Section section(*this, item, path, source_keys);
    const bool nothing = item.IsNull() || (item.IsMap() && item.size() == 0);
    if (nothing) fault(item, path + ".zeromq", "nothing", std::string(section.allowed("zeromq")));
    return section["zeromq"];
  }

  void read_endpoint(const Section& section, std::string& bind) {
    if (!section.has("bind")) return section.missing("bind");
    std::string endpoint;
    section.text("bind", endpoint);
    const auto scheme = endpoint.find("://");
    const bool fine = scheme != std::string::npos && scheme + 3 < endpoint.size() &&
                      (endpoint.starts_with("ipc://") || endpoint.starts_with("inproc://") ||
                       (endpoint.starts_with("tcp://") && parse_host_port(endpoint.substr(6))));
    if (!fine) return section.fault("bind", "'" + endpoint + "'");
    bind = endpoint;
  }

  void read_results(const YAML::Node& node, Config& config) {
    const Section section(*this, node, "results", results_keys);
    ResultsOptions& results = config.results.emplace();
    if (!section.has("directory")) section.missing("directory");
    section.path("directory", results.directory);
    section.choice("format", results.format, {{"csv", ResultsFormat::csv}, {"arrow", ResultsFormat::arrow}});
    section.choice("keep", results.keep,
                   {{"all", Keep::all}, {"flagged", Keep::flagged}, {"none", Keep::none}});
    section.bytes("rotate_bytes", results.rotate_bytes, 1024, std::uint64_t{1} << 50);
    std::int64_t every_ns = results.rotate_s * 1'000'000'000;
    section.duration("rotate_every", every_ns, 1'000'000'000);
    results.rotate_s = every_ns / 1'000'000'000;
  }

  void read_device(const YAML::Node& node, DeviceConfig& device) {
    const Section section(*this, node, "device", device_keys);
    const std::initializer_list<std::pair<std::string_view, std::string>> backends{
        {"cpu", "cpu"}, {"cuda", "cuda"}, {"emulated", "emulated"}};
    section.choice<std::string>("prefer", device.prefer, backends);
    section.choice<std::string>("otherwise", device.otherwise, {{"cpu", "cpu"}});
    if (section.has("require")) {
      if (section.has("prefer")) section.fault("require", "prefer and require");
      section.choice<std::string>("require", device.prefer, backends);
      device.required = true;
    }
    section.integer("batch_max", device.batch_max, 1, 1'048'576);
    section.number("wait_ms_max", device.wait_ms_max, 0, 10'000);
    section.integer("slots", device.slots, 2, 256);
    section.integer("threads", device.threads, 1, 1024);
    section.choice("offload", device.offload, {{"measured", Offload::measured}, {"always", Offload::always}});
    section.number("watchdog_s", device.watchdog_s, 0.01, 3600);
    section.choice("when_lost", device.restart_when_lost, {{"stay", false}, {"restart", true}});
  }

  void read_cores(const YAML::Node& node, Config& config) {
    const Section section(*this, node, "cores", cores_keys);
    section.cores("intake", config.cores.intake);
    section.cores("score", config.cores.score);
    section.cores("outlet", config.cores.outlet);
    section.cores("sockets", config.cores.sockets);
    if (config.device.threads == 0) config.device.threads = static_cast<unsigned>(config.cores.score.size());
  }

  std::string file_;
  std::filesystem::path folder_;
  int line_ = 1;
};

std::string joined(const std::vector<ConfigError>& errors) {
  std::string text;
  for (const ConfigError& error : errors) text += (text.empty() ? "" : "\n") + error.text();
  return text;
}

Config whole(PartialConfig partial) {
  if (!partial.errors.empty()) throw InvalidConfig(std::move(partial.errors));
  return std::move(partial.config);
}

}  // namespace

std::string ConfigError::text() const {
  std::string line_text = file.empty() ? "" : file + ":" + std::to_string(line) + ": ";
  line_text += key + ": found " + found + ", allowed " + allowed;
  if (!nearest.empty()) line_text += " (did you mean '" + nearest + "'?)";
  return line_text;
}

InvalidConfig::InvalidConfig(std::vector<ConfigError> errors)
    : std::runtime_error(joined(errors)), errors_(std::move(errors)) {}

PartialConfig parse_partly(const std::string& yaml, const std::filesystem::path& file) {
  const auto syntax = [&](const YAML::Exception& error) {
    return ConfigError{file.string(), std::max(error.mark.line, 0) + 1, "(syntax)", error.msg, "YAML", ""};
  };
  std::vector<YAML::Node> documents;
  try {
    documents = YAML::LoadAll(yaml);
  } catch (const YAML::Exception& error) {
    return {{}, {syntax(error)}};
  }
  Reader reader(file.string(), file.parent_path());
  PartialConfig partial;
  if (documents.size() > 1) reader.fault(documents[1], "(file)", "a second document", "one");
  try {
    partial.config = reader.read(documents.empty() ? YAML::Node() : documents[0]);
  } catch (const YAML::Exception& error) {  // an alias or key of a shape that no check above foresaw
    reader.errors.push_back(syntax(error));
  }
  partial.errors = std::move(reader.errors);
  std::ranges::stable_sort(partial.errors, {}, &ConfigError::line);
  return partial;
}

PartialConfig read_partly(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  if (file) text << file.rdbuf();
  if (!file || std::filesystem::is_directory(path))
    return {{}, {{path.string(), 1, "(file)", "nothing that can be read", "a YAML file", ""}}};
  return parse_partly(text.str(), path);
}

Config parse_config(const std::string& yaml, const std::filesystem::path& file) {
  return whole(parse_partly(yaml, file));
}

Config read_config(const std::filesystem::path& path) {
  return whole(read_partly(path));
}

std::string config_reference() {
  const auto row_of = [](const engine::Parameter& parameter) {
    return "| `" + std::string(parameter.name) + "` | " + engine::allowed(parameter) + " | " +
           std::string(parameter.fallback) + " | " + std::string(parameter.summary) + " |\n";
  };
  struct Part {
    std::string_view title, place;
    std::span<const Key> keys;
    std::span<const engine::Parameter> settings = {};
  };
  const Part parts[] = {
      {"Top level", "", top_keys},
      {"A stream", "streams.NAME", stream_keys},
      {"A feature", "streams.NAME.features", feature_keys},
      {"A model", "streams.NAME.models", model_keys},
      {"How a model is fitted", "streams.NAME.models.fit", fit_keys},
      {"Learning", "streams.NAME.learn", learn_keys},
      {"Refitting", "streams.NAME.learn.refit", refit_keys},
      {"Refitting a model's file", "streams.NAME.models.refit", model_refit_keys},
      {"Series", "streams.NAME.series", series_keys, engine::series_settings()},
      {"Deciding", "streams.NAME.decide", decide_keys},
      {"ZeroMQ ingest", "ingest.zeromq", zeromq_ingest_keys},
      {"ZeroMQ publisher", "publish.zeromq", zeromq_publish_keys},
      {"Results", "results", results_keys},
      {"Device", "device", device_keys},
      {"Cores", "cores", cores_keys},
      {"API", "api", api_keys},
      {"Log", "log", log_keys},
  };
  std::string text =
      "# Configuration reference\n\nMade from the tables that validate (`lanner check --reference`). "
      "Durations: 500ms, 30s, 5m, 1h, 7d. Sizes: bytes, or with KiB, MiB, GiB.\n";
  for (const Part& part : parts) {
    text += "\n## " + std::string(part.title);
    if (!part.place.empty()) text += " (`" + std::string(part.place) + "`)";
    text += "\n\n| key | allowed | default | what it does |\n|---|---|---|---|\n";
    for (const Key& key : part.keys) {
      std::string allowed;
      for (const char c : key.allowed) {
        if (c == '|') allowed.push_back('\\');  // a bar would end the table's cell
        allowed.push_back(c);
      }
      text += "| `" + std::string(key.name) + "` | " + allowed + " | " +
              (key.fallback.empty() ? std::string("(required)") : std::string(key.fallback)) + " | " +
              std::string(key.summary) + " |\n";
    }
    for (const engine::Parameter& setting : part.settings) text += row_of(setting);
  }
  text += "\n## Kinds of feature\n\n| kind | what it gives |\n|---|---|\n";
  for (const auto& info : engine::feature_kinds())
    text += "| `" + std::string(info.name) + "` | " + std::string(info.summary) + " |\n";
  const auto settings = [&](std::string_view title, std::string_view summary,
                            std::span<const engine::Parameter> table) {
    text += "\n### " + std::string(title) + "\n\n" + std::string(summary) +
            "\n\n| setting | allowed | default | what it does |\n|---|---|---|---|\n";
    for (const auto& parameter : table) text += row_of(parameter);
  };
  text += "\n## Detectors and their settings\n";
  settings("every fit", "Settings that every fit takes.", engine::fit_parameters());
  for (const auto& detector : engine::catalogue())
    settings(detector.name, std::string(detector.summary) + " " + std::string(detector.paper),
             detector.parameters);
  settings(engine::auto_name, engine::auto_summary, engine::auto_parameters());
  return text;
}

}  // namespace lanner::host
