// Events a second by a resident model on each device there is: one thread, all threads, a GPU by round trips
// (pinned rows in, kernels, p-values, pinned results out) of which three are under way, and of which one is
// (the latency of a lone batch). What the devices answer is compared, bit for bit, before anything is timed.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/model/model.hpp"
#include "engine/model/round_trip.hpp"
#include "kernels/device/cuda.hpp"
#include "tests/kernels/nearest/made_rows.hpp"

namespace {

using namespace lanner;

constexpr std::size_t queries_max = 16'384;

struct Case {
  std::string detector;
  std::size_t fitted_on, width;
  std::map<std::string, std::string> settings;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"nearest_neighbours", 100'000, 8, {{"k", "10"}}},
      {"nearest_neighbours", 100'000, 32, {{"k", "10"}}},
      {"nearest_neighbours", 100'000, 128, {{"k", "10"}}},
      {"nearest_neighbours", 1'000'000, 32, {{"k", "10"}}},
      {"nearest_neighbours", 100'000, 32, {{"k", "100"}}},
      {"local_outlier_factor", 100'000, 32, {}},
      {"kernel_density", 100'000, 32, {}},
      {"histogram", 100'000, 32, {}},
      {"ecod", 100'000, 32, {}},
      {"copod", 100'000, 32, {}},
      {"mahalanobis", 20'000, 32, {}},
      {"pca", 20'000, 32, {}},
      {"autoencoder", 20'000, 32, {{"hidden", "16,8,16"}, {"epochs", "2"}}},
      {"autoencoder", 20'000, 128, {{"hidden", "64,16,64"}, {"epochs", "2"}}},
      {"isolation_forest", 20'000, 32, {}},
      {"extended_isolation_forest", 20'000, 32, {}},
      {"random_cut_forest", 20'000, 32, {}},
      {"ensemble", 20'000, 32, {}},
  };
  return all;
}

struct Fitted {
  std::shared_ptr<const engine::Model> model;
  std::vector<float> queries;  // [queries_max, width]
};

/// Clusters of low rank; the queries are drawn with them.
const Fitted& fitted(const Case& wanted) {
  static std::map<const Case*, Fitted> made;
  Fitted& out = made[&wanted];
  if (out.model) return out;
  std::mt19937 random(5);
  test::MadeRows rows = test::made_low_rank_clusters(wanted.fitted_on + queries_max, wanted.width, random);
  out.queries.assign(rows.row(wanted.fitted_on), rows.row(wanted.fitted_on) + queries_max * wanted.width);
  engine::Schema schema;
  for (std::size_t i = 0; i < wanted.width; ++i)
    schema.fields.push_back({"x" + std::to_string(i), engine::ColumnKind::number});
  engine::Records records;
  records.count = wanted.fitted_on;
  records.dense = {rows.values.data(), nullptr, wanted.width};
  engine::FitOptions options;
  options.detector = wanted.detector;
  options.settings = wanted.settings;
  options.settings["calibration"] = wanted.fitted_on > 100'000 ? "0.02" : "0.1";
  out.model = engine::Model::fit(*Device::cpu(), schema, records, options);
  return out;
}

struct Answer {
  std::vector<float> scores;
  std::vector<double> p_values;
};

Answer on_cpu(const Fitted& fitted, Device& device, std::size_t count) {
  const engine::ModelScorer scorer(fitted.model, device);
  auto workspace = device.array<std::byte>(scorer.workspace_bytes(count));
  Stream stream = device.stream();
  Answer out{std::vector<float>(count), std::vector<double>(count)};
  std::vector<std::uint8_t> extrapolated(count);
  const std::size_t width = scorer.scorer().width();
  scorer.score(stream, {fitted.queries.data(), count, width, width}, {}, workspace.span(), out.scores,
               out.p_values, extrapolated);
  return out;
}

void check(const Fitted& fitted, const engine::RoundTrip& trip, std::size_t count) {
  static std::map<std::pair<const Fitted*, std::size_t>, bool> checked;
  if (!checked.try_emplace({&fitted, count}, true).second) return;
  const Answer expected = on_cpu(fitted, *Device::cpu(), count);
  if (std::memcmp(trip.scores().data(), expected.scores.data(), count * sizeof(float)) == 0 &&
      std::memcmp(trip.p_values().data(), expected.p_values.data(), count * sizeof(double)) == 0)
    return;
  std::fprintf(stderr, "%s: the GPU's answer is not the CPU's\n",
               std::string(fitted.model->detector().name).c_str());
  std::exit(1);
}

void count_events(benchmark::State& state, std::size_t batch) {
  state.counters["events"] =
      benchmark::Counter(static_cast<double>(state.iterations() * batch), benchmark::Counter::kIsRate);
}

void cpu(benchmark::State& state, const Case& wanted, unsigned threads, std::size_t batch) {
  const Fitted& model = fitted(wanted);
  const auto device = Device::cpu({chosen_cpu_tier(), threads});
  const engine::ModelScorer scorer(model.model, *device);
  auto workspace = device->array<std::byte>(scorer.workspace_bytes(batch));
  Stream stream = device->stream();
  std::vector<float> scores(batch);
  std::vector<double> p_values(batch);
  std::vector<std::uint8_t> extrapolated(batch);
  std::size_t begin = 0;
  for (auto _ : state) {
    scorer.score(stream, {model.queries.data() + begin * wanted.width, batch, wanted.width, wanted.width}, {},
                 workspace.span(), scores, p_values, extrapolated);
    begin = (begin + batch) % queries_max;
  }
  count_events(state, batch);
}

void gpu(benchmark::State& state, const Case& wanted, std::size_t batch, std::size_t under_way) {
  const Fitted& model = fitted(wanted);
  static const auto device = make_cuda_device();
  const engine::ModelScorer scorer(model.model, *device);
  auto pinned = device->pinned<float>(model.queries.size());
  std::ranges::copy(model.queries, pinned.data());
  std::vector<std::unique_ptr<engine::RoundTrip>> trips;
  for (std::size_t i = 0; i < under_way; ++i) {
    trips.push_back(std::make_unique<engine::RoundTrip>(*device));
    trips.back()->make_room(scorer, batch);
  }
  std::size_t begun = 0;
  const auto begin_next = [&] {
    const float* rows = pinned.data() + begun * batch % queries_max * wanted.width;
    trips[begun % under_way]->begin(scorer, {rows, batch, wanted.width, wanted.width});
    ++begun;
  };
  begin_next();
  trips[0]->wait();
  check(model, *trips[0], batch);
  begun = 0;
  for (std::size_t i = 0; i + 1 < under_way; ++i) begin_next();
  for (auto _ : state) {
    begin_next();
    trips[begun % under_way]->wait();  // the oldest
  }
  for (const auto& trip : trips) trip->wait();
  count_events(state, batch);
}

}  // namespace

int main(int argc, char** argv) {
  const CudaDevices found = find_cuda_devices();
  if (found.names.empty()) std::fprintf(stderr, "no GPU: %s\n", found.reason.c_str());
  for (const Case& one : cases()) {
    std::string name = one.detector + "/" + std::to_string(one.fitted_on) + "x" + std::to_string(one.width);
    for (const auto& [key, value] : one.settings)
      if (key == "k") name += "/k:" + value;
    const auto add = [&name](const std::string& where, std::size_t batch, auto... arguments) {
      benchmark::RegisterBenchmark((name + where + "/batch:" + std::to_string(batch)).c_str(), arguments...)
          ->Unit(benchmark::kMicrosecond)
          ->UseRealTime();
    };
    add("/cpu/threads:1", 1024, cpu, std::cref(one), 1u, std::size_t{1024});
    if (chosen_threads() > 1)
      add("/cpu/threads:" + std::to_string(chosen_threads()), 16'384, cpu, std::cref(one), chosen_threads(),
          queries_max);
    if (found.names.empty()) continue;
    for (const std::size_t batch : {1024, 16'384})
      add("/gpu/under_way:3", batch, gpu, std::cref(one), batch, std::size_t{3});
    for (const std::size_t batch : {1, 64, 1024})
      add("/gpu/under_way:1", batch, gpu, std::cref(one), batch, std::size_t{1});
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
