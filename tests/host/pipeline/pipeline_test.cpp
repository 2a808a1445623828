#include "host/pipeline/pipeline.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/host/pipeline/simulated_host.hpp"

namespace lanner::host {
namespace {

constexpr std::size_t width = 5;

IngestConfig acked() {
  IngestConfig config = lossy();
  config.delivery = Delivery::acked;
  config.batch_bytes_max = 1 << 20;
  return config;
}

DeviceConfig slots_of(std::size_t rows, std::size_t slots = 4) {
  DeviceConfig device;
  device.batch_max = rows;
  device.slots = slots;
  return device;
}

struct Direct {
  std::vector<float> score;
  std::vector<double> p_value, threshold;
  std::vector<std::uint8_t> flag;
};

// What the engine says of these rows when asked straight.
Direct directly(Device& device, std::shared_ptr<const engine::Model> model, const std::vector<float>& rows,
                const engine::DecisionRule& rule) {
  const std::size_t n = rows.size() / width;
  engine::ModelScorer scorer(model, device);
  Direct out{std::vector<float>(n), std::vector<double>(n), std::vector<double>(n),
             std::vector<std::uint8_t>(n)};
  std::vector<std::uint8_t> extrapolated(n), refused(n);
  std::vector<float> features(rows);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t f = 0; f < width; ++f) refused[i] |= std::isfinite(rows[i * width + f]) ? 0 : 1;
    if (refused[i]) std::fill_n(features.begin() + static_cast<std::ptrdiff_t>(i * width), width, 0.0f);
  }
  auto workspace = device.pinned<std::byte>(scorer.workspace_bytes(n));
  Stream stream = device.stream();
  scorer.score(stream, {features.data(), n, width, width}, refused, workspace.span(), out.score, out.p_value,
               extrapolated);
  engine::Decider(rule).decide(out.p_value, extrapolated, refused, {}, out.threshold, out.flag);
  engine::DriftWatch drift(model->drift());
  for (std::size_t i = drift.watch({features.data(), n, width, width}, out.score, refused); i < n; ++i)
    out.flag[i] |= engine::flag_withdrawn;
  return out;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class T>
std::vector<T> joined(const std::vector<Published>& messages, std::size_t frame) {
  std::vector<T> all;
  for (const Published& message : messages) {
    const auto part = message.values<T>(frame);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

TEST(Pipeline, ScoresAreTheEngineWhateverTheCutOfBatchesAndSlots) {
  const auto device = Device::cpu({chosen_cpu_tier(), 1});
  const auto model = fitted(*device, width, "histogram");
  std::vector<float> rows = normal_rows(3000, width, 7, 1.5f);
  rows[17 * width] = std::numeric_limits<float>::quiet_NaN();
  rows[1234 * width + 2] = std::numeric_limits<float>::infinity();
  for (const std::size_t slot_rows : {1, 7, 256, 8192}) {
    for (unsigned seed = 1; seed <= 4; ++seed) {
      SimulatedHost host({slots_of(slot_rows, 2), lossy(), false}, {stream_of("s", width)});
      host.use("s", {model});
      std::mt19937 random(seed);
      std::vector<std::size_t> sizes;
      for (std::size_t at = 0; at < 3000;) {
        const std::size_t n =
            std::min<std::size_t>(3000 - at, random() % 8 ? random() % 20 : random() % 1500);
        sizes.push_back(n);
        host.source.incoming.push_back(tensor("", "s",
                                              {rows.begin() + static_cast<std::ptrdiff_t>(at * width),
                                               rows.begin() + static_cast<std::ptrdiff_t>((at + n) * width)},
                                              width));
        at += n;
        for (int i = 0; i < 5; ++i) host.step(static_cast<unsigned>(random()));
        if (random() % 4 == 0) host.clock.now += static_cast<std::int64_t>(random() % 4'000'000);
      }
      host.drain();
      const auto messages = host.publisher.of("scores.s");
      ASSERT_EQ(messages.size(), sizes.size()) << "one message a batch, empty ones included";
      for (std::size_t i = 0; i < sizes.size(); ++i) {
        ASSERT_EQ(messages[i].header()["n"], sizes[i]);
        ASSERT_EQ(messages[i].header()["seq"], i + 1);
        ASSERT_EQ(messages[i].frames.size(), 5u);
      }
      const Direct expected = directly(*device, model, rows, engine::FalseAlarmRate{0.01});
      EXPECT_TRUE(same_bits(joined<double>(messages, 2), expected.p_value));
      EXPECT_TRUE(same_bits(joined<double>(messages, 3), expected.threshold));
      EXPECT_TRUE(same_bits(joined<std::uint8_t>(messages, 4), expected.flag));
      auto scores = joined<float>(messages, 1);
      ASSERT_EQ(scores.size(), 3000u);
      EXPECT_TRUE(std::isnan(scores[17]) && std::isnan(scores[1234]));
      EXPECT_TRUE(same_bits(scores, expected.score));
      EXPECT_EQ(host.counters.events_in, 3000u);
      EXPECT_EQ(host.counters.events_scored, 2998u);
      EXPECT_EQ(host.counters.events_refused, 2u);
    }
  }
}

TEST(Pipeline, LargeCleanBatchesAreScoredWhereTheyLie) {
  SimulatedHost host({slots_of(512), lossy(), false}, {stream_of("s", width)});
  const auto model = fitted(*host.device, width, "histogram");
  host.use("s", {model});
  const std::vector<float> small = normal_rows(10, width, 3), large = normal_rows(1300, width, 4);
  host.source.incoming.push_back(tensor("", "s", small, width));
  host.source.incoming.push_back(tensor("", "s", large, width));
  host.source.incoming.push_back(tensor("", "s", small, width));
  host.drain();
  EXPECT_EQ(host.counters.rows_direct, 1300u);
  EXPECT_EQ(host.counters.rows_staged, 20u);
  std::vector<float> all = small;
  all.insert(all.end(), large.begin(), large.end());
  all.insert(all.end(), small.begin(), small.end());
  const Direct expected = directly(*host.device, model, all, engine::FalseAlarmRate{0.01});
  EXPECT_TRUE(same_bits(joined<float>(host.publisher.of("scores.s"), 1), expected.score));
}

TEST(Pipeline, AlertsTellWhyAndOnlyActiveModelsRaiseThem) {
  SimulatedHost host({slots_of(64), lossy(), false}, {stream_of("s", width)});
  const auto model = fitted(*host.device, width, "histogram");
  host.use("s", {model, model}, {Role::active, Role::shadow});
  std::vector<float> rows = normal_rows(300, width, 5);
  for (std::size_t f = 0; f < width; ++f) rows[42 * width + f] = 40;
  host.source.incoming.push_back(tensor("", "s", rows, width));
  host.drain();
  const auto scores = host.publisher.of("scores.s");
  ASSERT_EQ(scores.size(), 2u) << "one for each model";
  EXPECT_EQ(scores[0].frames[1], scores[1].frames[1]);
  const auto flags = scores[0].values<std::uint8_t>(4);
  const auto flagged =
      static_cast<std::size_t>(std::count_if(flags.begin(), flags.end(), [](auto f) { return f & 1; }));
  ASSERT_TRUE(flags[42] & 1);
  const auto alerts = host.publisher.of("alerts.s");
  ASSERT_EQ(alerts.size(), flagged);
  EXPECT_EQ(host.counters.alerts, flagged);
  bool found = false;
  for (const Published& published : alerts) {
    const Json alert = published.header();
    EXPECT_EQ(alert["model"], "histogram0");
    const std::string event = alert["event"];
    const std::size_t row = std::stoul(event.substr(event.rfind(':') + 1));
    found |= row == 42;
    EXPECT_FLOAT_EQ(alert["score"].get<float>(), scores[0].values<float>(1)[row]);
    ASSERT_EQ(alert["contributions"].size(), width);
    double sum = alert["base"], sizes = 0, shares = 0, last = std::numeric_limits<double>::infinity();
    for (const Json& c : alert["contributions"]) {
      sum += c["contribution"].get<double>();
      sizes += std::fabs(c["contribution"].get<double>());
      shares += c["share"].get<double>();
      EXPECT_LE(std::fabs(c["contribution"].get<double>()), last);
      last = std::fabs(c["contribution"].get<double>());
      const std::size_t f = std::stoul(c["feature"].get<std::string>().substr(1));
      EXPECT_FLOAT_EQ(c["value"].get<float>(), rows[row * width + f]);
    }
    EXPECT_NEAR(sum, alert["score"].get<double>(), 1e-5 * sizes + 1e-9);
    EXPECT_NEAR(shares, 1, 1e-9);
  }
  EXPECT_TRUE(found);
}

TEST(Pipeline, AFloodOfFlaggedRowsIsExplainedRowByRow) {
  SimulatedHost host({slots_of(100), lossy(), false}, {stream_of("s", width)});
  const auto model = fitted(*host.device, width, "histogram");
  host.use("s", {model});
  const std::vector<float> rows = normal_rows(500, width, 5, 50);
  host.source.incoming.push_back(tensor("", "s", rows, width));
  host.drain();
  const auto alerts = host.publisher.of("alerts.s");
  EXPECT_GT(alerts.size(), 300u);
  for (const Published& published : alerts) {
    const Json alert = published.header();
    const std::string event = alert["event"];
    const std::size_t row = std::stoul(event.substr(event.rfind(':') + 1));
    double sum = alert["base"], sizes = 0;
    for (const Json& c : alert["contributions"]) {
      sum += c["contribution"].get<double>(), sizes += std::fabs(c["contribution"].get<double>());
      const std::size_t f = std::stoul(c["feature"].get<std::string>().substr(1));
      ASSERT_FLOAT_EQ(c["value"].get<float>(), rows[row * width + f]);
    }
    ASSERT_NEAR(sum, alert["score"].get<double>(), 1e-5 * sizes + 1e-9);
  }
}

TEST(Pipeline, AStreamWithNoModelLearnsAndSwapsIn) {
  StreamConfig stream = stream_of("s", width);
  stream.learn->rows = 1000;
  stream.learn->fit.detector = "histogram";
  stream.learn->name = "learned";
  SimulatedHost host({slots_of(256), lossy(), false}, {stream});
  for (int i = 0; i < 5; ++i)
    host.source.incoming.push_back(tensor("", "s", normal_rows(300, width, static_cast<unsigned>(i)), width));
  host.drain();
  ASSERT_EQ(host.to_learn.size(), 1u) << "once, though more came";
  EXPECT_EQ(host.counters.events_learning, 1500u);
  EXPECT_TRUE(host.publisher.of("scores.s").empty());
  const auto [name, learning] = host.to_learn[0];
  EXPECT_EQ(learning->rows(), 1000u);
  const auto model = learning->fit(*host.device);
  host.pipeline->replace_routes(with_learned(*host.pipeline->routes(), "s", *learning, model,
                                             learning->state_after(*model), *host.device));
  host.source.incoming.push_back(tensor("", "s", normal_rows(300, width, 9), width));
  host.drain();
  const auto scores = host.publisher.of("scores.s");
  ASSERT_EQ(scores.size(), 1u);
  EXPECT_EQ(scores[0].header()["model"], "learned");
  EXPECT_EQ(scores[0].header()["model_hash"], model->hash());
  EXPECT_EQ(host.counters.events_scored, 300u);
  EXPECT_EQ(host.pipeline->routes()->at("s")->learning, nullptr);
}

TEST(Pipeline, RoutesChangeBetweenBatchesWithNoneLost) {
  SimulatedHost host({slots_of(64, 2), lossy(), false}, {stream_of("s", width)});
  const auto first = fitted(*host.device, width, "histogram", 1),
             second = fitted(*host.device, width, "histogram", 2);
  ASSERT_NE(first->hash(), second->hash());
  host.use("s", {first});
  std::mt19937 random(3);
  const auto rows = normal_rows(50, width, 6);
  std::size_t sent = 0;
  for (int round = 0; round < 200; ++round) {
    host.source.incoming.push_back(tensor("", "s", rows, width));
    ++sent;
    for (unsigned i = random() % 6; i > 0; --i) host.step(static_cast<unsigned>(random()));
    if (round % 10 == 9) host.use("s", {round % 20 == 9 ? second : first});
  }
  host.drain();
  const Direct by_first = directly(*host.device, first, rows, engine::FalseAlarmRate{0.01});
  const Direct by_second = directly(*host.device, second, rows, engine::FalseAlarmRate{0.01});
  const auto messages = host.publisher.of("scores.s");
  ASSERT_EQ(messages.size(), sent);
  std::size_t firsts = 0;
  for (std::size_t i = 0; i < sent; ++i) {
    EXPECT_EQ(messages[i].header()["seq"], i + 1) << "in the order of intake";
    const bool is_first = messages[i].header()["model_hash"] == first->hash();
    firsts += is_first;
    EXPECT_TRUE(same_bits(messages[i].values<float>(1), is_first ? by_first.score : by_second.score));
  }
  EXPECT_GT(firsts, 0u);
  EXPECT_LT(firsts, sent);
}

TEST(Pipeline, HoldsBackWhenNothingGoesOut) {
  SimulatedHost host({slots_of(64, 2), lossy(), false}, {stream_of("s", width)});
  host.use("s", {fitted(*host.device, width, "histogram")});
  const auto rows = normal_rows(100, width, 6);
  for (int i = 0; i < 5000; ++i) host.source.incoming.push_back(tensor("", "s", rows, width));
  while (host.step(0)) {
  }
  EXPECT_GE(host.source.incoming.size(), 4990u)
      << "two slots of 64 rows hold no more than one batch and a bit";
  for (int i = 0; i < 20'000; ++i) host.step(static_cast<unsigned>(i) % 2);
  EXPECT_GE(host.source.incoming.size(), 5000u - host.pipeline->batches())
      << "no more than the batches there are";
  host.drain();
  EXPECT_EQ(host.publisher.of("scores.s").size(), 5000u);
}

TEST(Pipeline, RowsWaitForOthersOnlyWhileScoringIsBusy) {
  SimulatedHost host({slots_of(1000), lossy(), false}, {stream_of("s", width)});
  host.use("s", {fitted(*host.device, width, "histogram")});
  const auto receive = [&](unsigned seed) {
    host.source.incoming.push_back(tensor("", "s", normal_rows(3, width, seed), width));
    ASSERT_TRUE(host.pipeline->take_in(0));
    host.pipeline->hand_on();
  };
  receive(1);
  EXPECT_FALSE(host.pipeline->has_open()) << "nothing was being scored";
  EXPECT_EQ(host.pipeline->queued_slots(), 1u);
  receive(2);
  receive(3);
  EXPECT_TRUE(host.pipeline->has_open());
  EXPECT_EQ(host.pipeline->queued_slots(), 1u);
  ASSERT_TRUE(host.step(1));  // the first has been scored: the next two go together
  host.pipeline->hand_on();
  EXPECT_FALSE(host.pipeline->has_open());
  EXPECT_EQ(host.pipeline->queued_slots(), 1u);
  host.drain();
  EXPECT_EQ(host.publisher.of("scores.s").size(), 3u);
}

class LightWork : public ::testing::Test {
 protected:
  explicit LightWork(bool results = false) : host({slots_of(64), lossy(), results}, {stream_of("s", width)}) {
    host.use("s", {fitted(*host.device, width, "histogram")});
    receive();
    host.drain();  // the first of a size goes to the scoring thread, since nobody knows what it takes
    host.pipeline->do_light_work(true);
  }
  void receive() {
    host.source.incoming.push_back(tensor("", "s", normal_rows(10, width, 3), width));
    host.pipeline->take_in(0);
    host.pipeline->hand_on();
  }
  std::size_t published() const { return host.publisher.of("scores.s").size(); }
  SimulatedHost host;
};

TEST_F(LightWork, IsDoneWhereItCame) {
  receive();
  EXPECT_EQ(published(), 2u);
  EXPECT_EQ(host.pipeline->queued_slots() + host.pipeline->queued_batches(), 0u);
  host.pipeline->settle();
  EXPECT_TRUE(host.pipeline->idle());
  host.pipeline->do_light_work(false);
  receive();
  EXPECT_EQ(published(), 2u);
  EXPECT_EQ(host.pipeline->queued_slots(), 1u);
}

TEST_F(LightWork, IsNotWhatTakesLong) {
  const auto costs = host.pipeline->routes()->at("s")->costs;
  for (int i = 0; i < 200; ++i) costs->learn(CostModel::Where::cpu, 10, 1'000'000);
  receive();
  EXPECT_EQ(published(), 1u);
  EXPECT_EQ(host.pipeline->queued_slots(), 1u);
}

TEST_F(LightWork, DoesNotPassWhatCameBefore) {
  host.pipeline->do_light_work(false);
  receive();
  host.pipeline->do_light_work(true);
  host.pipeline->routes()->at("s")->costs->learn(CostModel::Where::cpu, 64, 1000);
  host.source.incoming.push_back(tensor("", "s", normal_rows(64, width, 3), width));  // a whole slot
  host.pipeline->take_in(0);
  EXPECT_EQ(published(), 1u);
  EXPECT_EQ(host.pipeline->queued_slots(), 2u);
  host.drain();
  EXPECT_EQ(published(), 3u);
}

class StoredLightWork : public LightWork {
 protected:
  StoredLightWork() : LightWork(true) {}
};

TEST_F(StoredLightWork, WaitsForNoDisk) {
  receive();
  EXPECT_EQ(host.counters.slots_scored, 2u);
  EXPECT_EQ(published(), 1u);
  EXPECT_EQ(host.pipeline->queued_batches(), 1u) << "storing is the outlet thread's";
  host.drain();
  EXPECT_EQ(published(), 2u);
}

TEST(Pipeline, StreamsShareSlotsWithoutStarvingEachOther) {
  std::vector<StreamConfig> streams;
  for (int s = 0; s < 6; ++s) streams.push_back(stream_of("s" + std::to_string(s), width));
  SimulatedHost host({slots_of(64, 2), lossy(), false}, streams);
  const auto model = fitted(*host.device, width, "histogram");
  for (int s = 0; s < 6; ++s) host.use("s" + std::to_string(s), {model});
  std::mt19937 random(11);
  for (int i = 0; i < 600; ++i)
    host.source.incoming.push_back(
        tensor("", "s" + std::to_string(i % 6), normal_rows(random() % 30, width, random()), width));
  host.drain();
  for (int s = 0; s < 6; ++s) EXPECT_EQ(host.publisher.of("scores.s" + std::to_string(s)).size(), 100u);
}

class AckedPipeline : public testing::Test {
 protected:
  AckedPipeline() : host({slots_of(64), acked(), true}, {stream_of("s", width)}) {
    model = fitted(*host.device, width, "histogram");
    host.use("s", {model});
  }
  Json hello(const std::string& peer = "a") {
    host.source.incoming.push_back({peer, {R"({"v":1,"hello":true,"producer":"p"})"}});
    host.drain();
    return host.source.pop(peer);
  }
  void send(std::uint64_t seq, std::size_t n = 10, const std::string& peer = "a") {
    host.source.incoming.push_back(
        tensor(peer, "s", normal_rows(n, width, static_cast<unsigned>(seq)), width, "p", seq));
  }
  void run(int rounds = 200) {
    for (int i = 0; i < rounds; ++i) {
      for (unsigned which = 0; which < 4; ++which) host.step(which);
      host.clock.now += 1'000'000;
    }
  }
  SimulatedHost host;
  std::shared_ptr<const engine::Model> model;
};

TEST_F(AckedPipeline, AcksFollowTheSync) {
  hello();
  host.disk.fail_sync = true;
  for (std::uint64_t seq = 1; seq <= 5; ++seq) send(seq);
  run();
  EXPECT_EQ(host.source.pop("a"), Json()) << "nothing is acknowledged that isn't on the disk";
  EXPECT_TRUE(host.pipeline->failing());
  EXPECT_EQ(host.publisher.of("scores.s").size(), 5u);
  host.disk.fail_sync = false;
  host.clock.now += 2'000'000'000;
  host.drain();
  Json last;
  for (Json answer = host.source.pop("a"); !answer.is_null(); answer = host.source.pop("a")) last = answer;
  EXPECT_EQ(last["ack"], 5);
  EXPECT_EQ(host.disk.rows.size(), 50u) << "written again by a new sink, each row once";
  EXPECT_EQ(host.publisher.of("scores.s").size(), 5u) << "published once";
  EXPECT_FALSE(host.pipeline->failing());
}

TEST_F(AckedPipeline, ADiskThatFailsForAWhileLosesAndDoublesNothing) {
  hello();
  std::mt19937 random(5);
  std::uint64_t next = 1, acked = 0;
  for (int i = 0; i < 20'000 && acked < 300; ++i) {
    if (next <= 300 && random() % 3 == 0 && next - acked < 50) send(next++);
    if (random() % 50 == 0) {
      host.disk.fail_append = random() % 4 == 0;
      host.disk.fail_sync = random() % 4 == 0;
      host.disk.fail_open = random() % 8 == 0;
    }
    host.step(static_cast<unsigned>(random()));
    host.clock.now += 20'000'000;
    for (Json answer = host.source.pop("a"); !answer.is_null(); answer = host.source.pop("a")) {
      ASSERT_FALSE(answer.contains("nack")) << answer;
      if (answer.contains("ack")) acked = answer["ack"];
    }
    ASSERT_LE(acked, host.disk.settled["p"]);
  }
  host.disk.fail_append = host.disk.fail_sync = host.disk.fail_open = false;
  host.clock.now += 2'000'000'000;
  host.drain();
  EXPECT_EQ(host.disk.settled["p"], next - 1);
  EXPECT_EQ(host.disk.rows.size(), 10 * (next - 1));
}

TEST_F(AckedPipeline, OneSyncServesAllThatWait) {
  hello();
  for (std::uint64_t seq = 1; seq <= 20; ++seq) send(seq);
  for (int i = 0; i < 100; ++i) host.step(0);
  host.clock.now += 5'000'000;
  for (int i = 0; i < 20; ++i) host.step(0), host.step(1);
  const int before = host.disk.syncs;
  host.drain();
  EXPECT_EQ(host.disk.syncs, before + 1);
  const Json answer = host.source.pop("a");
  EXPECT_EQ(answer["ack"], 20) << "and one answer";
  EXPECT_EQ(answer["credit"], 20 * 10 * width * 4);
}

TEST_F(AckedPipeline, RefusedBatchesAreSettledInTheirTurn) {
  hello();
  send(1);
  host.source.incoming.push_back(tensor("a", "nowhere", normal_rows(3, width, 1), width, "p", 2));
  host.source.incoming.push_back(
      {"a", {R"({"v":1,"stream":"s","producer":"p","seq":3,"format":"jsonl"})", "{broken\n{\"x0\":1}\n"}});
  host.source.incoming.push_back(
      {"a", {R"({"v":2,"stream":"s","producer":"p","seq":4,"format":"tensor"})", "x"}});
  host.source.incoming.push_back(
      {"a", {R"({"v":1,"stream":"s","producer":"p","seq":5,"format":"csv"})", "x"}});
  host.source.incoming.push_back({"a", {R"({"v":1,"stream":"s","producer":"p","seq":6,"format":"jsonl"})"}});
  host.source.incoming.push_back(
      {"a",
       {R"({"v":1,"stream":"s","producer":"p","seq":7,"format":"tensor","dtype":"float32","shape":[1,5]})",
        std::string((1 << 20) + 1, 'x')}});
  host.source.incoming.push_back(tensor("a", "s", {}, width, "p", 8));
  send(9);
  host.drain();
  std::map<std::uint64_t, Json> nacks;
  std::uint64_t acked = 0;
  for (Json answer = host.source.pop("a"); !answer.is_null(); answer = host.source.pop("a")) {
    if (answer.contains("ack")) acked = std::max<std::uint64_t>(acked, answer["ack"]);
    if (answer.contains("nack")) {
      ASSERT_TRUE(answer["nack"].is_number()) << answer;
      EXPECT_LT(acked, answer["nack"].get<std::uint64_t>()) << "the nack comes before the ack that passes it";
      EXPECT_FALSE(answer.contains("retry")) << answer;
      nacks[answer["nack"]] = answer;
    }
  }
  EXPECT_EQ(acked, 9u);
  for (const std::uint64_t seq : {2, 4, 5, 6, 7}) EXPECT_TRUE(nacks.contains(seq)) << seq;
  ASSERT_TRUE(nacks.contains(3));
  EXPECT_EQ(nacks.size(), 6u);
  EXPECT_EQ(host.disk.settled["p"], 9u);
  const auto messages = host.publisher.of("scores.s");
  EXPECT_EQ(messages.front().header()["seq"], 1);
  EXPECT_EQ(messages.back().header()["seq"], 9);
}

TEST_F(AckedPipeline, BadRowsAreNamedAndTheirNeighboursScored) {
  hello();
  std::vector<float> rows = normal_rows(300, width, 3);
  for (std::size_t row = 0; row < 300; row += 2)
    rows[row * width + 1] = std::numeric_limits<float>::quiet_NaN();
  host.source.incoming.push_back(tensor("a", "s", rows, width, "p", 1));
  host.drain();
  const Json nack = host.source.pop("a");
  EXPECT_EQ(nack["nack"], 1);
  EXPECT_EQ(nack["rows_refused"], 150);
  ASSERT_EQ(nack["rows"].size(), 100u);
  EXPECT_EQ(nack["rows"][1]["row"], 2);
  EXPECT_FALSE(nack["rows"][1]["reason"].get<std::string>().empty());
  EXPECT_EQ(host.source.pop("a")["ack"], 1);
  const auto messages = host.publisher.of("scores.s");
  ASSERT_EQ(messages.size(), 1u);
  const auto flags = messages[0].values<std::uint8_t>(4);
  const auto scores = messages[0].values<float>(1);
  for (std::size_t row = 0; row < 300; ++row) {
    EXPECT_EQ(flags[row] & 2, row % 2 ? 0 : 2);
    EXPECT_EQ(std::isnan(scores[row]), row % 2 == 0);
  }
  EXPECT_EQ(host.counters.events_scored, 150u);
}

// kill -9 at any moment: whatever had been acknowledged is on the disk, and a faithful producer gets the rest
// through.
TEST_F(AckedPipeline, ACrashAtAnyMomentLosesNothingAcknowledged) {
  for (unsigned seed = 1; seed <= 10; ++seed) {
    host.disk = {};
    std::mt19937 random(seed);
    const std::uint64_t total = 60;
    std::uint64_t acked = 0, next = 1;
    int crashes = 0;
    std::string peer = "a";
    const auto connect = [&] {
      peer = "c" + std::to_string(random());
      host.source.incoming.push_back({peer, {R"({"v":1,"hello":true,"producer":"p"})"}});
      while (host.source.answers[peer].empty())
        host.step(static_cast<unsigned>(random())), host.clock.now += 1'000'000;
      const Json answer = host.source.pop(peer);
      EXPECT_GE(answer["ack"].get<std::uint64_t>(), acked)
          << "it forgot what it had acknowledged, seed " << seed;
      acked = answer["ack"];
      next = acked + 1;
    };
    host.start();
    host.use("s", {model});
    connect();
    for (int i = 0; i < 100'000 && acked < total; ++i) {
      if (random() % 4 == 0 && next <= total) send(next++, 7, peer);
      host.step(static_cast<unsigned>(random()));
      host.clock.now += 500'000;
      for (Json answer = host.source.pop(peer); !answer.is_null(); answer = host.source.pop(peer)) {
        ASSERT_FALSE(answer.contains("nack")) << answer;
        if (answer.contains("ack")) acked = answer["ack"];
      }
      if (random() % 50 == 0 && crashes < 20) {
        ++crashes;
        host.start();
        host.use("s", {model});
        connect();
      }
    }
    EXPECT_EQ(acked, total) << "seed " << seed;
    EXPECT_GT(crashes, 0);
    std::set<Disk::Row> rows(host.disk.rows.begin(), host.disk.rows.end());
    EXPECT_EQ(rows.size(), total * 7) << "every row, at least once, under its own name";
  }
}

TEST(Pipeline, WithNoDurablePointAcksFollowPublication) {
  IngestConfig ingest = acked();
  ingest.durable = Durable::none;
  SimulatedHost host({slots_of(64), ingest, true}, {stream_of("s", width)});
  host.use("s", {fitted(*host.device, width, "histogram")});
  host.source.incoming.push_back({"a", {R"({"v":1,"hello":true,"producer":"p"})"}});
  host.source.incoming.push_back(tensor("a", "s", normal_rows(3, width, 1), width, "p", 1));
  host.drain();
  host.source.pop("a");
  EXPECT_EQ(host.source.pop("a")["ack"], 1);
  EXPECT_EQ(host.disk.syncs, 0);
}

}  // namespace
}  // namespace lanner::host
