// Oblique trees: events per second of one thread, by 100 trees grown on samples of 256 normal rows as
// engine/detectors/extended_isolation_forest grows them. mixed: features of a cut.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "kernels/oblique_forest/oblique_forest.hpp"

namespace {

using namespace lanner;

constexpr std::size_t trees = 100, samples = 256, levels = 8;

struct Branch {
  std::vector<std::size_t> rows;
  std::size_t depth;
};

void append_tree(oblique_forest::ObliqueForest& forest, std::mt19937& random) {
  const std::size_t width = forest.width, mixed = forest.mixed, begin = forest.nodes();
  std::normal_distribution<float> normal;
  std::vector<float> values(samples * width);
  for (float& x : values) x = normal(random);
  std::vector<std::uint32_t> features(width);
  std::iota(features.begin(), features.end(), 0u);
  std::vector<Branch> branches(1);
  for (std::size_t i = 0; i < samples; ++i) branches[0].rows.push_back(i);
  for (std::size_t i = 0; i < branches.size(); ++i) {
    const Branch here = branches[i];
    const bool leaf = here.rows.size() < 2 || here.depth == levels;
    forest.length.push_back(static_cast<float>(here.depth + (here.rows.size() > 1 ? 1 : 0)));
    forest.left.push_back(leaf ? 0 : static_cast<std::uint32_t>(branches.size()));
    if (leaf) continue;
    std::vector<std::uint32_t> own = features;
    std::shuffle(own.begin(), own.end(), random);
    own.resize(mixed);
    std::sort(own.begin(), own.end());
    std::vector<float> weight(mixed), point(width);
    for (std::size_t k = 0; k < mixed; ++k) {
      weight[k] = normal(random);
      float low = values[here.rows[0] * width + own[k]], high = low;
      for (const std::size_t row : here.rows) {
        low = std::min(low, values[row * width + own[k]]);
        high = std::max(high, values[row * width + own[k]]);
      }
      point[own[k]] = std::uniform_real_distribution<float>(low, high)(random);
      forest.centre.push_back(0);
    }
    if (mixed < width) forest.feature.insert(forest.feature.end(), own.begin(), own.end());
    forest.weight.insert(forest.weight.end(), weight.begin(), weight.end());
    const auto sum = [&](const float* y) {
      return oblique_forest::projection(CpuTier::scalar)(y, own.data(), weight.data(), mixed);
    };
    forest.threshold.push_back(sum(point.data()));
    Branch left{{}, here.depth + 1}, right = left;
    for (const std::size_t row : here.rows)
      (sum(&values[row * width]) <= forest.threshold.back() ? left : right).rows.push_back(row);
    branches.push_back(left);
    branches.push_back(right);
  }
  forest.tree_begin.push_back(static_cast<std::uint32_t>(begin + branches.size()));
}

void rows(benchmark::State& state, CpuTier tier) {
  const auto width = static_cast<std::size_t>(state.range(0)),
             mixed = static_cast<std::size_t>(state.range(1)),
             count = static_cast<std::size_t>(state.range(2));
  std::mt19937 random(1);
  oblique_forest::ObliqueForest forest;
  forest.width = width;
  forest.mixed = mixed;
  forest.input = {std::vector<float>(width), std::vector<float>(width, 1), 30};
  forest.seen.resize(width);
  std::iota(forest.seen.begin(), forest.seen.end(), 0u);
  forest.tree_begin = {0};
  forest.rate = 0.0007;
  for (std::size_t t = 0; t < trees; ++t) append_tree(forest, random);
  std::vector<float> values(count * width), scores(count), want(count);
  std::normal_distribution<float> normal;
  for (float& x : values) x = normal(random);
  const Rows rows{values.data(), count, width, width};

  const auto device = Device::cpu({tier, 1}), plain = Device::cpu({CpuTier::scalar, 1});
  const auto resident = oblique_forest::make_resident(*device, forest),
             reference = oblique_forest::make_resident(*plain, forest);
  auto workspace = device->array<std::byte>(resident->workspace_bytes());
  Stream stream = device->stream(), plain_stream = plain->stream();
  oblique_forest::isolation(stream, *resident, rows, workspace.span(), scores);
  oblique_forest::isolation(plain_stream, *reference, rows, workspace.span(), want);
  if (scores != want) {
    state.SkipWithError("not the scalar tier's bits");
    return;
  }
  for (auto _ : state) {
    oblique_forest::isolation(stream, *resident, rows, workspace.span(), scores);
    benchmark::DoNotOptimize(scores.data());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * count));
}

}  // namespace

int main(int argc, char** argv) {
  for (const CpuTier tier : available_cpu_tiers()) {
    const std::string title = "oblique_forest/" + std::string(name(tier));
    auto* bench = benchmark::RegisterBenchmark(title.c_str(), rows, tier);
    bench->ArgNames({"width", "mixed", "rows"});
    for (const std::int64_t width : {8, 32, 128}) bench->Args({width, width, 1024});
    for (const std::int64_t mixed : {1, 2, 8, 16}) bench->Args({32, mixed, 1024});
    for (const std::int64_t count : {1, 16}) bench->Args({8, 8, count});
    bench->Args({32, 32, 1});
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
