// Isolation forests: events per second of one thread, by 100 trees grown on samples of normal rows as
// engine/detectors/isolation_forest grows them.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/forest/forest.hpp"

namespace {

using namespace lanner;

constexpr std::size_t trees = 100;

struct Branch {
  std::vector<std::size_t> rows;
  std::size_t depth;
};

void append_tree(forest::Forest& forest, std::size_t samples, std::mt19937& random) {
  std::vector<float> values(samples * forest.width);
  std::normal_distribution<float> normal;
  for (float& x : values) x = normal(random);
  const auto value = [&](std::size_t row, std::size_t feature) {
    return values[row * forest.width + feature];
  };
  std::vector<Branch> branches(1);
  for (std::size_t i = 0; i < samples; ++i) branches[0].rows.push_back(i);
  for (std::size_t i = 0; i < branches.size(); ++i) {
    const Branch here = branches[i];
    const std::size_t feature = random() % forest.width;
    const auto less = [&](std::size_t a, std::size_t b) { return value(a, feature) < value(b, feature); };
    const auto [least, largest] = std::minmax_element(here.rows.begin(), here.rows.end(), less);
    const bool leaf = here.rows.size() < 2 || here.depth == std::bit_width(samples - 1);
    forest.length.push_back(static_cast<float>(here.depth) +
                            static_cast<float>(std::bit_width(here.rows.size())));
    forest.left.push_back(leaf ? 0 : static_cast<std::uint32_t>(branches.size()));
    forest.feature.push_back(leaf ? 0 : static_cast<std::uint32_t>(feature));
    forest.threshold.push_back(0);
    if (leaf) continue;
    const float threshold =
        std::uniform_real_distribution<float>(value(*least, feature), value(*largest, feature))(random);
    forest.threshold.back() = threshold;
    Branch left{{}, here.depth + 1}, right = left;
    for (const std::size_t row : here.rows)
      (value(row, feature) <= threshold ? left : right).rows.push_back(row);
    branches.push_back(left);
    branches.push_back(right);
  }
  forest.tree_begin.push_back(static_cast<std::uint32_t>(forest.nodes()));
}

void walk_rows(benchmark::State& state, CpuTier tier) {
  const auto width = static_cast<std::size_t>(state.range(0)),
             samples = static_cast<std::size_t>(state.range(1)),
             count = static_cast<std::size_t>(state.range(2));
  std::mt19937 random(1);
  forest::Forest forest;
  forest.width = width;
  forest.tree_begin = {0};
  forest.rate = 0.0007;
  for (std::size_t t = 0; t < trees; ++t) append_tree(forest, samples, random);
  std::vector<float> values(count * width), scores(count), want(count);
  std::normal_distribution<float> normal(0.0f, 1.2f);
  for (float& x : values) x = normal(random);
  const Rows rows{values.data(), count, width, width};

  const auto device = Device::cpu({tier, 1}), plain = Device::cpu({CpuTier::scalar, 1});
  const auto resident = forest::make_resident(*device, forest),
             reference = forest::make_resident(*plain, forest);
  std::vector<std::byte> workspace(std::max(resident->workspace_bytes(), reference->workspace_bytes()));
  Stream stream = device->stream(), plain_stream = plain->stream();
  forest::isolation(stream, *resident, rows, workspace, scores);
  forest::isolation(plain_stream, *reference, rows, workspace, want);
  if (scores != want) {
    state.SkipWithError("not the scalar tier's bits");
    return;
  }
  for (auto _ : state) {
    forest::isolation(stream, *resident, rows, workspace, scores);
    benchmark::DoNotOptimize(scores.data());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * count));
}

}  // namespace

int main(int argc, char** argv) {
  for (const CpuTier tier : available_cpu_tiers()) {
    const std::string title = "forest/" + std::string(name(tier));
    auto* bench = benchmark::RegisterBenchmark(title.c_str(), walk_rows, tier);
    bench->ArgNames({"width", "samples", "rows"});
    for (const std::int64_t width : {8, 32, 128}) bench->Args({width, 256, 10'000});
    bench->Args({32, 1024, 10'000});
    for (const std::int64_t rows : {1, 16, 64, 1024}) bench->Args({32, 256, rows});
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
