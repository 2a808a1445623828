// Scores to p-values: events per second of one thread, for calibration sets of several sizes and shapes.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/tail/tail.hpp"

namespace {

using namespace lanner;

// smooth: spread over orders of magnitude, as distances and reconstruction errors are. narrow: a small range
// far from zero. clusters: what the look-up tables cannot part, the worst case.
enum Shape { smooth, narrow, clusters };

float draw(std::mt19937& random, Shape shape) {
  std::normal_distribution<double> normal;
  switch (shape) {
    case smooth:
      return static_cast<float>(std::exp(normal(random)));
    case narrow:
      return static_cast<float>(1000 + 0.1 * normal(random));
    case clusters:
      break;
  }
  return static_cast<float>((random() % 2 ? 1e-30 : 1e30) *
                            (1 + 1e-7 * static_cast<double>(random() % 9999)));
}

void p_values_of(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0));
  const auto shape = static_cast<Shape>(state.range(1));
  std::mt19937 random(1);
  tail::Calibration calibration;
  for (std::size_t i = 0; i < n; ++i) calibration.scores.push_back(draw(random, shape));
  std::sort(calibration.scores.begin(), calibration.scores.end());
  const auto device = Device::cpu({chosen_cpu_tier(), 1});
  const auto resident = tail::make_tail(*device, calibration);
  std::vector<float> scores(65'536);
  for (float& s : scores) s = draw(random, shape);
  std::vector<double> p(scores.size());
  std::vector<std::uint8_t> extrapolated(scores.size());
  Stream stream = device->stream();
  tail::p_values(stream, *resident, scores, p, extrapolated);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const auto reached = calibration.scores.end() -
                         std::lower_bound(calibration.scores.begin(), calibration.scores.end(), scores[i]);
    if (p[i] != (1.0 + static_cast<double>(reached)) / (static_cast<double>(n) + 1.0)) {
      state.SkipWithError("wrong p-value");
      return;
    }
  }
  for (auto _ : state) {
    tail::p_values(stream, *resident, scores, p, extrapolated);
    benchmark::DoNotOptimize(p.data());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * scores.size()));
}
BENCHMARK(p_values_of)
    ->ArgNames({"calibration", "shape"})
    ->ArgsProduct({{1'000, 10'000, 100'000, 1'000'000}, {smooth, narrow, clusters}});

}  // namespace

BENCHMARK_MAIN();
