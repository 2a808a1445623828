// The steady path allocates nothing, from a message to its acknowledgement: this binary counts. Exempt are
// libzmq's own messages, what is refused (its reasons are texts), and what happens once in a file's life
// (a rotation, the journal's rewriting).
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include <nlohmann/json.hpp>

#include "engine/detectors/detector.hpp"
#include "engine/series/series_model.hpp"
#include "engine/series/series_settings.hpp"
#include "host/arrow/writer.hpp"
#include "host/pipeline/pipeline.hpp"
#include "tests/allocations/allocations.hpp"
#include "tests/host/results/directory.hpp"

namespace lanner::host {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t tensor_width = 6, meter_width = 9, rows_max = 500, in_flight_max = 24;
constexpr std::int64_t start_ns = 1'789'999'999'000'000'000;

class ManualClock final : public Clock {
 public:
  std::int64_t unix_ns() const override { return start_ns + now; }
  std::int64_t steady_ns() const override { return now; }
  std::int64_t now = 1'000'000'000;
};

using Wire = std::vector<std::string>;

/// Hands over what was made before.
class QuietSource final : public Source {
 public:
  explicit QuietSource(Delivery delivery) {
    config_.bind = "quiet";
    config_.delivery = delivery;
    config_.credit_bytes = std::uint64_t{1} << 40;
  }
  const IngestConfig& config() const override { return config_; }
  bool receive(Message& message) override {
    if (next == wires.size()) return false;
    const Wire& wire = wires[next++];
    message.peer = "a peer's routing id, which is not short";
    message.frames.resize(Message::frames_max);
    message.count = wire.size();
    message.payload_bytes = 0;
    for (std::size_t i = 0; i < wire.size(); ++i) {
      message.frames[i].rebuild(wire[i].data(), wire[i].size());
      if (i > 0) message.payload_bytes += wire[i].size();
    }
    return true;
  }
  Replied reply(std::string_view, std::string_view json) override {
    nacks += json.find("nack") != json.npos;
    ++replies;
    return Replied::sent;
  }

  std::vector<Wire> wires;
  std::size_t next = 0, replies = 0, nacks = 0;

 private:
  IngestConfig config_;
};

class QuietPublisher final : public Publisher {
 public:
  void publish(std::string_view topic, std::span<const Bytes>) override {
    ++(topic.starts_with("alerts.") ? alerts : scores);
  }
  std::uint64_t dropped() const override { return 0; }
  std::size_t scores = 0, alerts = 0;
};

engine::FeatureSpec feature(std::string name, engine::FeatureKind kind, std::string field = "",
                            std::int64_t window_ns = 0) {
  engine::FeatureSpec spec;
  spec.name = std::move(name);
  spec.kind = kind;
  spec.field = std::move(field);
  spec.window_ns = window_ns;
  return spec;
}

engine::Schema numbers(std::size_t width) {
  engine::Schema schema;
  for (std::size_t i = 0; i < width; ++i)
    schema.fields.push_back({"x" + std::to_string(i), engine::ColumnKind::number});
  return schema;
}

engine::Schema payments() {
  return {{{"amount", engine::ColumnKind::number}, {"country", engine::ColumnKind::text}},
          "customer",
          "at",
          "payment"};
}

/// One event after the other, each with the next time.
class Events {
 public:
  std::vector<float> dense(std::size_t rows, std::size_t width, double outliers) {
    std::vector<float> values(rows * width);
    for (std::size_t row = 0; row < rows; ++row) {
      const float spread = random_share() < outliers ? 40.0f : 1.0f;
      for (std::size_t i = 0; i < width; ++i) values[row * width + i] = spread * normal_(random_);
    }
    return values;
  }

  Json payment(double outliers) {
    at_ += 20'000'000 + static_cast<std::int64_t>(random_() % 20'000'000);
    char customer[32], id[48];
    std::snprintf(customer, sizeof customer, "customer number %04u", static_cast<unsigned>(random_() % 20));
    std::snprintf(id, sizeof id, "a payment's rather long name %09llu", ++payments_);
    const bool outlier = random_share() < outliers;
    return {{"amount", outlier ? 1e6 : 20 + 5 * static_cast<double>(normal_(random_))},
            {"country", outlier         ? "nowhere that was ever seen"
                        : random_() % 2 ? "NL"
                                        : "the Netherlands"},
            {"customer", customer},
            {"at", at_},
            {"payment", id}};
  }

  std::int64_t next_time() { return at_ += 1'000'000; }
  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(random_() % bound); }
  double random_share() { return static_cast<double>(random_() % 1'000'000) / 1e6; }

 private:
  std::mt19937_64 random_{20260921};
  std::normal_distribution<float> normal_;
  std::int64_t at_ = start_ns;
  unsigned long long payments_ = 0;
};

template <class T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

/// An Arrow stream of two record batches.
std::string arrow_stream(const std::vector<Json>& rows) {
  arrow::FileWriter writer({{"payment", arrow::Kind::text, 32, false},
                            {"amount", arrow::Kind::floating, 64, false},
                            {"country", arrow::Kind::text, 32, false},
                            {"at", arrow::Kind::timestamp, 64, false},
                            {"customer", arrow::Kind::text, 32, false}});
  std::string out;
  writer.begin(out);
  const std::size_t half = rows.size() / 2;
  for (const auto& [begin, end] : {std::pair<std::size_t, std::size_t>{0, half}, {half, rows.size()}}) {
    std::vector<double> amount;
    std::vector<std::int64_t> at;
    std::string texts[3];
    std::vector<std::int32_t> offsets[3] = {{0}, {0}, {0}};
    for (std::size_t i = begin; i < end; ++i) {
      amount.push_back(rows[i]["amount"]);
      at.push_back(rows[i]["at"]);
      std::size_t t = 0;
      for (const char* name : {"payment", "country", "customer"}) {
        texts[t] += rows[i][name].get<std::string>();
        offsets[t].push_back(static_cast<std::int32_t>(texts[t].size()));
        ++t;
      }
    }
    const auto bytes = [](const auto& of) { return std::as_bytes(std::span(of)); };
    const arrow::WrittenColumn columns[] = {{bytes(texts[0]), bytes(offsets[0]), {}, 0},
                                            {bytes(amount), {}, {}, 0},
                                            {bytes(texts[1]), bytes(offsets[1]), {}, 0},
                                            {bytes(at), {}, {}, 0},
                                            {bytes(texts[2]), bytes(offsets[2]), {}, 0}};
    writer.batch(end - begin, columns, out);
  }
  return out.substr(8);  // a file's mark
}

enum Kind {
  tensor,
  tensor_with_sidecars,
  doubles,
  meter_lines,
  payment_lines,
  payment_maps,
  payment_arrow,
  payment_series,
  machine_rows,
  kinds
};

Wire wire_of(Events& events, Kind kind, std::size_t rows, double outliers) {
  Json header = {{"v", 1}};
  Wire wire(1);
  if (kind == tensor || kind == tensor_with_sidecars || kind == doubles || kind == machine_rows) {
    header.update(Json{{"stream", kind == machine_rows ? "machines" : "tensors"},
                       {"format", "tensor"},
                       {"dtype", kind == doubles ? "float64" : "float32"},
                       {"shape", {rows, tensor_width}}});
    const std::vector<float> values = events.dense(rows, tensor_width, outliers);
    wire.push_back(kind == doubles ? raw(std::vector<double>(values.begin(), values.end())) : raw(values));
    if (kind == tensor_with_sidecars) {
      header["sidecars"] = {"time", "entity", "id"};
      std::vector<std::int64_t> time(rows);
      std::string entity, id;
      for (std::size_t i = 0; i < rows; ++i) {
        time[i] = events.next_time();
        entity += "an entity with a long name\n";
        id += "an event with a long name " + std::to_string(100'000 + i) + "\n";
      }
      wire.insert(wire.end(), {raw(time), entity, id});
    }
  } else if (kind == meter_lines) {
    header.update(Json{{"stream", "meters"}, {"format", "jsonl"}});
    const std::vector<float> values = events.dense(rows, meter_width, outliers);
    std::string lines;
    for (std::size_t row = 0; row < rows; ++row) {
      Json line;
      for (std::size_t i = 0; i < meter_width; ++i)
        line["x" + std::to_string(i)] = values[row * meter_width + i];
      lines += line.dump() + "\n";
    }
    wire.push_back(std::move(lines));
  } else {
    std::vector<Json> made;
    for (std::size_t i = 0; i < rows; ++i) made.push_back(events.payment(outliers));
    const bool lines = kind == payment_lines || kind == payment_series;
    header["stream"] = kind == payment_series ? "series" : "payments";
    header["format"] = lines ? "jsonl" : kind == payment_maps ? "msgpack" : "arrow";
    std::string frame;
    if (lines)
      for (const Json& row : made) frame += row.dump() + "\n";
    if (kind == payment_maps) Json::to_msgpack(Json(made), frame);
    if (kind == payment_arrow) frame = arrow_stream(made);
    wire.push_back(std::move(frame));
  }
  wire[0] = header.dump();
  return wire;
}

void save_model(Device& device, const std::string& detector, const engine::Schema& schema,
                const std::vector<engine::FeatureSpec>& features, const engine::Records& records,
                const std::filesystem::path& file) {
  engine::FitOptions options;
  options.detector = detector;
  options.name = detector;
  options.features = features;
  options.limits.events_max = 30;
  if (detector == "autoencoder") options.settings["epochs"] = "3";
  engine::Model::fit(device, schema, records, options)->save(file);
}

StreamConfig stream(std::string name, engine::DecisionRule rule) {
  StreamConfig config;
  config.name = std::move(name);
  config.decide = rule;
  return config;
}

class SteadyHost {
 public:
  explicit SteadyHost(std::optional<ResultsFormat> format) {
    Events training;
    Config config;
    config.streams.push_back(stream("tensors", engine::FalseAlarmRate{0.01}));
    config.streams.push_back(stream("payments", engine::FalseAlarmsPerDay{1e5}));
    config.streams.push_back(stream("meters", engine::FalseAlarmRate{0.01}));

    config.streams.push_back(stream("series", {}));
    config.streams.back().schema = {{{"amount", engine::ColumnKind::number}}, "customer", "at", "payment"};
    config.streams.back().series = {{"amount"},
                                    engine::Settings::parse(engine::series_settings(), {{"warm_up", "40"}})};

    engine::Records records;
    const std::vector<float> dense = training.dense(600, tensor_width, 0);
    records.count = 600;
    records.dense = {dense.data(), nullptr, tensor_width};
    for (const engine::Detector& detector : engine::catalogue()) {
      const std::string name(detector.name);
      auto& models = config.streams[0].models;
      models.push_back({models_.path() / (name + ".lanner"), name,
                        models.size() % 2 ? Role::shadow : Role::active, std::nullopt});
      save_model(*device_, name, numbers(tensor_width), {}, records, models.back().file);
    }

    config.streams.push_back(stream("machines", engine::FalseAlarmRate{0.01}));
    config.streams.back().models.push_back(
        {models_.path() / "machines.lanner", "machines", Role::active, std::nullopt});
    engine::SeriesModel::fit(*device_, numbers(tensor_width), records, {{{"windows", "5,20"}}, "machines"})
        ->save(models_.path() / "machines.lanner");

    records = {};
    records.columns.resize(2);
    for (int i = 0; i < 600; ++i) {
      const Json row = training.payment(0);
      records.columns[0].numbers.push_back(row["amount"]);
      records.columns[1].texts.push_back(row["country"].get<std::string>());
      records.columns[1].missing.push_back(0);
      records.entity.push_back(row["customer"].get<std::string>());
      records.time.push_back(row["at"]);
      ++records.count;
    }
    using engine::FeatureKind;
    const std::int64_t window_ns = 10'000'000'000;
    save_model(
        *device_, "histogram", payments(),
        {feature("amount", FeatureKind::log1p, "amount"), feature("country", FeatureKind::rarity, "country"),
         feature("often", FeatureKind::count, "", window_ns),
         feature("usual", FeatureKind::deviation, "amount", window_ns)},
        records, models_.path() / "payments.lanner");
    config.streams[1].models.push_back(
        {models_.path() / "payments.lanner", "payments", Role::active, std::nullopt});

    const std::vector<float> meters = training.dense(600, meter_width, 0);
    records = {};
    records.count = 600;
    records.dense = {meters.data(), nullptr, meter_width};
    save_model(*device_, "histogram", numbers(meter_width), {}, records, models_.path() / "meters.lanner");
    config.streams[2].models.push_back(
        {models_.path() / "meters.lanner", "meters", Role::active, std::nullopt});

    DeviceConfig device;
    device.batch_max = 128;
    std::vector<ConfigError> faults;
    Routes routes = build_routes(config, *device_, streams_, {}, faults);
    if (!faults.empty()) throw std::runtime_error(faults[0].text());
    Ports ports{clock_, *device_, {&acked_, &lossy_}, {&publisher}, {}, [] {}, [] {}, {}};
    if (format) {
      ResultsOptions options = results_.options(*format);
      options.rotate_bytes = std::uint64_t{1} << 40;
      ports.open_results = [options, this] { return open_results(options, &clock_); };
    }
    pipeline_ = std::make_unique<Pipeline>(device, std::move(ports), std::move(routes), counters);
    for (const char* name : {"p", "a producer whose name is rather long"})
      acked_.wires.push_back({Json{{"v", 1}, {"hello", true}, {"producer", name}}.dump()});
    while (pipeline_->take_in(0)) {
    }
  }

  /// As many batches of each kind as are ever in flight, as large as they come and with every row an alert,
  /// all of them there at once; then some as they usually are.
  void warm_up() {
    for (int kind = 0; kind < kinds; ++kind) {
      for (std::size_t i = 0; i < in_flight_max; ++i) {
        add(0, wire_of(events_, static_cast<Kind>(kind), rows_max, 1));
        while (!pipeline_->take_in(0)) {
          pipeline_->move_on();
          pipeline_->score(std::chrono::nanoseconds(0));
        }
      }
      while (pipeline_->queued_batches() < in_flight_max) {
        clock_.now += 3'000'000;
        pipeline_->move_on();
        pipeline_->score(std::chrono::nanoseconds(0));
      }
      drain();
    }
    add_usual(400);
    run();
  }

  void add_usual(std::size_t batches) {
    for (std::size_t i = 0; i < batches; ++i) {
      const std::uint32_t size = events_.below(10);
      const std::size_t rows = size == 0 ? events_.below(rows_max + 1) : events_.below(20);
      add(events_.below(3) ? 0 : 1, wire_of(events_, static_cast<Kind>(events_.below(kinds)), rows, 0.01));
    }
  }

  /// The steps in any order, until everything that was added has passed.
  void run() {
    while (acked_.next < acked_.wires.size() || lossy_.next < lossy_.wires.size()) {
      clock_.now += events_.below(400'000);
      const std::uint32_t which = events_.below(16);
      if (which < 8) {
        pipeline_->move_on();
        if (counters.batches_in - counters.batches_settled < in_flight_max) pipeline_->take_in(which % 2);
      } else if (which < 14) {
        pipeline_->score(std::chrono::nanoseconds(0));
      } else if (which < 15) {
        pipeline_->put_out(std::chrono::nanoseconds(0));
      } else {
        pipeline_->settle();
        pipeline_->do_light_work(events_.below(4) == 0);
      }
    }
    pipeline_->do_light_work(false);
    drain();
  }

  std::size_t replies() const { return acked_.replies; }
  std::size_t nacks() const { return acked_.nacks; }

  Counters counters;
  QuietPublisher publisher;

 private:
  void add(std::uint32_t source, Wire wire) {
    if (source == 0) {
      Json header = Json::parse(wire[0]);
      const std::uint32_t producer = events_.below(2);
      header["producer"] = producer ? "p" : "a producer whose name is rather long";
      header["seq"] = ++seqs_[producer];
      wire[0] = header.dump();
    }
    (source == 0 ? acked_ : lossy_).wires.push_back(std::move(wire));
  }

  void drain() {
    while (!pipeline_->idle()) {
      clock_.now += 1'000'000;
      pipeline_->move_on();
      pipeline_->score(std::chrono::nanoseconds(0));
      pipeline_->put_out(std::chrono::nanoseconds(0));
      pipeline_->settle();
    }
  }

  Directory models_, results_;
  ManualClock clock_;
  std::shared_ptr<Device> device_ = Device::cpu({chosen_cpu_tier(), 2});
  StreamCounterTable streams_;
  QuietSource acked_{Delivery::acked}, lossy_{Delivery::lossy};
  Events events_;
  std::uint64_t seqs_[2] = {0, 0};
  std::unique_ptr<Pipeline> pipeline_;
};

void expect_no_allocations(std::optional<ResultsFormat> format) {
  SteadyHost host(format);
  host.warm_up();
  host.add_usual(3000);
  const std::uint64_t direct = host.counters.rows_direct, staged = host.counters.rows_staged,
                      settled = host.counters.batches_settled, syncs = host.counters.results_syncs;
  const std::size_t alerts = host.publisher.alerts, replies = host.replies(), before = test::allocations();
  host.run();
  const std::size_t after = test::allocations();
  EXPECT_EQ(after - before, 0u);
  EXPECT_EQ(host.counters.batches_settled - settled, 3000u);
  EXPECT_GT(host.counters.rows_direct - direct, 10'000u);
  EXPECT_GT(host.counters.rows_staged - staged, 10'000u);
  EXPECT_GT(host.publisher.alerts - alerts, 1000u);
  EXPECT_GT(host.replies() - replies, 100u);
  EXPECT_EQ(host.nacks(), 0u);
  EXPECT_EQ(host.counters.events_refused, 0u);
  if (format) {
    EXPECT_GT(host.counters.results_syncs - syncs, 100u);
  }
}

TEST(Allocation, IsCounted) {
  const auto device = Device::cpu({chosen_cpu_tier(), 1});
  const std::size_t before = test::allocations();
  const auto made = std::make_unique<std::string>(100, 'x');
  EXPECT_EQ(test::allocations() - before, 2u);
  const auto pinned = device->pinned<float>(10);
  EXPECT_EQ(test::allocations() - before, 3u) << "a device's memory too";
}

TEST(Allocation, NoneFromMessageToAcknowledgement) {
  expect_no_allocations(std::nullopt);
}

TEST(Allocation, NoneWithResultsAsCsv) {
  expect_no_allocations(ResultsFormat::csv);
}

TEST(Allocation, NoneWithResultsAsArrow) {
  expect_no_allocations(ResultsFormat::arrow);
}

}  // namespace
}  // namespace lanner::host
