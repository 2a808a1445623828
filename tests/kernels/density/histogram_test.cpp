#include "kernels/density/histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "tests/kernels/density/rows_of.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::density {
namespace {

constexpr float largest = std::numeric_limits<float>::max();

struct Feature {
  std::vector<float> edges, penalties;
};

Histograms joined(const std::vector<Feature>& features) {
  Histograms h;
  h.edge_begin = h.penalty_begin = {0};
  for (const Feature& f : features) {
    h.edges.insert(h.edges.end(), f.edges.begin(), f.edges.end());
    h.penalties.insert(h.penalties.end(), f.penalties.begin(), f.penalties.end());
    h.edge_begin.push_back(h.edges.size());
    h.penalty_begin.push_back(h.penalties.size());
  }
  return h;
}

// The definition, in other words than the kernel's: bin by bin.
float penalty_of(const Feature& f, float x) {
  const std::size_t b = f.edges.size() - 1;
  if (x < f.edges[0]) return f.penalties[0];
  if (x > f.edges[b]) return f.penalties[b + 1];
  if (x == f.edges[b]) return f.penalties[b];
  for (std::size_t i = 0; i < b; ++i)
    if (f.edges[i] <= x && x < f.edges[i + 1]) return f.penalties[i + 1];
  ADD_FAILURE() << x << " is in no bin";
  return 0;
}

std::vector<float> penalties_for(std::size_t bins, std::mt19937& random) {
  std::vector<float> penalties(bins + 2);
  for (float& p : penalties) p = std::uniform_real_distribution<float>(0, 10)(random);
  return penalties;
}

Feature even(std::size_t bins, double low, double high, std::mt19937& random) {
  Feature f;
  for (std::size_t k = 0; k <= bins; ++k)
    f.edges.push_back(
        static_cast<float>(low + (high - low) * static_cast<double>(k) / static_cast<double>(bins)));
  f.penalties = penalties_for(bins, random);
  return f;
}

Feature uneven(std::size_t bins, std::mt19937& random, double spread = 3) {
  Feature f;
  std::normal_distribution<double> normal;
  while (f.edges.size() < bins + 1) {
    f.edges.push_back(static_cast<float>(std::sinh(spread * normal(random))));
    std::sort(f.edges.begin(), f.edges.end());
    f.edges.erase(std::unique(f.edges.begin(), f.edges.end()), f.edges.end());
  }
  f.penalties = penalties_for(bins, random);
  return f;
}

// Every kind of finder, at the sizes where the tables change from one register to the next and to memory.
std::vector<Feature> all_kinds() {
  std::mt19937 random(11);
  std::vector<Feature> features;
  for (std::size_t bins :
       {1, 2, 5, 6, 7, 10, 13, 14, 15, 22, 23, 30, 31, 32, 38, 39, 46, 47, 62, 63, 64, 100, 1000}) {
    features.push_back(even(bins, -3.7, 12.9, random));
    features.push_back(even(bins, 1e6, 1e6 + 200, random));
    features.push_back(uneven(bins, random));
  }
  features.push_back(even(10, 0, 1, random));
  features.push_back({{-1e-44f, 0.0f, 3e-45f, 1e-44f}, {1, 2, 3, 4, 5}});
  features.push_back({{-largest, largest}, {1, 2, 3}});
  features.push_back({{-largest, 0.0f, largest}, {1, 2, 3, 4}});
  features.push_back(even(31, -3e38, 3e38, random));
  features.push_back({{1.0f, std::nextafter(1.0f, 2.0f)}, {5, 6, 7}});
  features.push_back({{-0.0f, 1.0f, 1e30f}, {5, 6, 7, 8}});
  return features;
}

// On, just below and just above every edge; between them; and far away.
std::vector<float> awkward_values(const Feature& f) {
  std::vector<float> values{0.0f, -0.0f, 1e-45f, -1e-45f, largest, -largest, 1e30f, -1e30f};
  for (std::size_t k = 0; k < f.edges.size(); ++k) {
    values.push_back(f.edges[k]);
    values.push_back(std::nextafter(f.edges[k], INFINITY));
    values.push_back(std::nextafter(f.edges[k], -INFINITY));
    if (k) values.push_back(f.edges[k - 1] / 2 + f.edges[k] / 2);
  }
  for (float& x : values)
    if (!std::isfinite(x)) x = largest;
  return values;
}

std::vector<float> look_up_all(Device& device, const Histograms& histograms, Rows rows,
                               std::vector<float>* parts = nullptr) {
  const auto resident = make_histograms(device, histograms);
  const tests::RowsOf on_device(device, rows);
  tests::OnDevice<float> scores(device, rows.count), penalties(device, parts ? rows.count * rows.width : 0);
  MutableRows out;
  if (parts) out = {penalties.data(), rows.count, rows.width, rows.width};
  Stream stream = device.stream();
  look_up(stream, *resident, on_device.view(), scores.span(), out);
  if (parts) *parts = penalties.read(stream);
  return scores.read(stream);
}

class HistogramOnEveryTier : public ::testing::TestWithParam<CpuTier> {};
INSTANTIATE_TEST_SUITE_P(Tiers, HistogramOnEveryTier, ::testing::ValuesIn(available_cpu_tiers()),
                         [](const auto& tier) { return std::string(name(tier.param)); });

TEST_P(HistogramOnEveryTier, EachValueFindsTheBinThatTheEdgesDefine) {
  const auto device = Device::cpu({GetParam(), 1});
  for (const Feature& feature : all_kinds()) {
    const auto values = awkward_values(feature);
    const auto scores = look_up_all(*device, joined({feature}), {values.data(), values.size(), 1, 1});
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(scores[i], penalty_of(feature, values[i]))
          << values[i] << " among " << feature.edges.size() - 1 << " bins from " << feature.edges[0];
  }
}

TEST_P(HistogramOnEveryTier, ScoresAreTheChainInFeatureOrderWhateverWidthStrideBatchAndThreads) {
  std::mt19937 random(12);
  const auto kinds = all_kinds();
  for (std::size_t width : {1, 2, 7, 8, 9, 16, 31, 70, 1555}) {
    std::vector<Feature> features;
    for (std::size_t j = 0; j < width; ++j) features.push_back(kinds[random() % kinds.size()]);
    const Histograms histograms = joined(features);
    const std::size_t count = width > 100 ? 70 : 9'000 / width + 131, stride = width + random() % 3;
    // Exactly as long as the rows are: reading beyond the last row's width would be seen by a sanitizer.
    std::vector<float> values((count - 1) * stride + width, std::numeric_limits<float>::quiet_NaN());
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t j = 0; j < width; ++j) {
        const auto candidates = awkward_values(features[j]);
        values[i * stride + j] = candidates[random() % candidates.size()];
      }
    const Rows rows{values.data(), count, width, stride};
    std::vector<float> want(count, 0.0f), want_parts;
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t j = 0; j < width; ++j) {
        want_parts.push_back(penalty_of(features[j], rows.row(i)[j]));
        want[i] += want_parts.back();
      }
    for (unsigned threads : {1u, 3u}) {
      const auto device = Device::cpu({GetParam(), threads});
      std::vector<float> parts;
      ASSERT_EQ(look_up_all(*device, histograms, rows, &parts), want) << width;
      ASSERT_EQ(parts, want_parts) << width;
      ASSERT_EQ(look_up_all(*device, histograms, rows), want) << width;
      for (std::size_t begin : {std::size_t{0}, count / 3, count - 1}) {
        const std::size_t end = std::min(count, begin + 1 + random() % 70);
        const std::vector<float> piece(want.begin() + static_cast<std::ptrdiff_t>(begin),
                                       want.begin() + static_cast<std::ptrdiff_t>(end));
        ASSERT_EQ(look_up_all(*device, histograms, rows.slice(begin, end)), piece);
      }
    }
  }
}

TEST_P(HistogramOnEveryTier, SumsStayFinite) {
  const auto device = Device::cpu({GetParam(), 1});
  const Feature huge{{0, 1}, {largest, largest, -largest}};
  const std::vector<float> values{0.5f, 0.5f, 2.0f, 2.0f, 0.5f, 2.0f};
  const auto scores = look_up_all(*device, joined({huge, huge}), {values.data(), 3, 2, 2});
  EXPECT_EQ(scores, (std::vector<float>{largest, -largest, 0}));
}

TEST_P(HistogramOnEveryTier, NoRowsAreNoWork) {
  const auto device = Device::cpu({GetParam(), 2});
  EXPECT_TRUE(look_up_all(*device, joined({{{0, 1}, {1, 2, 3}}}), {nullptr, 0, 1, 1}).empty());
}

struct Drawn {
  std::vector<float> values;
  Rows rows;
  std::vector<float> scores, parts;  ///< by the definition
};

Drawn drawn(const std::vector<Feature>& features, std::size_t count, std::size_t stride,
            std::mt19937& random) {
  const std::size_t width = features.size();
  Drawn d;
  d.values.assign((count - 1) * stride + width, std::numeric_limits<float>::quiet_NaN());
  std::vector<std::vector<float>> candidates;
  for (const Feature& feature : features) candidates.push_back(awkward_values(feature));
  d.scores.assign(count, 0.0f);
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = 0; j < width; ++j) {
      const float x = candidates[j][random() % candidates[j].size()];
      d.values[i * stride + j] = x;
      d.parts.push_back(penalty_of(features[j], x));
      d.scores[i] += d.parts.back();
    }
  d.rows = {d.values.data(), count, width, stride};
  return d;
}

// Their tables may be of one length, or filled up to it.
TEST_P(HistogramOnEveryTier, FeaturesThatAreAlikeMakeTheSameSums) {
  std::mt19937 random(13);
  const auto device = Device::cpu({GetParam(), 1});
  for (const std::size_t bins_max : {14, 15, 30, 31, 46, 47, 62, 63})
    for (const bool all_even : {true, false})
      for (const std::size_t width : {1, 7, 8, 9, 16, 19}) {
        std::vector<Feature> features{all_even ? even(bins_max, -2, 3, random) : uneven(bins_max, random)};
        while (features.size() < width) {
          const std::size_t bins = 1 + random() % bins_max;
          features.push_back(all_even || random() % 4 == 0 ? even(bins, -3.7, 12.9, random)
                                                           : uneven(bins, random));
        }
        for (const std::size_t count : {1, 15, 16, 17, 31, 32, 33, 48, 49, 100}) {
          const Drawn d = drawn(features, count, width + random() % 3, random);
          std::vector<float> parts;
          ASSERT_EQ(look_up_all(*device, joined(features), d.rows), d.scores) << bins_max << ' ' << width;
          ASSERT_EQ(look_up_all(*device, joined(features), d.rows, &parts), d.scores);
          ASSERT_EQ(parts, d.parts) << bins_max << ' ' << width;
        }
      }
}

TEST_P(HistogramOnEveryTier, OneValueThatIsNotFiniteIsSeenWhereverItStands) {
  std::mt19937 random(14);
  const std::vector<std::vector<Feature>> sets{
      {even(10, -2, 3, random)},
      {9, even(30, -2, 3, random)},
      {17, uneven(20, random)},
      {8, even(300, -2, 3, random)},
      {even(10, -2, 3, random), uneven(500, random), even(40, -2, 3, random)}};
  for (unsigned threads : {1u, 3u}) {
    const auto device = Device::cpu({GetParam(), threads});
    Stream stream = device->stream();
    for (const std::vector<Feature>& features : sets)
      for (const std::size_t count : {1, 16, 17, 32, 100, 9'000}) {
        Drawn d = drawn(features, count, features.size() + random() % 3, random);
        const auto resident = make_histograms(*device, joined(features));
        std::vector<float> scores(count);
        ASSERT_TRUE(look_up_if_finite(stream, *resident, d.rows, scores));
        ASSERT_EQ(scores, d.scores);
        for (int i = 0; i < 40; ++i) {
          constexpr float infinity = std::numeric_limits<float>::infinity();
          const float others[] = {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()};
          float& value = d.values[random() % count * d.rows.stride + random() % features.size()];
          const float before = std::exchange(value, others[i % 3]);
          ASSERT_FALSE(look_up_if_finite(stream, *resident, d.rows, scores))
              << features.size() << ' ' << count;
          value = before;
        }
      }
  }
}

void expect_on_gpus(const std::vector<Feature>& features, std::size_t count, std::size_t stride,
                    std::mt19937& random) {
  const Drawn d = drawn(features, count, stride, random);
  const Histograms histograms = joined(features);
  for (const auto& device : tests::gpus()) {
    const std::string where = std::to_string(features.size()) + " features, " + std::to_string(count) +
                              " rows on " + device->description();
    std::vector<float> parts;
    ASSERT_EQ(look_up_all(*device, histograms, d.rows, &parts), d.scores) << where;
    ASSERT_EQ(parts, d.parts) << where;
    ASSERT_EQ(look_up_all(*device, histograms, d.rows), d.scores) << where;
  }
}

TEST(HistogramOnGpus, EachValueFindsTheBinThatTheEdgesDefine) {
  for (const auto& device : tests::gpus())
    for (const Feature& feature : all_kinds()) {
      const auto values = awkward_values(feature);
      const auto scores = look_up_all(*device, joined({feature}), {values.data(), values.size(), 1, 1});
      for (std::size_t i = 0; i < values.size(); ++i)
        ASSERT_EQ(scores[i], penalty_of(feature, values[i]))
            << values[i] << " among " << feature.edges.size() - 1 << " bins from " << feature.edges[0];
    }
}

TEST(HistogramOnGpus, ScoresAreTheChainInFeatureOrderWhateverWidthStrideAndBatch) {
  std::mt19937 random(13);
  const auto kinds = all_kinds();
  for (std::size_t width : {1, 2, 15, 16, 17, 33, 70, 1555}) {
    std::vector<Feature> features;
    for (std::size_t j = 0; j < width; ++j) features.push_back(kinds[random() % kinds.size()]);
    for (std::size_t count : {1, 2, 127, 128, 129}) {
      if (width > 100 && count > 2 && count != 129) continue;
      expect_on_gpus(features, count, width + random() % 3, random);
    }
  }
}

// Tables that fit shared memory together, only one after the other, or not at all, in every order.
TEST(HistogramOnGpus, TablesOfAnySizeServe) {
  std::mt19937 random(14);
  const Feature small = even(10, 0, 1, random), half = uneven(1000, random), most = uneven(2000, random),
                even_most = even(2047, -1, 1, random), over = even(2048, -1, 1, random),
                huge = uneven(3000, random);
  for (const auto& features : std::vector<std::vector<Feature>>{{half, half, half, half, half},
                                                                {most, small, even_most, small},
                                                                {over},
                                                                {huge, huge, small},
                                                                {small, huge, over, half, small, huge}})
    expect_on_gpus(features, 150, features.size(), random);
}

// More tiles than blocks of threads: with tables that stay where they are, and with tables that take turns.
TEST(HistogramOnGpus, ABlockServesSeveralTiles) {
  std::mt19937 random(15);
  const Feature one = even(30, 0, 1, random), most = uneven(2000, random), other = uneven(1900, random);
  expect_on_gpus({one, one}, 4'300, 2, random);
  expect_on_gpus({most, one, other}, 4'300, 3, random);
}

TEST(HistogramOnGpus, SumsStayFiniteAndNoRowsAreNoWork) {
  const Feature huge{{0, 1}, {largest, largest, -largest}};
  const std::vector<float> values{0.5f, 0.5f, 2.0f, 2.0f, 0.5f, 2.0f};
  for (const auto& device : tests::gpus()) {
    EXPECT_EQ(look_up_all(*device, joined({huge, huge}), {values.data(), 3, 2, 2}),
              (std::vector<float>{largest, -largest, 0}));
    EXPECT_TRUE(look_up_all(*device, joined({huge}), {nullptr, 0, 1, 1}).empty());
  }
}

TEST(Histogram, RefusesWhatDoesNotFit) {
  const auto device = Device::cpu({CpuTier::scalar, 1});
  const auto resident =
      make_histograms(*device, joined({{{0, 1, 2}, {1, 2, 3, 4}}, {{0, 1, 2}, {1, 2, 3, 4}}}));
  std::vector<float> values(6), scores(3), parts(6);
  Stream stream = device->stream();
  EXPECT_THROW(look_up(stream, *resident, {values.data(), 6, 1, 1}, scores, {}), std::invalid_argument);
  EXPECT_THROW(look_up(stream, *resident, {values.data(), 3, 2, 2}, std::span(scores).first(2), {}),
               std::invalid_argument);
  EXPECT_THROW(look_up(stream, *resident, {values.data(), 3, 2, 2}, scores, {parts.data(), 2, 2, 2}),
               std::invalid_argument);
}

TEST(Histogram, RefusesWhatIsNoHistogram) {
  const auto device = Device::cpu({CpuTier::scalar, 1});
  const auto refused = [&](const Histograms& h) {
    EXPECT_THROW(make_histograms(*device, h), std::invalid_argument);
  };
  const Histograms good = joined({{{0, 1, 2}, {1, 2, 3, 4}}});
  EXPECT_EQ(make_histograms(*device, good)->width(), 1u);
  refused({});
  refused(joined({{{0}, {1, 2}}}));
  refused(joined({{{0, 0}, {1, 2, 3}}}));
  refused(joined({{{1, 0}, {1, 2, 3}}}));
  refused(joined({{{0, INFINITY}, {1, 2, 3}}}));
  refused(joined({{{NAN, 1}, {1, 2, 3}}}));
  refused(joined({{{0, 1}, {1, 2}}}));
  refused(joined({{{0, 1}, {1, NAN, 3}}}));
  Histograms bad = good;
  bad.edge_begin = {0, 9};
  refused(bad);
  bad = good;
  bad.penalty_begin = {0, 4, 4};
  refused(bad);
  bad = good;
  bad.edge_begin = {0, 7, 3};
  bad.penalty_begin = {0, 4, 4};
  refused(bad);
}

}  // namespace
}  // namespace lanner::density
