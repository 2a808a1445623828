// Public data sets: every detector's scores are the same bits on every tier and on a GPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <filesystem>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "engine/detectors/detector.hpp"
#include "tests/kernels/nearest/npz.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::engine {
namespace {

// An emulated GPU takes its time: of the widest set fewer rows.
constexpr std::size_t training_max = 2000, training_values_max = 600'000;
constexpr std::size_t query_max = 200, query_values_max = 30'000;

std::vector<std::string> sets() {
  std::vector<std::string> names;
  const std::filesystem::path folder = LANNER_SOURCE_DIR "/../shared/data/tabular";
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(folder, missing))
    if (entry.path().extension() == ".npz") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

// Drawn with a seed, duplicates kept.
struct Drawn {
  std::size_t width = 0;
  std::vector<float> training, queries;
  Rows of(const std::vector<float>& values) const {
    return {values.data(), values.size() / width, width, width};
  }
};

Drawn drawn_from(const std::string& set) {
  const test::Matrix all = test::read_npz(LANNER_SOURCE_DIR "/../shared/data/tabular/" + set + ".npz", "X");
  std::vector<std::size_t> order(all.rows);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::mt19937 random(7);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  Drawn drawn;
  drawn.width = all.columns;
  const std::size_t training = std::min({training_max, training_values_max / all.columns, all.rows * 4 / 5});
  const std::size_t queries = std::min(query_max, query_values_max / all.columns);
  for (std::size_t i = 0; i < std::min(training + queries, all.rows); ++i) {
    const float* row = &all.values[order[i] * all.columns];
    auto& part = i < training ? drawn.training : drawn.queries;
    part.insert(part.end(), row, row + all.columns);
  }
  return drawn;
}

std::vector<std::uint32_t> bits(const std::vector<float>& values) {
  std::vector<std::uint32_t> all;
  for (float value : values) all.push_back(std::bit_cast<std::uint32_t>(value));
  return all;
}

std::vector<float> on_cpu(const Fitted& fitted, CpuTier tier, Rows queries) {
  const auto device = Device::cpu({tier, 2});
  const auto scorer = fitted.resident(*device);
  auto workspace = device->array<std::byte>(scorer->workspace_bytes(queries.count));
  std::vector<float> scores(queries.count);
  Stream stream = device->stream();
  scorer->score(stream, queries, workspace.span(), scores);
  return scores;
}

std::vector<float> on_gpu(const Fitted& fitted, Device& device, Rows queries, std::size_t batch) {
  const auto scorer = fitted.resident(device);
  auto workspace = device.array<std::byte>(scorer->workspace_bytes(batch));
  Stream stream = device.stream();
  std::vector<float> scores;
  for (std::size_t begin = 0; begin < queries.count; begin += batch) {
    const Rows part = queries.slice(begin, std::min(begin + batch, queries.count));
    const tests::RowsOnDevice rows(device, part);
    tests::OnDevice<float> out(device, part.count);
    scorer->score(stream, rows.view(), workspace.span(), out.span());
    const std::vector<float> read = out.read(stream);
    scores.insert(scores.end(), read.begin(), read.end());
  }
  return scores;
}

class Tabular : public ::testing::TestWithParam<std::string> {};

TEST_P(Tabular, EveryDetectorGivesTheSameBitsOnEveryTierAndOnAGpu) {
  const Drawn drawn = drawn_from(GetParam());
  const Rows training = drawn.of(drawn.training), queries = drawn.of(drawn.queries);
  const auto device = Device::cpu();
  const std::uint64_t seed = std::hash<std::string>()(GetParam());
  const auto gpus = tests::gpus({{.seed = seed, .truncating_products = seed % 2 == 0}});
  for (const Detector& detector : catalogue()) {
    SCOPED_TRACE(detector.name);
    std::map<std::string, std::string> given;
    if (detector.name == "autoencoder") given = {{"epochs", "2"}};
    if (detector.name == "random_cut_forest" || detector.name == "extended_isolation_forest")
      given = {{"trees", "15"}};  // an emulated GPU takes its time
    const auto fitted = detector.fit({*device, training, Settings::parse(detector.parameters, given), 1, {}});
    const auto expected = bits(on_cpu(*fitted, CpuTier::scalar, queries));
    for (CpuTier tier : available_cpu_tiers())
      ASSERT_EQ(bits(on_cpu(*fitted, tier, queries)), expected) << name(tier);
    for (const auto& gpu : gpus)
      for (const std::size_t batch : {queries.count, std::size_t{61}})
        ASSERT_EQ(bits(on_gpu(*fitted, *gpu, queries, batch)), expected)
            << gpu->description() << ", batch " << batch;
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, Tabular, ::testing::ValuesIn(sets()), [](const auto& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Tabular);

TEST(TabularData, IsThere) {
  if (sets().empty()) GTEST_SKIP() << "no data sets in ../shared/data/tabular";
}

}  // namespace
}  // namespace lanner::engine
