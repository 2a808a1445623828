// Exact nearest neighbours, one thread, batches of 1024 unless said otherwise. Answers are checked against
// the brute force of the tests before anything is timed. `of_ceiling` is the share of this core's float32 FMA
// rate (measured in the same run, counting 2 operations a pair and feature, as if every pair were computed:
// cells that a search skips make it exceed what a kernel could reach).
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "bench/ceiling.hpp"
#include "kernels/nearest/nearest.hpp"
#include "kernels/nearest/window.hpp"
#include "tests/kernels/nearest/brute_force.hpp"
#include "tests/kernels/nearest/made_rows.hpp"

namespace {

using namespace lanner;

struct Data {
  test::MadeRows references, queries;
};

const Data& data(const std::string& kind, std::size_t n, std::size_t width) {
  static std::map<std::string, std::unique_ptr<Data>> made;
  auto& slot = made[kind + std::to_string(n) + "x" + std::to_string(width)];
  if (!slot) {
    std::mt19937 random(5);
    test::MadeRows all = kind == "iso" ? test::made_normal(n + 1024, width, random)
                                       : test::made_low_rank_clusters(n + 1024, width, random);
    slot = std::make_unique<Data>();
    slot->queries = test::MadeRows(1024, width);
    slot->queries.values.assign(all.row(n), all.row(n) + 1024 * width);
    slot->references = std::move(all);
    slot->references.count = n;
    slot->references.values.resize(n * width);
  }
  return *slot;
}

void check(const nearest::Index& index, Stream& stream, const Data& data, std::size_t k) {
  static std::map<std::pair<const Data*, std::size_t>, bool> checked;
  if (!checked.try_emplace({&data, k}, true).second) return;
  const std::size_t some = 8;
  const test::BruteForce brute(data.references);
  std::vector<std::byte> workspace(index.workspace_bytes(some, k, nearest::Count::rows));
  std::vector<std::uint32_t> row(some * k), taken(some * k), count(some);
  std::vector<float> distance(some * k);
  nearest::search(stream, index, static_cast<Rows>(data.queries).slice(0, some), k, nearest::Count::rows, {},
                  workspace, {k, row.data(), distance.data(), taken.data(), count.data()});
  for (std::size_t i = 0; i < some; ++i) {
    const test::Answer expected =
        brute.search(data.queries.row(i), k, nearest::Count::rows, nearest::no_self);
    if (!std::equal(expected.row.begin(), expected.row.end(), &row[i * k]) ||
        !std::equal(expected.distance.begin(), expected.distance.end(), &distance[i * k])) {
      std::fprintf(stderr, "wrong answer for query %zu\n", i);
      std::exit(1);
    }
  }
}

void search(benchmark::State& state, CpuTier tier, const std::string& kind, bool distances_only) {
  const auto n = static_cast<std::size_t>(state.range(0)), width = static_cast<std::size_t>(state.range(1));
  const auto k = static_cast<std::size_t>(state.range(2)), batch = static_cast<std::size_t>(state.range(3));
  const Data& rows = data(kind, n, width);
  const auto device = Device::cpu({tier, 1});
  const auto index = nearest::make_index(*device, nearest::distinct_rows(rows.references));
  Stream stream = device->stream();
  check(*index, stream, rows, k);
  std::vector<std::byte> workspace(index->workspace_bytes(batch, k, nearest::Count::rows));
  std::vector<std::uint32_t> row(batch * k), taken(batch * k), count(batch);
  std::vector<float> distance(batch * k);
  const double ceiling = bench::fma_rate(tier);
  std::size_t begin = 0;
  for (auto _ : state) {
    const Rows queries = static_cast<Rows>(rows.queries).slice(begin, begin + batch);
    if (distances_only)
      nearest::distances(stream, *index, queries, k, nearest::Count::rows, nearest::Summary::kth, {},
                         workspace, distance);
    else
      nearest::search(stream, *index, queries, k, nearest::Count::rows, {}, workspace,
                      {k, row.data(), distance.data(), taken.data(), count.data()});
    begin = (begin + batch) % 1024;
  }
  const double queries = static_cast<double>(state.iterations() * batch);
  state.counters["queries"] = benchmark::Counter(queries, benchmark::Counter::kIsRate);
  state.counters["of_ceiling"] =
      benchmark::Counter(queries * static_cast<double>(n) * static_cast<double>(width) * 2 / ceiling,
                         benchmark::Counter::kIsRate);
}

void distinct(benchmark::State& state) {
  std::mt19937 random(5);
  const test::MadeRows rows = test::made_repeated(static_cast<std::size_t>(state.range(0)), 3, random);
  for (auto _ : state) benchmark::DoNotOptimize(nearest::distinct_rows(rows));
}
BENCHMARK(distinct)->Arg(570000)->Unit(benchmark::kMillisecond);

void index(benchmark::State& state, CpuTier tier) {
  const Data& rows =
      data("iso", static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)));
  const auto device = Device::cpu({tier, 1});
  const nearest::ReferenceSet set = nearest::distinct_rows(rows.references);
  for (auto _ : state) benchmark::DoNotOptimize(nearest::make_index(*device, set));
}

// The second half of the rows slides into a window over the first.
std::unique_ptr<nearest::Window> slid_window(Device& device, const Data& rows, std::size_t batch) {
  const Rows all = rows.references;
  const std::size_t n = all.count / 2;
  auto window = nearest::make_window(device, all.width);
  window->insert(all.slice(0, n));
  for (std::size_t at = n; at + batch <= 2 * n; at += batch) {
    window->insert(all.slice(at, at + batch));
    window->expire(batch);
  }
  return window;
}

// The time of one row that comes and one that leaves.
void slide(benchmark::State& state, CpuTier tier, const std::string& kind) {
  const auto n = static_cast<std::size_t>(state.range(0)), width = static_cast<std::size_t>(state.range(1));
  const auto batch = static_cast<std::size_t>(state.range(2));
  const Rows all = data(kind, 2 * n, width).references;
  const auto device = Device::cpu({tier, 1});
  const auto window = slid_window(*device, data(kind, 2 * n, width), batch);
  std::size_t at = 0;
  for (auto _ : state) {
    window->insert(all.slice(at, at + batch));
    window->expire(batch);
    at = at + 2 * batch <= 2 * n ? at + batch : 0;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * batch));
}

// In a window that has slid over as many rows as it holds, or in an index made anew of those that it holds.
void search_in_window(benchmark::State& state, CpuTier tier, const std::string& kind, bool anew) {
  const auto n = static_cast<std::size_t>(state.range(0)), width = static_cast<std::size_t>(state.range(1));
  const auto k = static_cast<std::size_t>(state.range(2)), batch = static_cast<std::size_t>(state.range(3));
  const Data& rows = data(kind, 2 * n, width);
  const auto device = Device::cpu({tier, 1});
  const auto window = slid_window(*device, rows, 1);
  const auto index = nearest::make_index(
      *device, nearest::distinct_rows(static_cast<Rows>(rows.references).slice(n, 2 * n)));
  Stream stream = device->stream();
  const auto ask = [&](const nearest::Index& asked, std::size_t begin, std::span<float> out) {
    static std::vector<std::byte> workspace;
    workspace.resize(std::max(workspace.size(), asked.workspace_bytes(batch, k, nearest::Count::rows)));
    nearest::distances(stream, asked, static_cast<Rows>(rows.queries).slice(begin, begin + batch), k,
                       nearest::Count::rows, nearest::Summary::mean, {}, workspace, out);
  };
  std::vector<float> found(batch), expected(batch);
  ask(*window, 0, found);
  ask(*index, 0, expected);
  if (found != expected) {
    std::fprintf(stderr, "a window's answer is not that of an index\n");
    std::exit(1);
  }
  std::size_t begin = 0;
  for (auto _ : state) {
    if (anew)
      ask(*index, begin, found);
    else
      ask(*window, begin, found);
    begin = (begin + batch) % 1024;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * batch));
}

}  // namespace

int main(int argc, char** argv) {
  for (CpuTier tier : available_cpu_tiers()) {
    if (tier == CpuTier::scalar) continue;
    const std::string tier_name(name(tier));
    benchmark::RegisterBenchmark(("index/" + tier_name).c_str(), index, tier)
        ->Args({100000, 8})
        ->Args({100000, 128})
        ->Unit(benchmark::kMillisecond);
    for (const char* kind : {"iso", "mix"})
      benchmark::RegisterBenchmark(("search/" + tier_name + "/" + kind).c_str(), search, tier, kind, false)
          ->ArgNames({"n", "width", "k", "batch"})
          ->Args({100000, 8, 10, 1024})
          ->Args({100000, 32, 10, 1024})
          ->Args({100000, 128, 10, 1024})
          ->Args({100000, 32, 1000, 1024})
          ->Args({7000, 32, 700, 1024})
          ->Args({100000, 32, 10, 16})
          ->Args({100000, 32, 10, 1})
          ->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("slide/" + tier_name + "/mix").c_str(), slide, tier, "mix")
        ->ArgNames({"n", "width", "batch"})
        ->Args({7000, 32, 64})
        ->Args({100000, 8, 1})
        ->Args({100000, 32, 1})
        ->Args({100000, 32, 64})
        ->Unit(benchmark::kMicrosecond);
    for (const bool anew : {false, true})
      benchmark::RegisterBenchmark(((anew ? "anew/" : "window/") + tier_name + "/mix").c_str(),
                                   search_in_window, tier, "mix", anew)
          ->ArgNames({"n", "width", "k", "batch"})
          ->Args({7000, 32, 10, 1024})
          ->Args({100000, 8, 10, 1024})
          ->Args({100000, 8, 10, 1})
          ->Args({100000, 32, 10, 1024})
          ->Args({100000, 32, 10, 1})
          ->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("distances/" + tier_name + "/iso").c_str(), search, tier, "iso", true)
        ->ArgNames({"n", "width", "k", "batch"})
        ->Args({100000, 32, 10, 1024})
        ->Args({100000, 32, 1000, 1024})
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
