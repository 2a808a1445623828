// The whole host in one thread, without sockets, files or a clock of its own: its steps are called in any
// order.
#pragma once

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/model/model.hpp"
#include "host/pipeline/pipeline.hpp"

namespace lanner::host {

using Json = nlohmann::json;

class ManualClock final : public Clock {
 public:
  std::int64_t unix_ns() const override { return 1'789'999'999'000'000'000 + now; }
  std::int64_t steady_ns() const override { return now; }
  std::int64_t now = 1'000'000'000;
};

struct Wire {
  std::string peer;
  std::vector<std::string> frames;
};

class QueueSource final : public Source {
 public:
  explicit QueueSource(IngestConfig config) : config_(std::move(config)) {}
  const IngestConfig& config() const override { return config_; }
  bool receive(Message& message) override {
    if (incoming.empty()) return false;
    const Wire& wire = incoming.front();
    message.peer = wire.peer;
    message.frames.resize(Message::frames_max);
    message.count = wire.frames.size();
    message.payload_bytes = 0;
    message.frames_dropped = false;
    for (std::size_t i = 0; i < wire.frames.size(); ++i) {
      message.frames[i].rebuild(wire.frames[i].data(), wire.frames[i].size());
      if (i > 0) message.payload_bytes += wire.frames[i].size();
    }
    incoming.pop_front();
    return true;
  }
  Replied reply(std::string_view peer, std::string_view json) override {
    answers[std::string(peer)].push_back(Json::parse(json));
    return Replied::sent;
  }
  Json pop(const std::string& peer) {
    auto& queue = answers[peer];
    if (queue.empty()) return nullptr;
    Json answer = queue.front();
    queue.pop_front();
    return answer;
  }
  std::deque<Wire> incoming;
  std::map<std::string, std::deque<Json>> answers;

 private:
  IngestConfig config_;
};

struct Published {
  std::string topic;
  std::vector<std::string> frames;
  Json header() const { return Json::parse(frames.at(0)); }
  template <class T>
  std::vector<T> values(std::size_t frame) const {
    std::vector<T> out(frames.at(frame).size() / sizeof(T));
    if (!out.empty()) std::memcpy(out.data(), frames[frame].data(), frames[frame].size());
    return out;
  }
};

class RecordedPublisher final : public Publisher {
 public:
  void publish(std::string_view topic, std::span<const Bytes> frames) override {
    Published& message = messages.emplace_back();
    message.topic = topic;
    for (const Bytes frame : frames)
      message.frames.emplace_back(reinterpret_cast<const char*>(frame.data()), frame.size());
  }
  std::uint64_t dropped() const override { return 0; }
  std::vector<Published> of(const std::string& topic) const {
    std::vector<Published> found;
    for (const Published& message : messages)
      if (message.topic == topic) found.push_back(message);
    return found;
  }
  std::vector<Published> messages;
};

/// A disk: what has been synced survives; what has only been appended doesn't.
struct Disk {
  using Row =
      std::tuple<std::string, std::uint64_t, std::size_t, std::string>;  ///< producer, seq, row, model
  std::multiset<Row> rows;
  std::map<std::string, std::uint64_t, std::less<>> settled;
  int syncs = 0, opens = 0;
  bool fail_append = false, fail_sync = false, fail_open = false;
};

class MemorySink final : public ResultsSink {
 public:
  explicit MemorySink(Disk& disk) : disk_(disk), found_(disk.settled) {
    ++disk_.opens;
    if (disk_.fail_open) throw std::runtime_error("no disk");
  }
  void append(const ScoredRows& rows) override {
    if (disk_.fail_append) throw std::runtime_error("disk full");
    for (std::size_t i = 0; i < rows.count; ++i)
      rows_.insert({std::string(rows.producer), rows.seq, i, std::string(rows.model)});
  }
  void settle(std::string_view producer, std::uint64_t seq) override {
    auto& last = settled_[std::string(producer)];
    if (seq <= last) throw std::logic_error("settled out of order");
    last = seq;
  }
  void sync() override {
    if (disk_.fail_sync) throw std::runtime_error("sync failed");
    ++disk_.syncs;
    disk_.rows.merge(rows_);
    for (const auto& [producer, seq] : settled_) disk_.settled[producer] = seq;
  }
  const std::map<std::string, std::uint64_t, std::less<>>& settled() const override { return found_; }
  std::uint64_t rows_written() const override { return disk_.rows.size() + rows_.size(); }

 private:
  Disk& disk_;
  std::map<std::string, std::uint64_t, std::less<>> found_, settled_;
  std::multiset<Disk::Row> rows_;
};

inline engine::Schema numbers(std::size_t width) {
  engine::Schema schema;
  for (std::size_t i = 0; i < width; ++i)
    schema.fields.push_back({"x" + std::to_string(i), engine::ColumnKind::number});
  return schema;
}

inline std::vector<float> normal_rows(std::size_t count, std::size_t width, unsigned seed, float spread = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> rows(count * width);
  for (float& value : rows) value = normal(random);
  return rows;
}

inline std::shared_ptr<const engine::Model> fitted(Device& device, std::size_t width,
                                                   const std::string& detector, unsigned seed = 1) {
  const std::vector<float> rows = normal_rows(2000, width, seed);
  engine::Records records;
  records.count = 2000;
  records.dense = {rows.data(), nullptr, width};
  engine::FitOptions options;
  options.detector = detector;
  options.seed = seed;
  options.name = detector;
  return engine::Model::fit(device, numbers(width), records, options);
}

/// Frames of a tensor batch. producer empty: lossy.
inline Wire tensor(const std::string& peer, const std::string& stream, const std::vector<float>& rows,
                   std::size_t width, const std::string& producer = "", std::uint64_t seq = 0) {
  Json header = {{"v", 1},
                 {"stream", stream},
                 {"format", "tensor"},
                 {"dtype", "float32"},
                 {"shape", {rows.size() / width, width}}};
  if (!producer.empty()) {
    header["producer"] = producer;
    header["seq"] = seq;
  }
  return {peer, {header.dump(), std::string(reinterpret_cast<const char*>(rows.data()), rows.size() * 4)}};
}

class SimulatedHost {
 public:
  struct Options {
    DeviceConfig device;
    IngestConfig ingest;
    bool results = false;
    std::vector<std::shared_ptr<Device>> gpus = {};
  };

  explicit SimulatedHost(Options options, std::vector<StreamConfig> streams)
      : device(Device::cpu({chosen_cpu_tier(), 1})), source(options.ingest), options_(options) {
    for (const auto& gpu : options.gpus) gpus.push_back(std::make_shared<Gpu>(gpu, clock));
    for (StreamConfig& stream : streams) config.streams.push_back(std::move(stream));
    start();
  }

  /// From what is on the disk, as after a crash or a stop.
  void start() {
    pipeline.reset();
    source.incoming.clear();
    source.answers.clear();
    std::vector<ConfigError> faults;
    Routes routes = build_routes(config, *device, streams, {}, faults, gpus);
    if (!faults.empty()) throw std::runtime_error(faults[0].text());
    Ports ports{clock, *device, {&source}, {&publisher}, {}, [] {}, [] {}, {}, {}, gpus};
    if (options_.results) ports.open_results = [this] { return std::make_unique<MemorySink>(disk); };
    ports.learn = [this](const std::string& stream, std::shared_ptr<Learning> learning) {
      to_learn.emplace_back(stream, std::move(learning));
    };
    ports.refit = [this](const std::string&, std::shared_ptr<Refitting> refitting,
                         std::shared_ptr<const engine::Model> now) {
      to_refit.emplace_back(std::move(refitting), std::move(now));
    };
    pipeline = std::make_unique<Pipeline>(options_.device, std::move(ports), std::move(routes), counters);
  }

  /// Adds a model in place of whatever the stream has.
  void use(const std::string& stream, std::vector<std::shared_ptr<const engine::Model>> models,
           std::vector<Role> roles = {}) {
    Routes routes = *pipeline->routes();
    auto route = std::make_shared<Route>(*routes.at(stream));
    route->learning.reset();
    route->lanes.clear();
    for (std::size_t i = 0; i < models.size(); ++i) {
      route->lanes.push_back(std::make_shared<Lane>(
          route->config, models[i]->name() + std::to_string(i), i < roles.size() ? roles[i] : Role::active,
          std::make_shared<engine::ModelScorer>(models[i], *device), *device, nullptr, gpus));
    }
    route->schema = models.at(0)->features().schema();
    routes[stream] = route;
    pipeline->replace_routes(std::move(routes));
    pipeline->move_on();
  }

  /// One step, whichever: false where it found nothing to do. Some turn to or from light work.
  bool step(unsigned which) {
    switch (which % 6) {
      case 0: {
        pipeline->move_on();
        return pipeline->take_in(0);
      }
      case 1:
        return pipeline->score(std::chrono::nanoseconds(0));
      case 2:
        return pipeline->put_out(std::chrono::nanoseconds(0));
      case 3:
        return pipeline->settle(), false;
      default:
        return pipeline->do_light_work(which % 6 == 4), false;
    }
  }

  /// Until nothing is left to do, with time going on.
  void drain() {
    for (int idle = 0; idle < 3;) {
      bool some = false;
      for (unsigned which = 0; which < 4; ++which) some |= step(which);
      clock.now += 1'000'000;
      idle = some || !pipeline->idle() || !source.incoming.empty() ? 0 : idle + 1;
      if (++steps_ > 10'000'000) throw std::runtime_error("the host is stuck");
    }
  }

  ManualClock clock;
  std::shared_ptr<Device> device;
  Gpus gpus;
  Counters counters;
  StreamCounterTable streams;
  Config config;
  QueueSource source;
  RecordedPublisher publisher;
  Disk disk;
  std::vector<std::pair<std::string, std::shared_ptr<Learning>>> to_learn;
  std::vector<std::pair<std::shared_ptr<Refitting>, std::shared_ptr<const engine::Model>>> to_refit;
  std::unique_ptr<Pipeline> pipeline;

 private:
  Options options_;
  std::uint64_t steps_ = 0;
};

/// A stream that waits for `use`.
inline IngestConfig lossy() {
  IngestConfig config;
  config.bind = "simulated";
  config.delivery = Delivery::lossy;
  return config;
}

inline StreamConfig stream_of(const std::string& name, std::size_t width) {
  StreamConfig stream;
  stream.name = name;
  stream.schema = numbers(width);
  stream.learn.emplace().rows = 1'000'000;
  stream.decide = engine::FalseAlarmRate{0.01};
  return stream;
}

}  // namespace lanner::host
