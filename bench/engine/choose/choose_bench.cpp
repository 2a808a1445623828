// What `auto` estimates beside what a fit and an event take on one core here: `ratio` is measured over
// estimated. The constants in engine/choose/costs.cpp were set by it; a tenth or ten says that they mislead
// on this machine.
#include <benchmark/benchmark.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/choose/costs.hpp"
#include "engine/detectors/detector.hpp"
#include "kernels/arithmetic/environment.hpp"
#include "tests/kernels/nearest/made_rows.hpp"

namespace {

using namespace lanner;
using namespace lanner::engine;

constexpr std::size_t queries = 1024;

struct Case {
  std::string name, detector;
  std::map<std::string, std::string> settings;
  Cost (*cost)(double n, double d);
};

template <int rows>
Cost ensemble(double n, double d) {
  return cost_of_ensemble(n, 1, d, rows);
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"ensemble", "ensemble", {}, ensemble<10'000>},
      {"ensemble_3000", "ensemble", {{"rows", "3000"}}, ensemble<3000>},
      {"ensemble_1000", "ensemble", {{"rows", "1000"}}, ensemble<1000>},
      {"mahalanobis", "mahalanobis", {}, cost_of_mahalanobis},
      {"isolation_forest",
       "isolation_forest",
       {},
       [](double n, double) { return cost_of_isolation_forest(n); }},
      {"copod", "copod", {}, cost_of_copod},
      {"histogram", "histogram", {}, cost_of_histogram},
  };
  return all;
}

struct Made {
  test::MadeRows rows;  // n to fit on, and the queries
  std::size_t n;
  Rows training() const { return {rows.values.data(), n, rows.width, rows.width}; }
  Rows fresh() const { return {rows.row(n), queries, rows.width, rows.width}; }
};

// The last of the queries is far from everything.
Made made(std::size_t n, std::size_t d) {
  std::mt19937 random(5);
  Made made{test::made_low_rank_clusters(n + queries, d, random), n};
  for (std::size_t j = 0; j < d; ++j) made.rows.row(n + queries - 1)[j] = 1000;
  return made;
}

std::shared_ptr<const Fitted> fitted(Device& device, const Case& wanted, Rows rows) {
  const Detector& detector = *find_detector(wanted.detector);
  return detector.fit({device, rows, Settings::parse(detector.parameters, wanted.settings), 1, {}, nullptr});
}

std::shared_ptr<Device> one_core() {
  return Device::cpu({chosen_cpu_tier(), 1});
}

// Runs the benchmark's loop.
template <class Work>
void compare(benchmark::State& state, double estimated_s, const Work& work) {
  const auto begun = std::chrono::steady_clock::now();
  for (auto _ : state) work();
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begun;
  state.counters["estimated_ms"] = 1e3 * estimated_s;
  state.counters["ratio"] = taken.count() / static_cast<double>(state.iterations()) / estimated_s;
}

void fit(benchmark::State& state, const Case& wanted, std::size_t n, std::size_t d) {
  const FloatEnvironment environment;
  const auto device = one_core();
  const Made rows = made(n, d);
  compare(state, wanted.cost(static_cast<double>(n), static_cast<double>(d)).fit_s,
          [&] { benchmark::DoNotOptimize(fitted(*device, wanted, rows.training())); });
}

void event(benchmark::State& state, const Case& wanted, std::size_t n, std::size_t d) {
  const FloatEnvironment environment;
  const auto device = one_core();
  const Made rows = made(n, d);
  const auto scorer = fitted(*device, wanted, rows.training())->resident(*device);
  auto workspace = device->array<std::byte>(scorer->workspace_bytes(queries));
  Stream stream = device->stream();
  std::vector<float> scores(queries);
  scorer->score(stream, rows.fresh(), workspace.span(), scores);
  if (!(scores.back() > scores.front())) state.SkipWithError("a far row scored low");
  compare(state, 1e-6 * queries * wanted.cost(static_cast<double>(n), static_cast<double>(d)).event_us,
          [&] { scorer->score(stream, rows.fresh(), workspace.span(), scores); });
}

}  // namespace

int main(int argc, char** argv) {
  for (const Case& one : cases()) {
    for (const std::size_t d : {2, 8, 32, 128, 512}) {
      for (const std::size_t n : {100, 1000, 10'000, 100'000, 1'000'000}) {
        if (n * d > 4'000'000) continue;
        const std::string shape = "/" + std::to_string(n) + "x" + std::to_string(d);
        benchmark::RegisterBenchmark(("fit/" + one.name + shape).c_str(), fit, std::cref(one), n, d)
            ->Unit(benchmark::kMillisecond);
        benchmark::RegisterBenchmark(("event/" + one.name + shape).c_str(), event, std::cref(one), n, d)
            ->Unit(benchmark::kMillisecond);
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
