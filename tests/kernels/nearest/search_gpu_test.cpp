// GPU backends against the scalar tier, all bits: rows, distances, how many of each, k-th and mean distance.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/nearest/index_gpu.hpp"
#include "kernels/nearest/nearest.hpp"
#include "tests/kernels/nearest/made_rows.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::nearest {
namespace {

using test::MadeRows;
using tests::OnDevice;
using tests::RowsOnDevice;

struct Found {
  std::vector<std::vector<std::uint32_t>> row, taken;  // of each query
  std::vector<std::vector<float>> distance;
  std::vector<float> kth, mean;
  bool operator==(const Found&) const = default;
};

struct Ask {
  std::size_t k = 1;
  Count count = Count::rows;
  std::vector<std::uint32_t> self = {};
  std::size_t batch = 1 << 20;
  std::size_t workspace_more = 0;  // than it needs
  bool summaries = true;           // besides the neighbours
};

Found run(Device& device, const Index& index, Rows all_queries, const Ask& ask) {
  Stream stream = device.stream();
  Found found;
  const std::size_t batch = std::min(ask.batch, all_queries.count), k = ask.k;
  OnDevice<std::byte> workspace(device, index.workspace_bytes(batch, k, ask.count) + ask.workspace_more);
  for (std::size_t begin = 0; begin < all_queries.count; begin += batch) {
    const std::size_t end = std::min(begin + batch, all_queries.count), n = end - begin;
    const RowsOnDevice queries(device, all_queries.slice(begin, end));
    std::vector<std::uint32_t> part;
    if (!ask.self.empty()) part.assign(&ask.self[begin], &ask.self[begin] + n);
    OnDevice<std::uint32_t> self(device, std::span<const std::uint32_t>(part));
    OnDevice<std::uint32_t> row(device, n * k), taken(device, n * k), count(device, n);
    OnDevice<float> distance(device, n * k), kth(device, n), mean(device, n);
    search(stream, index, queries.view(), k, ask.count, self.span(), workspace.span(),
           {k, row.data(), distance.data(), taken.data(), count.data()});
    if (ask.summaries) {
      distances(stream, index, queries.view(), k, ask.count, Summary::kth, self.span(), workspace.span(),
                kth.span());
      distances(stream, index, queries.view(), k, ask.count, Summary::mean, self.span(), workspace.span(),
                mean.span());
      const auto kths = kth.read(stream), means = mean.read(stream);
      found.kth.insert(found.kth.end(), kths.begin(), kths.end());
      found.mean.insert(found.mean.end(), means.begin(), means.end());
    }
    const auto counts = count.read(stream), rows = row.read(stream), takens = taken.read(stream);
    const auto distances = distance.read(stream);
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t from = i * k, to = from + std::min<std::size_t>(counts[i], k);
      EXPECT_LE(counts[i], k);
      found.row.emplace_back(rows.begin() + from, rows.begin() + to);
      found.taken.emplace_back(takens.begin() + from, takens.begin() + to);
      found.distance.emplace_back(distances.begin() + from, distances.begin() + to);
    }
  }
  return found;
}

std::vector<std::shared_ptr<Device>> gpus() {
  static const std::vector<std::shared_ptr<Device>> devices = tests::gpus();
  return devices;
}

void expect_same(const Found& found, const Found& expected, const std::string& what) {
  ASSERT_EQ(found.row.size(), expected.row.size()) << what;
  for (std::size_t i = 0; i < expected.row.size(); ++i) {
    ASSERT_EQ(found.row[i], expected.row[i]) << what << ", query " << i;
    ASSERT_EQ(found.taken[i], expected.taken[i]) << what << ", query " << i;
    ASSERT_EQ(found.distance[i], expected.distance[i]) << what << ", query " << i;
  }
  ASSERT_EQ(found.kth, expected.kth) << what;
  ASSERT_EQ(found.mean, expected.mean) << what;
}

// On one GPU, chosen by the round, since emulated ones are slow; tile_rows 0: as the index itself decides.
void expect_exact(Rows references, Rows queries, const Ask& ask, const std::string& what, std::size_t round,
                  std::size_t tile_rows = 0) {
  const ReferenceSet set = distinct_rows(references);
  const auto cpu = Device::cpu({CpuTier::scalar, 1});
  const Found expected = run(*cpu, *make_index(*cpu, set), queries, ask);
  Device& device = *gpus()[round % gpus().size()];
  const auto index = tile_rows ? make_gpu_index(device, set, tile_rows) : make_index(device, set);
  expect_same(run(device, *index, queries, ask), expected,
              what + ", k " + std::to_string(ask.k) + (ask.count == Count::rows ? ", rows" : ", distinct") +
                  (ask.self.empty() ? "" : ", self") + ", on " + device.description());
}

// References, references a little moved, rows of their own kind, and now and then one far from all.
MadeRows queries_for(const MadeRows& references, const MadeRows& others, std::size_t count,
                     std::mt19937& random) {
  MadeRows queries(count, references.width);
  for (std::size_t i = 0; i < count; ++i) {
    const MadeRows& source = i % 3 == 2 && others.count ? others : references;
    const float* const from = source.row(random() % source.count);
    for (std::size_t j = 0; j < references.width; ++j) {
      float moved = from[j] * (1 + 1e-3f * static_cast<float>(static_cast<int>(random() % 3) - 1));
      if (i % 7 == 5) moved = from[j] * 64;
      queries.row(i)[j] = i % 3 != 0 && std::isfinite(moved) ? moved : from[j];
    }
  }
  return queries;
}

std::vector<std::uint32_t> random_self(std::size_t count, std::size_t distinct, std::mt19937& random) {
  std::vector<std::uint32_t> self(count);
  for (std::uint32_t& row : self)
    row = random() % 4 == 0 ? no_self : static_cast<std::uint32_t>(random() % distinct);
  return self;
}

/// The distinct row that equals a query, as when training rows are scored.
std::vector<std::uint32_t> own_self(const ReferenceSet& set, const MadeRows& queries) {
  std::vector<std::uint32_t> self(queries.count, no_self);
  for (std::size_t i = 0; i < queries.count; ++i)
    for (std::uint32_t r = 0; r < set.distinct() && self[i] == no_self; ++r)
      if (std::equal(queries.row(i), queries.row(i) + queries.width, set.view().row(r))) self[i] = r;
  return self;
}

class EveryKindOnGpus : public ::testing::TestWithParam<std::pair<const char*, test::Maker>> {};

TEST_P(EveryKindOnGpus, IsTheScalarTiersAnswer) {
  std::mt19937 random(5);
  const struct {
    std::size_t n, width, queries, k;
  } shapes[] = {{1, 1, 3, 1},       {2, 3, 5, 4},       {31, 2, 9, 31},    {255, 1, 17, 5},
                {256, 16, 15, 7},   {257, 17, 16, 300}, {513, 4, 65, 10},  {700, 64, 7, 3},
                {1100, 65, 10, 12}, {1500, 5, 12, 600}, {300, 130, 6, 20}, {260, 1555, 2, 2}};
  std::size_t round = 0;
  for (const auto& shape : shapes) {
    const MadeRows references = GetParam().second(shape.n, shape.width, random);
    const MadeRows others = GetParam().second(20, shape.width, random);
    const MadeRows queries = queries_for(references, others, shape.queries, random);
    const std::string what =
        std::string(GetParam().first) + " " + std::to_string(shape.n) + " x " + std::to_string(shape.width);
    const ReferenceSet set = distinct_rows(references);
    Ask ask{shape.k, Count::rows, {}, 1 + random() % (2 * shape.queries)};
    ask.summaries = round % 2 == 0;
    expect_exact(references, queries, ask, what, round++);
    ask.self = own_self(set, queries);
    ask.batch = 1 << 20;
    ask.summaries = round % 2 == 0;
    expect_exact(references, queries, ask, what, round++, 256 * (1 + random() % 3));
    ask.self = random_self(shape.queries, set.distinct(), random);
    ask.count = round % 4 < 2 ? Count::distinct : Count::rows;
    ask.summaries = round % 2 == 0;
    expect_exact(references, queries, ask, what, round++);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Made, EveryKindOnGpus, ::testing::ValuesIn(test::made_kinds),
                         [](const auto& info) { return std::string(info.param.first); });

// So few of so many that segments fill again and again, in every split and tile.
TEST(GpuSearch, MakesRoomAgainAndAgain) {
  std::mt19937 random(6);
  for (const std::size_t width : {2u, 20u}) {
    // Nearer and nearer in the order of the tree, so that limits come late.
    MadeRows references = test::made_normal(6000, width, random);
    const MadeRows queries(9, width);  // in the middle of them all: boxes exclude little
    for (std::size_t i = 0; i < references.count; ++i)
      for (std::size_t j = 0; j < width; ++j)
        references.row(i)[j] *= 0.001f * static_cast<float>(1 + i % 997);
    for (std::size_t round = 0; round < gpus().size(); ++round) {
      expect_exact(references, queries, {3}, "narrowing", round);
      expect_exact(references, queries, {3, Count::distinct}, "narrowing, in tiles", round, 768);
    }
  }
}

// All rows equally far: nothing can be excluded, ties decide everything, and no bound is of use.
TEST(GpuSearch, TiesAreCutByTheLowestOriginalRows) {
  std::mt19937 random(7);
  MadeRows sphere(4000, 12);  // signs: 4,096 distinct rows at most, all at the same distance from the origin
  for (float& x : sphere.values) x = random() % 2 ? 1.0f : -1.0f;
  const MadeRows origin(5, 12);
  std::size_t round = 0;
  for (const std::size_t k : {1u, 100u, 1000u, 3999u}) {
    expect_exact(sphere, origin, {k}, "sphere", round++);
    expect_exact(sphere, origin, {k, Count::distinct}, "sphere", round++, 1024);
    expect_exact(sphere, origin, {k, Count::rows, random_self(5, distinct_rows(sphere).distinct(), random)},
                 "sphere", round++);
  }
  // Cells that fill a segment to the last entry.
  for (round = 0; round < 3; ++round)
    expect_exact(sphere, origin, {767, Count::distinct}, "sphere, cell by cell", round, 256);
  // At distance 1 from the origin: a at rows 0, 5, 6; b at 1, 4; c at 2, 3. Four of the seven are wanted.
  MadeRows few(7, 2);
  few.values = {1, 0, 0, 1, -1, 0, -1, 0, 0, 1, 1, 0, 1, 0};
  for (round = 0; round < gpus().size(); ++round) expect_exact(few, MadeRows(1, 2), {4}, "seven", round);
}

TEST(GpuSearch, TakesManyNeighbours) {
  std::mt19937 random(8);
  const MadeRows references = test::made_clusters(5000, 6, random);
  const MadeRows queries = queries_for(references, test::made_normal(9, 6, random), 4, random);
  const MadeRows repeated = test::made_repeated(9000, 3, random);
  std::size_t round = 0;
  for (const std::size_t k : {2048u, 2100u, 4999u, 20000u}) {
    expect_exact(references, queries, {k}, "clusters", round++);
    expect_exact(references, queries, {k}, "clusters", round++, 1280);
    expect_exact(repeated, queries_for(repeated, {}, 3, random), {k}, "repeated", round++);
  }
}

TEST(GpuSearch, BatchesWorkspacesAndSeedsDoNotMatter) {
  std::mt19937 random(9);
  const MadeRows references = test::made_clusters(2600, 7, random);
  const MadeRows queries = queries_for(references, {}, 150, random);
  const ReferenceSet set = distinct_rows(references);
  const auto cpu = Device::cpu({CpuTier::scalar, 1});
  const Found expected = run(*cpu, *make_index(*cpu, set), queries, {9});
  std::vector<std::shared_ptr<Device>> devices = gpus();
  for (const unsigned multiprocessors : {1u, 7u, 200u})
    devices.push_back(
        make_emulated_device({.seed = 10 + multiprocessors, .multiprocessors = multiprocessors}));
  for (const auto& device : devices)
    for (const std::size_t batch : {1u, 63u, 64u, 65u, 150u}) {
      // Emulated devices are slow.
      if (batch != 65 && device != devices.front() && device != devices.back()) continue;
      if (batch == 1 && device != devices.back()) continue;
      const auto index = make_index(*device, set);
      expect_same(run(*device, *index, queries, {9, Count::rows, {}, batch, random() % 3 * 1000}), expected,
                  device->description() + ", batches of " + std::to_string(batch));
      if (HasFatalFailure()) return;
    }
}

// More cells for one block than it tests at a time.
TEST(GpuSearch, WalksManyCells) {
  std::mt19937 random(14);
  const MadeRows references = test::made_normal(17000, 2, random);
  const MadeRows queries = queries_for(references, {}, 130, random);
  const ReferenceSet set = distinct_rows(references);
  const auto cpu = Device::cpu({CpuTier::scalar, 1});
  const auto device = make_emulated_device({.multiprocessors = 1});
  const Ask ask{2, Count::rows, {}, 1 << 20, 0, false};
  expect_same(run(*device, *make_index(*device, set), queries, ask),
              run(*cpu, *make_index(*cpu, set), queries, ask), "many cells");
}

TEST(GpuSearch, AWorkspaceForMoreQueriesServesFewer) {
  std::mt19937 random(10);
  const MadeRows references = test::made_normal(3000, 9, random);
  const MadeRows queries = queries_for(references, {}, 70, random);
  const auto device = make_emulated_device({.multiprocessors = 50});
  const auto index = make_index(*device, distinct_rows(references));
  OnDevice<std::byte> workspace(*device, index->workspace_bytes(70, 5, Count::rows));
  for (std::size_t n = 1; n <= 70; ++n) {
    Stream stream = device->stream();
    const RowsOnDevice some(*device, Rows(queries).slice(0, n));
    OnDevice<float> out(*device, n);
    ASSERT_NO_THROW(distances(stream, *index, some.view(), 5, Count::rows, Summary::kth, {}, workspace.span(),
                              out.span()))
        << n;
    stream.synchronize();
  }
}

// A set that the device has no room for is streamed, without being asked.
TEST(GpuSearch, StreamsWhatTheDeviceCannotHold) {
  std::mt19937 random(11);
  const MadeRows references = test::made_low_rank_clusters(3000, 40, random);
  const MadeRows queries = queries_for(references, {}, 5, random);
  const ReferenceSet set = distinct_rows(references);
  const auto cpu = Device::cpu({CpuTier::scalar, 1});
  const Found expected = run(*cpu, *make_index(*cpu, set), queries, {4});
  const auto device = make_emulated_device({.memory_bytes = std::size_t{1} << 20});
  const auto index = make_index(*device, set);
  ASSERT_TRUE(dynamic_cast<const GpuIndex&>(*index).streamed());
  expect_same(run(*device, *index, queries, {4}), expected, "streamed");
}

TEST(GpuSearch, ReadsOnlyTheFeaturesOfARow) {
  std::mt19937 random(12);
  const MadeRows references = test::made_clusters(500, 5, random),
                 queries = test::made_clusters(20, 5, random);
  std::vector<float> strided(20 * 8, std::nanf(""));
  for (std::size_t i = 0; i < 20; ++i) std::copy_n(queries.row(i), 5, &strided[i * 8]);
  Device& device = *gpus()[0];
  const auto index = make_index(device, distinct_rows(references));
  Stream stream = device.stream();
  OnDevice<std::byte> workspace(device, index->workspace_bytes(20, 3, Count::rows));
  const RowsOnDevice packed(device, queries);
  OnDevice<float> apart(device, std::span<const float>(strided)), out(device, 20), out_apart(device, 20);
  distances(stream, *index, packed.view(), 3, Count::rows, Summary::mean, {}, workspace.span(), out.span());
  distances(stream, *index, {apart.data(), 20, 5, 8}, 3, Count::rows, Summary::mean, {}, workspace.span(),
            out_apart.span());
  EXPECT_EQ(out.read(stream), out_apart.read(stream));
}

TEST(GpuSearch, RefusesWhatItCannotDo) {
  std::mt19937 random(13);
  Device& device = *gpus()[0];
  const MadeRows references = test::made_normal(10, 2, random);
  EXPECT_THROW(make_index(device, ReferenceSet{}), std::invalid_argument);
  const auto index = make_index(device, distinct_rows(references));
  Stream stream = device.stream();
  const RowsOnDevice queries(device, references);
  OnDevice<std::byte> workspace(device, index->workspace_bytes(10, 1, Count::rows));
  OnDevice<float> out(device, 10);
  const auto ask = [&](Stream& on, Rows rows, std::size_t k, std::span<std::byte> memory) {
    distances(on, *index, rows, k, Count::rows, Summary::kth, {}, memory, out.span());
  };
  EXPECT_NO_THROW(ask(stream, queries.view(), 1, workspace.span()));
  EXPECT_THROW(ask(stream, queries.view(), 0, workspace.span()), std::invalid_argument);
  EXPECT_THROW(ask(stream, {queries.view().data, 10, 1, 2}, 1, workspace.span()), std::invalid_argument);
  EXPECT_THROW(ask(stream, queries.view(), 1, workspace.span().first(8)), std::invalid_argument);
  const auto cpu = Device::cpu({CpuTier::scalar, 1});
  Stream elsewhere = cpu->stream();
  EXPECT_THROW(ask(elsewhere, queries.view(), 1, workspace.span()), std::invalid_argument);
  EXPECT_NO_THROW(ask(stream, {nullptr, 0, 2, 2}, 1, {}));
  stream.synchronize();
}

}  // namespace
}  // namespace lanner::nearest
