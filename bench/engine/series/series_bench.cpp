// Rows per second of one series and of one machine, row by row as they come, on one thread.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "engine/series/multivariate.hpp"
#include "engine/series/series_detector.hpp"
#include "tests/engine/series/made_series.hpp"

namespace {

using namespace lanner;
using namespace lanner::engine;

// Long after the warm-up, when every window and histogram is full.
void series_rows(benchmark::State& state) {
  std::vector<double> values = daily(4000);
  values.back() = 1e6;
  SeriesDetector detector;
  bool found = false;
  for (std::size_t i = 0; i < values.size(); ++i) found = detector.push(made_time_ns(i), values[i]).alarm;
  if (!found) state.SkipWithError("a spike was no alarm");
  std::size_t row = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(detector.push(made_time_ns(row), values[row % 2000]));
    ++row;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(series_rows);

void machine_rows(benchmark::State& state) {
  const auto device = Device::cpu({chosen_cpu_tier(), 1});
  const std::vector<double> rows = machine(8000, 3);
  MultivariateDetector detector(*device,
                                std::make_shared<const MultivariateModel>(fit_multivariate(rows, 3)));
  const std::vector<double> far{5000, 5000, 5000};
  if (!(detector.push(far) > detector.push_rows(rows).back())) state.SkipWithError("a far row scored low");
  std::size_t row = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(detector.push(std::span(rows).subspan(3 * (row % 8000), 3)));
    ++row;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(machine_rows);

}  // namespace

BENCHMARK_MAIN();
