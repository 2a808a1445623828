// Histogram look-ups: events per second of one thread, bytes of rows read.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/density/histogram.hpp"

namespace {

using namespace lanner;

density::Histograms histograms(std::size_t width, std::size_t bins, bool even, std::mt19937& random) {
  density::Histograms h;
  h.edge_begin = h.penalty_begin = {0};
  for (std::size_t j = 0; j < width; ++j) {
    std::vector<float> edges;
    for (std::size_t k = 0; k <= bins; ++k)
      edges.push_back(-4 + 8 * static_cast<float>(k) / static_cast<float>(bins));
    if (!even) {
      for (std::size_t k = 1; k < bins; ++k) edges[k] = std::uniform_real_distribution<float>(-4, 4)(random);
      std::sort(edges.begin(), edges.end());
    }
    h.edges.insert(h.edges.end(), edges.begin(), edges.end());
    for (std::size_t k = 0; k < bins + 2; ++k)
      h.penalties.push_back(static_cast<float>(random() % 1000) / 100);
    h.edge_begin.push_back(h.edges.size());
    h.penalty_begin.push_back(h.penalties.size());
  }
  return h;
}

void look_up_rows(benchmark::State& state, CpuTier tier, bool even) {
  const auto width = static_cast<std::size_t>(state.range(0)),
             bins = static_cast<std::size_t>(state.range(1));
  const std::size_t count = static_cast<std::size_t>(state.range(2));
  std::mt19937 random(1);
  const auto device = Device::cpu({tier, 1});
  const auto plain = Device::cpu({CpuTier::scalar, 1});
  const density::Histograms h = histograms(width, bins, even, random);
  const auto resident = density::make_histograms(*device, h);
  std::vector<float> values(count * width), scores(count), want(count);
  std::normal_distribution<float> normal(0.0f, 1.5f);
  for (float& x : values) x = normal(random);
  const Rows rows{values.data(), count, width, width};
  Stream stream = device->stream(), plain_stream = plain->stream();
  density::look_up(stream, *resident, rows, scores, {});
  density::look_up(plain_stream, *density::make_histograms(*plain, h), rows, want, {});
  if (scores != want) {
    state.SkipWithError("not the scalar tier's bits");
    return;
  }
  for (auto _ : state) {
    density::look_up(stream, *resident, rows, scores, {});
    benchmark::DoNotOptimize(scores.data());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * count));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * count * width * sizeof(float)));
}

}  // namespace

int main(int argc, char** argv) {
  for (CpuTier tier : available_cpu_tiers())
    for (bool even : {true, false}) {
      const std::string title =
          std::string("histogram/") + std::string(name(tier)) + (even ? "/even" : "/uneven");
      auto* bench = benchmark::RegisterBenchmark(title.c_str(), look_up_rows, tier, even);
      bench->ArgNames({"width", "bins", "rows"});
      for (std::int64_t bins : {10, 20, 32, 100}) bench->Args({32, bins, 4096});
      bench->Args({8, 10, 4096})->Args({128, 10, 4096})->Args({32, 10, 65'536})->Args({32, 10, 16});
    }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
