// Random cut forests: events per second of one thread, by 100 trees cut through samples of 256 normal rows.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/cut_forest/cut_forest.hpp"

namespace {

using namespace lanner;

constexpr std::size_t trees = 100, samples = 256;

struct Branch {
  std::vector<std::uint32_t> rows;
  std::size_t slot;  ///< of `child`; of the root none
};

// As engine/detectors/random_cut_forest grows them.
void append_tree(cut_forest::CutForest& forest, std::mt19937& random) {
  const std::size_t width = forest.width, begin = forest.nodes(), first_leaf = forest.leaves();
  std::normal_distribution<float> normal;
  const auto first = static_cast<std::uint32_t>(forest.points.size() / width);
  for (std::size_t i = 0; i < samples * width; ++i) forest.points.push_back(normal(random));
  std::vector<Branch> branches(1);
  branches[0].slot = 0;
  for (std::uint32_t i = 0; i < samples; ++i) branches[0].rows.push_back(first + i);
  std::vector<std::size_t> leaf_slots;
  while (!branches.empty()) {
    const Branch here = branches.back();
    branches.pop_back();
    if (here.rows.size() == 1) {
      forest.leaf_point.push_back(here.rows[0]);
      leaf_slots.push_back(here.slot);
      continue;
    }
    std::vector<float> low(width), high(width);
    double all = 0;
    for (std::size_t j = 0; j < width; ++j) {
      low[j] = high[j] = forest.points[here.rows[0] * width + j];
      for (const std::uint32_t row : here.rows) {
        low[j] = std::min(low[j], forest.points[row * width + j]);
        high[j] = std::max(high[j], forest.points[row * width + j]);
      }
      all += static_cast<double>(high[j] - low[j]);
    }
    double place = std::uniform_real_distribution<double>(0, all)(random);
    std::size_t feature = 0;
    while (feature + 1 < width && place >= static_cast<double>(high[feature] - low[feature])) {
      place -= static_cast<double>(high[feature] - low[feature]);
      ++feature;
    }
    const float threshold = std::clamp(low[feature] + static_cast<float>(place), low[feature],
                                       std::nextafter(high[feature], low[feature]));
    const auto own = static_cast<std::uint32_t>(forest.nodes() - begin);
    if (own > 0) forest.child[here.slot] = own;
    forest.feature.push_back(static_cast<std::uint32_t>(feature));
    forest.threshold.push_back(threshold);
    forest.value.push_back(1 / static_cast<float>(own + 1));
    forest.child.resize(forest.child.size() + 2);
    Branch left{{}, forest.child.size() - 2}, right{{}, forest.child.size() - 1};
    for (const std::uint32_t row : here.rows)
      (forest.points[row * width + feature] <= threshold ? left : right).rows.push_back(row);
    branches.push_back(right);
    branches.push_back(left);
  }
  const auto inner = static_cast<std::uint32_t>(forest.nodes() - begin);
  for (std::size_t leaf = 0; leaf < leaf_slots.size(); ++leaf)
    forest.child[leaf_slots[leaf]] = inner + static_cast<std::uint32_t>(leaf);
  forest.leaf_apart.resize(forest.leaves(), 0.3f);
  forest.leaf_same.resize(first_leaf + leaf_slots.size(), 0.2f);
  forest.node_begin.push_back(static_cast<std::uint32_t>(forest.nodes()));
}

void rows(benchmark::State& state, CpuTier tier) {
  const auto width = static_cast<std::size_t>(state.range(0)),
             count = static_cast<std::size_t>(state.range(1));
  std::mt19937 random(1);
  cut_forest::CutForest forest;
  forest.width = width;
  forest.input = {std::vector<float>(width), std::vector<float>(width, 1), 30};
  forest.node_begin = {0};
  for (std::size_t t = 0; t < trees; ++t) append_tree(forest, random);
  std::vector<float> values(count * width), scores(count), want(count);
  std::normal_distribution<float> normal;
  for (float& x : values) x = normal(random);
  const Rows rows{values.data(), count, width, width};

  const auto device = Device::cpu({tier, 1}), plain = Device::cpu({CpuTier::scalar, 1});
  const auto resident = cut_forest::make_resident(*device, forest),
             reference = cut_forest::make_resident(*plain, forest);
  auto workspace = device->array<std::byte>(resident->workspace_bytes());
  Stream stream = device->stream(), plain_stream = plain->stream();
  cut_forest::separation(stream, *resident, rows, workspace.span(), scores);
  cut_forest::separation(plain_stream, *reference, rows, workspace.span(), want);
  if (scores != want) {
    state.SkipWithError("not the scalar tier's bits");
    return;
  }
  for (auto _ : state) {
    cut_forest::separation(stream, *resident, rows, workspace.span(), scores);
    benchmark::DoNotOptimize(scores.data());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * count));
}

}  // namespace

int main(int argc, char** argv) {
  for (const CpuTier tier : available_cpu_tiers()) {
    const std::string title = "cut_forest/" + std::string(name(tier));
    auto* bench = benchmark::RegisterBenchmark(title.c_str(), rows, tier);
    bench->ArgNames({"width", "rows"});
    for (const std::int64_t width : {8, 32, 128}) bench->Args({width, 1024});
    for (const std::int64_t count : {1, 16}) bench->Args({8, count});
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
