#include "kernels/tail/tail.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "kernels/tail/tail_formula.hpp"
#include "tests/kernels/tail/calibrations.hpp"

namespace lanner::tail {
namespace {

struct Answer {
  std::vector<double> p;
  std::vector<std::uint8_t> extrapolated;
  bool operator==(const Answer&) const = default;
};

Answer answer(Device& device, const Calibration& calibration, const std::vector<float>& scores) {
  const auto tail = make_tail(device, calibration);
  Answer a{std::vector<double>(scores.size()), std::vector<std::uint8_t>(scores.size(), 7)};
  Stream stream = device.stream();
  p_values(stream, *tail, scores, a.p, a.extrapolated);
  return a;
}

TEST(Tail, PValuesAreTheDefinitionsWhateverTheScores) {
  const auto device = Device::cpu({CpuTier::scalar, 1});
  for (const auto& scores : calibrations()) {
    const auto queries = around(scores);
    const Answer got = answer(*device, {scores, {}}, queries);
    for (std::size_t i = 0; i < queries.size(); ++i) {
      const auto reached = scores.end() - std::lower_bound(scores.begin(), scores.end(), queries[i]);
      ASSERT_EQ(got.p[i], (1.0 + static_cast<double>(reached)) / (static_cast<double>(scores.size()) + 1.0))
          << queries[i] << " among " << scores.size();
      ASSERT_EQ(got.extrapolated[i], 0);
    }
  }
}

TEST(Tail, OfSeveralCalibrationsEachScoresOwnSaysItsPValue) {
  std::vector<Calibration> several;
  for (const auto& scores : calibrations()) several.push_back({scores, {}});
  several.push_back({{1, 2, 2, 3, 5, 8}, {true, 2.5, 0.2, 1.5, 0.5}});
  std::vector<float> queries;
  std::vector<std::uint32_t> which;
  for (std::uint32_t c = 0; c < several.size(); ++c)
    for (const float s : around({0.5f, 2, 8, 1000, 1e30f})) {
      queries.push_back(s);
      which.push_back((c * 7) % static_cast<std::uint32_t>(several.size()));
    }
  for (const unsigned threads : {1u, 3u}) {
    const auto device = Device::cpu({CpuTier::scalar, threads});
    const auto tail = make_tail(*device, several);
    Answer all{std::vector<double>(queries.size()), std::vector<std::uint8_t>(queries.size(), 7)};
    Stream stream = device->stream();
    p_values(stream, *tail, queries, all.p, all.extrapolated, which);
    for (std::size_t i = 0; i < queries.size(); ++i) {
      const Answer alone = answer(*device, several[which[i]], {queries[i]});
      ASSERT_EQ(all.p[i], alone.p[0]) << queries[i] << " by " << which[i];
      ASSERT_EQ(all.extrapolated[i], alone.extrapolated[0]);
    }
    p_values(stream, *tail, queries, all.p, all.extrapolated);
    EXPECT_EQ(all, answer(*device, several.front(), queries)) << "where none is said, the first";
    EXPECT_THROW(p_values(stream, *tail, queries, all.p, all.extrapolated, std::span(which).first(1)),
                 std::invalid_argument);
  }
  const auto device = Device::cpu({CpuTier::scalar, 1});
  EXPECT_THROW(make_tail(*device, std::span<const Calibration>()), std::invalid_argument);
  several.push_back({{2, 1}, {}});
  EXPECT_THROW(make_tail(*device, several), std::invalid_argument);
}

TEST(Tail, NeitherTierNorThreadsNorBatchChangeABit) {
  std::mt19937 random(4);
  std::exponential_distribution<float> draw(1.0f);
  Calibration calibration;
  for (int i = 0; i < 1000; ++i) calibration.scores.push_back(draw(random));
  std::sort(calibration.scores.begin(), calibration.scores.end());
  calibration.pareto = {true, 2.3, 0.1, 1.05, 0.1};
  std::vector<float> queries(50'000);
  for (float& s : queries) s = 3 * draw(random);
  const auto reference_device = Device::cpu({CpuTier::scalar, 1});
  const Answer whole = answer(*reference_device, calibration, queries);
  EXPECT_GT(std::count(whole.extrapolated.begin(), whole.extrapolated.end(), 1), 100);
  for (CpuTier tier : available_cpu_tiers())
    for (unsigned threads : {1u, 3u}) {
      const auto device = Device::cpu({tier, threads});
      EXPECT_EQ(answer(*device, calibration, queries), whole);
    }
  Answer pieces;
  for (std::size_t begin = 0; begin < queries.size();) {
    const std::size_t end = std::min(queries.size(), begin + 1 + random() % 9000);
    const Answer piece = answer(*reference_device, calibration,
                                {queries.begin() + static_cast<std::ptrdiff_t>(begin),
                                 queries.begin() + static_cast<std::ptrdiff_t>(end)});
    pieces.p.insert(pieces.p.end(), piece.p.begin(), piece.p.end());
    pieces.extrapolated.insert(pieces.extrapolated.end(), piece.extrapolated.begin(),
                               piece.extrapolated.end());
    begin = end;
  }
  EXPECT_EQ(pieces, whole);
}

TEST(Tail, BeyondTheScoresPOnlyFallsAndStaysInItsBounds) {
  const auto device = Device::cpu({CpuTier::scalar, 1});
  std::vector<float> scores;
  for (int i = 1; i <= 200; ++i) scores.push_back(static_cast<float>(-std::log(1 - i / 201.0)));
  // Dense where a wrong last bit would show, then out to the largest float.
  std::vector<float> queries;
  float s = scores.back();
  for (int i = 0; i < 20'000; ++i) queries.push_back(s = std::nextafter(s, INFINITY));
  while (s < 1e38f) queries.push_back(s *= 1.01f);
  queries.push_back(std::numeric_limits<float>::max());
  for (const Pareto& pareto : tails()) {
    const Answer got = answer(*device, {scores, pareto}, queries);
    double before = 1.0 / 201.0;
    for (std::size_t i = 0; i < queries.size(); ++i) {
      ASSERT_EQ(got.extrapolated[i], 1);
      ASSERT_LE(got.p[i], before) << "shape " << pareto.shape << " at " << queries[i];
      ASSERT_GE(got.p[i], smallest_p);
      before = got.p[i];
    }
    if (pareto.scale == 1.0 && pareto.threshold >= 0) {
      EXPECT_GT(got.p.front(), 0.9999 / 201) << "a jump at the edge, shape " << pareto.shape;
    }
  }
}

TEST(Tail, TheFormulaIsTheParetoTail) {
  // A fit that expects more beyond the largest score than 1/(n + 1): its own probability, cut there.
  const TailFormula above = make_tail_formula(2.0, 0.25, 0.5, 0.1, 3.0, 99);
  for (double s : {3.0, 3.5, 4.0, 10.0, 1000.0, 1e30}) {
    const long double q = 0.1L * powl(1 + 0.25L * (static_cast<long double>(s) - 2) / 0.5L, -4.0L);
    const double want = static_cast<double>(std::min(q, 0.01L));
    EXPECT_NEAR(above.p(s), want, want * 1e-9) << s;
  }
  // One that expects less: scaled to begin at 1/(n + 1).
  const TailFormula below = make_tail_formula(2.0, 0.0, 0.1, 0.1, 4.0, 99);
  for (double s : {4.0, 4.001, 4.5, 6.0}) {
    const double want = 0.01 * std::exp(-(s - 4.0) / 0.1);
    EXPECT_NEAR(below.p(s), want, want * 1e-9) << s;
  }
  // Beyond its end point a short tail gives the floor, not zero.
  const TailFormula shortest = make_tail_formula(0.0, -0.5, 1.0, 0.5, 1.0, 9);
  EXPECT_EQ(shortest.p(2.0), smallest_p);
  EXPECT_EQ(shortest.p(1e300), smallest_p);
  // A fit by which the calibration's own largest score cannot occur ranks nothing.
  const TailFormula refuted = make_tail_formula(0.0, -0.5, 1.0, 0.5, 3.0, 9);
  EXPECT_EQ(refuted.p(5.0), 0.1);
}

TEST(Tail, RefusesWhatIsNoCalibration) {
  const auto device = Device::cpu({CpuTier::scalar, 1});
  const auto refused = [&](std::vector<float> scores, Pareto pareto = {}) {
    EXPECT_THROW(make_tail(*device, {scores, pareto}), std::invalid_argument);
  };
  refused({});
  refused({2.0f, 1.0f});
  refused({1.0f, INFINITY});
  refused({NAN});
  refused({1.0f}, {true, 0, 0, 0, 0.1});
  refused({1.0f}, {true, 0, 0, -1, 0.1});
  refused({1.0f}, {true, NAN, 0, 1, 0.1});
  refused({1.0f}, {true, 0, INFINITY, 1, 0.1});
  refused({1.0f}, {true, 0, 0, 1, 0.0});
  refused({1.0f}, {true, 0, 0, 1, 1.5});
}

TEST(Tail, WhatIsNotFiniteStillGetsAPValue) {
  const auto device = Device::cpu({CpuTier::scalar, 1});
  const Answer got = answer(*device, {{1.0f, 2.0f}, {true, 1.0, 0.1, 1.0, 0.5}},
                            {INFINITY, -INFINITY, std::numeric_limits<float>::quiet_NaN()});
  EXPECT_EQ(got.p[0], smallest_p);
  EXPECT_EQ(got.p[1], 1.0);
  EXPECT_GT(got.p[2], 0.0);
  EXPECT_LE(got.p[2], 1.0);
}

}  // namespace
}  // namespace lanner::tail
