// Kernel density: queries per second of one thread. `isotropic` is the worst case for skipping blocks;
// `mixture` is 50 clusters of low rank and 2 % outliers. The bandwidth is Scott's rule on the mean standard
// deviation.
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/density/kernel_sum.hpp"

namespace {

using namespace lanner;

std::vector<float> isotropic(std::size_t n, std::size_t d, std::mt19937& random) {
  std::vector<float> values(n * d);
  std::normal_distribution<float> normal;
  for (float& x : values) x = normal(random);
  return values;
}

std::vector<float> mixture(std::size_t n, std::size_t d, std::mt19937& random) {
  constexpr std::size_t clusters = 50;
  const std::size_t rank = std::max<std::size_t>(2, d / 8);
  std::mt19937 shape(99);
  std::normal_distribution<float> normal;
  std::vector<float> centres(clusters * d), directions(clusters * rank * d);
  for (float& x : centres) x = 4 * normal(shape);
  for (float& x : directions) x = normal(shape);
  std::vector<float> values(n * d);
  for (std::size_t i = 0; i < n; ++i) {
    float* row = values.data() + i * d;
    const std::size_t c = random() % clusters;
    if (random() % 50 == 0) {
      for (std::size_t j = 0; j < d; ++j) row[j] = 8 * normal(random);
      continue;
    }
    for (std::size_t j = 0; j < d; ++j) row[j] = centres[c * d + j] + 0.1f * normal(random);
    for (std::size_t k = 0; k < rank; ++k) {
      const float along = normal(random);
      for (std::size_t j = 0; j < d; ++j) row[j] += along * directions[(c * rank + k) * d + j];
    }
  }
  return values;
}

double scott(const std::vector<float>& values, std::size_t n, std::size_t d) {
  double spread = 0;
  for (std::size_t j = 0; j < d; ++j) {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double x = static_cast<double>(values[i * d + j]);
      sum += x;
      squares += x * x;
    }
    const double mean = sum / static_cast<double>(n);
    spread += std::sqrt(squares / static_cast<double>(n) - mean * mean);
  }
  return spread / static_cast<double>(d) *
         std::pow(static_cast<double>(n), -1.0 / (static_cast<double>(d) + 4));
}

struct Fitted {
  nearest::ReferenceSet set;
  double bandwidth = 0;
};

// Made once and kept: making a set of a million rows takes longer than measuring it.
const Fitted& fitted(bool clustered, std::size_t n, std::size_t d) {
  static std::map<std::tuple<bool, std::size_t, std::size_t>, std::unique_ptr<Fitted>> made;
  auto& found = made[{clustered, n, d}];
  if (!found) {
    std::mt19937 random(1);
    const auto values = clustered ? mixture(n, d, random) : isotropic(n, d, random);
    found = std::make_unique<Fitted>(
        Fitted{nearest::distinct_rows({values.data(), n, d, d}), scott(values, n, d)});
  }
  return *found;
}

void sums(benchmark::State& state, CpuTier tier, bool clustered) {
  const auto n = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1));
  const auto count = static_cast<std::size_t>(state.range(2));
  const Fitted& model = fitted(clustered, n, d);
  const auto device = Device::cpu({tier, 1});
  const auto resident = density::make_kernel_sum(*device, model.set, model.bandwidth);
  std::mt19937 random(2);
  const auto values = clustered ? mixture(count, d, random) : isotropic(count, d, random);
  const Rows queries{values.data(), count, d, d};
  std::vector<std::byte> workspace(resident->workspace_bytes(count));
  std::vector<double> out(count);
  Stream stream = device->stream();
  density::log_kernel_sum(stream, *resident, queries, {}, workspace, out);

  const auto plain = Device::cpu({CpuTier::scalar, 1});
  const auto plain_resident = density::make_kernel_sum(*plain, model.set, model.bandwidth);
  std::vector<std::byte> plain_workspace(plain_resident->workspace_bytes(2));
  std::vector<double> want(std::min<std::size_t>(count, 2));
  Stream plain_stream = plain->stream();
  density::log_kernel_sum(plain_stream, *plain_resident, queries.slice(0, want.size()), {}, plain_workspace,
                          want);
  if (!std::equal(want.begin(), want.end(), out.begin())) {
    state.SkipWithError("not the scalar tier's bits");
    return;
  }
  for (auto _ : state) {
    density::log_kernel_sum(stream, *resident, queries, {}, workspace, out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * count));
}

}  // namespace

int main(int argc, char** argv) {
  for (CpuTier tier : available_cpu_tiers())
    for (bool clustered : {false, true}) {
      const std::string title =
          std::string("kernel_sum/") + std::string(name(tier)) + (clustered ? "/mixture" : "/isotropic");
      auto* bench = benchmark::RegisterBenchmark(title.c_str(), sums, tier, clustered);
      bench->ArgNames({"references", "width", "queries"});
      if (tier == CpuTier::scalar) {
        bench->Args({10'000, 8, 8});
        continue;
      }
      for (std::int64_t width : {8, 32, 128}) bench->Args({100'000, width, 600});
      bench->Args({1'000'000, 8, 600})
          ->Args({100'000, 32, 1})
          ->Args({100'000, 32, 16})
          ->Args({1'000, 8, 600});
    }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
