// The configuration: one plain structure, read from YAML in one pass that finds every fault there is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "engine/calibrate/decide.hpp"
#include "engine/features/features.hpp"
#include "engine/records/records.hpp"
#include "host/results/results.hpp"

namespace lanner::host {

enum class Delivery { acked, lossy };
enum class Durable { scored, none };
/// active: flags, alerts. shadow: scored, published and stored beside it, raises no alerts.
enum class Role { active, shadow };

/// How a model is to be fitted.
struct FitConfig {
  std::string detector = "nearest_neighbours";
  std::map<std::string, std::string> settings;  ///< of the detector and of every fit
  std::uint64_t seed = 1;

  /// The field that says the segment ("segment" of the settings), or nothing.
  std::string segment() const {
    const auto found = settings.find("segment");
    return found == settings.end() || found->second == "none" ? "" : found->second;
  }
};

/// What follows a drift: the host says so; it calibrates the model again, or fits it again, on events since.
enum class OnDrift { say, calibrate, fit };

/// When a model is fitted again, on recent events.
struct RefitConfig {
  std::int64_t every_ns = 0;  ///< 0: not by time
  OnDrift on_drift = OnDrift::say;
  std::size_t rows = 5000;  ///< of events; of a model that was learned by default as many as it learned from
  bool operator==(const RefitConfig&) const = default;
};

struct ModelConfig {
  std::filesystem::path file;
  std::string name;  ///< as published; default: the file's stem
  Role role = Role::active;
  std::optional<FitConfig> fit;  ///< for `lanner fit --config`, which writes `file`
  std::optional<RefitConfig> refit = std::nullopt;
  std::filesystem::path refit_save = {};  ///< where a refitted model is kept; empty: in memory only
};

/// A stream that starts with no model collects, fits, calibrates and swaps in.
struct LearnConfig {
  std::size_t rows = 5000;  ///< 0: by time
  std::int64_t for_ns = 0;  ///< 0: by rows
  FitConfig fit;
  std::filesystem::path save;  ///< where the fitted model is kept; empty: in memory only
  std::string name;            ///< of the model; default: the stream's
  std::optional<RefitConfig> refit;
};

/// A stream whose fields are series: watched row by row, with no model.
struct SeriesConfig {
  std::vector<std::string> values;  ///< fields of numbers, a series each for each entity
  engine::Settings settings;        ///< engine::series_settings
  std::size_t entities_max = 1000;
  bool skips_missing = false;  ///< a row without a value is as if it had never been, and not refused
};

struct StreamConfig {
  std::string name;
  engine::Schema schema;
  std::vector<engine::FeatureSpec> features;  ///< empty: what its models were fitted on
  engine::FeatureLimits limits;
  std::vector<ModelConfig> models;
  std::optional<LearnConfig> learn;
  std::optional<SeriesConfig> series;
  engine::DecisionRule decide = engine::FalseAlarmRate{0.001};
  bool watch_drift = true;
};

struct IngestConfig {
  std::string bind;  ///< ZeroMQ endpoint
  Delivery delivery = Delivery::acked;
  Durable durable = Durable::scored;
  std::uint64_t credit_bytes = 64u << 20;
  std::uint64_t batch_bytes_max = 16u << 20;
  bool operator==(const IngestConfig&) const = default;
};

struct PublishConfig {
  std::string bind;
  int queue_messages_max = 10'000;  ///< per subscriber, beyond which messages to it are dropped (and counted)
  bool operator==(const PublishConfig&) const = default;
};

/// Which slots a GPU gets: those that it is measured to score sooner than the CPU, or all.
enum class Offload { measured, always };

struct DeviceConfig {
  std::string prefer = "cpu", otherwise = "cpu";
  bool required = false;         ///< `require:` instead of `prefer:`
  std::size_t batch_max = 8192;  ///< rows a slot
  double wait_ms_max = 2;
  std::size_t slots = 4;
  unsigned threads = 0;  ///< 0: LANNER_THREADS, or the CPUs there are
  Offload offload = Offload::measured;
  double watchdog_s = 10;          ///< what takes a GPU longer hangs
  bool restart_when_lost = false;  ///< drain and end (status 3), for a supervisor to start again
  bool operator==(const DeviceConfig&) const = default;
};

/// Cores that threads are kept on, ascending; empty: wherever the system likes.
struct CoresConfig {
  std::vector<int> intake, score, outlet;
  std::vector<int> sockets;  ///< ZeroMQ's own threads
  bool operator==(const CoresConfig&) const = default;
};

struct ApiConfig {
  std::string bind;  ///< HOST:PORT; empty: none
};

struct LogConfig {
  std::string level = "info";
  bool json = false;
};

struct Config {
  std::vector<StreamConfig> streams;
  std::vector<IngestConfig> ingest;
  std::vector<PublishConfig> publish;
  std::optional<ResultsOptions> results;
  DeviceConfig device;
  CoresConfig cores;
  ApiConfig api;
  LogConfig log;
};

/// One fault: `file:line: key: found X, allowed Y`, and the nearest known key where the key is unknown. What
/// is found after reading has no line until locate() gives it one; without a file there is none.
struct ConfigError {
  std::string file = {};
  int line = 0;
  std::string key = {}, found = {}, allowed = {}, nearest = {};
  std::string text() const;
};

class InvalidConfig : public std::runtime_error {
 public:
  explicit InvalidConfig(std::vector<ConfigError> errors);
  const std::vector<ConfigError>& errors() const { return errors_; }

 private:
  std::vector<ConfigError> errors_;
};

/// What could be read, and every fault. A stream with a fault is left out of `config`; an endpoint with one
/// is empty, so that the place in a list is the place in the file; any other value with one is the default.
struct PartialConfig {
  Config config;
  std::vector<ConfigError> errors;  ///< by line
};

/// Relative paths are taken from the file's folder.
PartialConfig read_partly(const std::filesystem::path&);
PartialConfig parse_partly(const std::string& yaml, const std::filesystem::path& file_for_errors);
/// The same, whole or not at all: throws InvalidConfig with every fault.
Config read_config(const std::filesystem::path&);
Config parse_config(const std::string& yaml, const std::filesystem::path& file_for_errors);

/// Gives the faults that have no line theirs in this file, and sorts all by line. A key is a path with places
/// in lists, such as streams.checkout.models[1].file; what the file doesn't have gets the line of what would
/// hold it. The places leave the key.
void locate(std::vector<ConfigError>&, const std::filesystem::path& file);
/// Sockets bound beyond this machine: they need keys, which this version does not have.
void refuse_beyond_loopback(const Config&, std::vector<ConfigError>&);
/// What `fit` may be told of a detector: engine::all_parameters, and likewise of multivariate_series. Throws
/// engine::InvalidSettings for an unknown detector.
std::vector<engine::Parameter> fit_settings(std::string_view detector);
/// The sections that differ and are fixed at start. Streams, models, rules and the log's level are not.
std::vector<std::string> needs_restart(const Config& now, const Config& next);
/// The reference documentation of every key, in Markdown, made from the tables that validate.
std::string config_reference();

}  // namespace lanner::host
