// P-values on GPUs, emulated and real: the bits of the cpu backend.
#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/kernels/on_device.hpp"
#include "tests/kernels/tail/calibrations.hpp"

namespace lanner::tail {
namespace {

using tests::OnDevice;

struct Answer {
  std::vector<double> p;
  std::vector<std::uint8_t> extrapolated;
  bool operator==(const Answer&) const = default;
};

Answer by_cpu(const Calibration& calibration, const std::vector<float>& scores) {
  const auto device = Device::cpu({CpuTier::scalar, 1});
  const auto tail = make_tail(*device, calibration);
  Answer answer{std::vector<double>(scores.size()), std::vector<std::uint8_t>(scores.size())};
  Stream stream = device->stream();
  p_values(stream, *tail, scores, answer.p, answer.extrapolated);
  return answer;
}

Answer by_gpu(Device& device, const Calibration& calibration, const std::vector<float>& scores,
              std::size_t batch) {
  const auto tail = make_tail(device, calibration);
  OnDevice<float> in(device, scores);
  OnDevice<double> p(device, scores.size());
  OnDevice<std::uint8_t> extrapolated(device, scores.size());
  Stream stream = device.stream();
  for (std::size_t begin = 0; begin < scores.size(); begin += batch) {
    const std::size_t n = std::min(batch, scores.size() - begin);
    p_values(stream, *tail, in.span().subspan(begin, n), p.span().subspan(begin, n),
             extrapolated.span().subspan(begin, n));
  }
  return {p.read(stream), extrapolated.read(stream)};
}

void expect_the_same(const Calibration& calibration, const std::vector<float>& scores,
                     const std::vector<std::size_t>& batches) {
  const Answer expected = by_cpu(calibration, scores);
  for (const auto& device : tests::gpus())
    for (std::size_t batch : batches)
      EXPECT_TRUE(by_gpu(*device, calibration, scores, batch) == expected)
          << device->description() << ", " << calibration.scores.size() << " calibration scores, batches of "
          << batch << ", shape " << calibration.pareto.shape;
}

TEST(TailOnGpu, RanksAreTheCpus) {
  for (const auto& scores : calibrations()) {
    expect_the_same({scores, {}}, around(scores), {100'000});
    expect_the_same({scores, {true, 0.5, 0.1, 2.0, 0.1}}, around(scores), {100'000});
  }
}

TEST(TailOnGpu, TailsAreTheCpus) {
  std::vector<float> scores;
  for (int i = 1; i <= 200; ++i) scores.push_back(static_cast<float>(-std::log(1 - i / 201.0)));
  std::vector<float> queries;
  float s = scores.back();
  for (int i = 0; i < 300; ++i) queries.push_back(s = std::nextafter(s, INFINITY));
  while (s < 1e38f) queries.push_back(s *= 1.05f);
  queries.push_back(std::numeric_limits<float>::max());
  for (const Pareto& pareto : tails()) expect_the_same({scores, pareto}, queries, {queries.size()});
}

TEST(TailOnGpu, TakesAnyNumberOfScores) {
  const Calibration calibration{{1, 2, 2, 3, 5, 8}, {true, 2.5, 0.2, 1.5, 0.5}};
  for (std::size_t n : {0, 1, 2, 31, 255, 256, 257, 513, 20 * 256}) {
    std::vector<float> scores;
    for (std::size_t i = 0; i < n; ++i) scores.push_back(static_cast<float>(i % 21) * 0.5f);
    expect_the_same(calibration, scores, {n + 1, 100});
  }
}

TEST(TailOnGpu, WhatIsNotFiniteGetsTheCpusToo) {
  expect_the_same({{1.0f, 2.0f}, {true, 1.0, 0.1, 1.0, 0.5}},
                  {INFINITY, -INFINITY, std::numeric_limits<float>::quiet_NaN()}, {3});
  expect_the_same({{1.0f, 2.0f}, {}}, {INFINITY, -INFINITY, std::numeric_limits<float>::quiet_NaN()}, {3});
}

TEST(TailOnGpu, EachScoresOwnCalibrationIsTheCpus) {
  std::vector<Calibration> several;
  for (const auto& scores : calibrations()) several.push_back({scores, {true, 0.5, 0.1, 2.0, 0.1}});
  std::vector<float> scores;
  std::vector<std::uint32_t> which;
  for (std::uint32_t i = 0; i < 3000; ++i) {
    const auto& own = several[i % several.size()].scores;
    scores.push_back(own[(i * 37) % own.size()] * (i % 3 ? 1.0f : 1.5f));
    which.push_back(i % static_cast<std::uint32_t>(several.size()));
  }
  std::erase_if(scores, [](float s) { return !std::isfinite(s); });
  which.resize(scores.size());
  const auto cpu = Device::cpu({CpuTier::scalar, 1});
  Answer expected{std::vector<double>(scores.size()), std::vector<std::uint8_t>(scores.size())};
  Stream on_cpu = cpu->stream();
  p_values(on_cpu, *make_tail(*cpu, several), scores, expected.p, expected.extrapolated, which);
  for (const auto& device : tests::gpus()) {
    const auto tail = make_tail(*device, several);
    OnDevice<float> in(*device, scores);
    OnDevice<std::uint32_t> own(*device, which);
    OnDevice<double> p(*device, scores.size());
    OnDevice<std::uint8_t> extrapolated(*device, scores.size());
    Stream stream = device->stream();
    p_values(stream, *tail, in.span(), p.span(), extrapolated.span(), own.span());
    EXPECT_TRUE((Answer{p.read(stream), extrapolated.read(stream)} == expected)) << device->description();
  }
}

TEST(TailOnGpu, RefusesAnotherDevicesStream) {
  const auto device = make_emulated_device(), another = make_emulated_device();
  const auto tail = make_tail(*device, {{1.0f}, {}});
  OnDevice<float> scores(*device, 1);
  OnDevice<double> p(*device, 1);
  OnDevice<std::uint8_t> extrapolated(*device, 1);
  Stream stream = device->stream(), elsewhere = another->stream();
  EXPECT_THROW(p_values(elsewhere, *tail, scores.span(), p.span(), extrapolated.span()),
               std::invalid_argument);
  EXPECT_THROW(p_values(stream, *tail, scores.span(), p.span().first(0), extrapolated.span()),
               std::invalid_argument);
}

}  // namespace
}  // namespace lanner::tail
