// Scoring on GPUs (emulated ones): the same results as on the CPU, whatever goes wrong with them.
#include "host/pipeline/gpu.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <spdlog/spdlog.h>

#include "kernels/device/emulated.hpp"
#include "simulated_host.hpp"

namespace lanner::host {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Failure = EmulatedOptions::Failure;
constexpr std::size_t width = 5;

// An emulated device does one thing whenever it is asked, and time goes on by a millisecond.
DeviceConfig offloading(double watchdog_s = 1) {
  DeviceConfig device;
  device.batch_max = 64;
  device.slots = 4;
  device.offload = Offload::always;
  device.watchdog_s = watchdog_s;
  return device;
}

IngestConfig lossy() {
  IngestConfig ingest;
  ingest.delivery = Delivery::lossy;
  return ingest;
}

/// What was published, without the one thing that may differ: where it was scored.
std::vector<std::string> results_of(const SimulatedHost& host) {
  std::vector<std::string> results;
  for (const Published& message : host.publisher.messages) {
    Json header = message.header();
    header.erase("device");
    std::string text = message.topic + header.dump();
    for (std::size_t f = 1; f < message.frames.size(); ++f) text += message.frames[f];
    results.push_back(std::move(text));
  }
  return results;
}

void use_two_lanes_of(SimulatedHost& host, const std::string& detector) {
  const auto cpu = Device::cpu({CpuTier::scalar, 1});
  static std::map<std::string, std::shared_ptr<const engine::Model>> models;
  auto& model = models[detector];
  if (!model) model = fitted(*cpu, width, detector);
  host.use("s", {model, model}, {Role::active, Role::shadow});
}

/// 190 rows in small and larger batches, one refused, some flagged.
void feed(SimulatedHost& host) {
  std::vector<float> rows = normal_rows(190, width, 3, 1.5f);
  rows[50 * width] = std::numeric_limits<float>::quiet_NaN();
  for (std::size_t at : {10, 100, 170}) rows[at * width + 2] = 40;
  std::size_t at = 0;
  for (const std::size_t n : {3, 40, 90, 1, 56}) {
    host.source.incoming.push_back(tensor("", "s",
                                          {rows.begin() + static_cast<std::ptrdiff_t>(at * width),
                                           rows.begin() + static_cast<std::ptrdiff_t>((at + n) * width)},
                                          width));
    at += n;
    host.step(0);
  }
  host.drain();
}

struct Outcome {
  std::vector<std::string> results;
  std::uint64_t slots_on_gpu, failures;
  std::string trouble;
  std::uint64_t calls_before_rows;
};

Outcome outcome_with(const std::string& detector, const std::vector<std::shared_ptr<Device>>& gpus,
                     double watchdog_s = 1) {
  spdlog::set_level(spdlog::level::off);  // thousands of failures, all of them asked for
  SimulatedHost host({offloading(watchdog_s), lossy(), false, gpus}, {stream_of("s", width)});
  use_two_lanes_of(host, detector);
  const std::uint64_t calls = gpus.empty() ? 0 : emulated_calls(*gpus[0]);
  feed(host);
  return {results_of(host), host.counters.slots_scored_on_gpu, host.counters.gpu_failures,
          host.gpus.empty() ? "" : host.gpus[0]->trouble(), calls};
}

class OnGpu : public ::testing::TestWithParam<const char*> {};

TEST_P(OnGpu, ResultsAreThoseOfTheCpuWhateverTheSeedAndTheNumberOfGpus) {
  const Outcome cpu = outcome_with(GetParam(), {});
  ASSERT_EQ(cpu.slots_on_gpu, 0u);
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const auto one = make_emulated_device({.seed = seed, .truncating_products = seed == 2});
    const Outcome on_one = outcome_with(GetParam(), {one});
    EXPECT_EQ(on_one.results, cpu.results);
    EXPECT_GE(on_one.slots_on_gpu, 3u);
    EXPECT_EQ(on_one.failures, 0u);
    EXPECT_THAT(on_one.trouble, IsEmpty());
    const Outcome on_two = outcome_with(GetParam(), {one, make_emulated_device({.seed = seed + 10})});
    EXPECT_EQ(on_two.results, cpu.results);
  }
}

TEST_P(OnGpu, PerturbedResultsOfTheGpuAreSeen) {
  const Outcome cpu = outcome_with(GetParam(), {});
  EXPECT_NE(outcome_with(GetParam(), {make_emulated_device({.perturb = true})}).results, cpu.results)
      << "the CPU has scored in its stead";
}

INSTANTIATE_TEST_SUITE_P(Detectors, OnGpu,
                         ::testing::Values("nearest_neighbours", "local_outlier_factor", "kernel_density",
                                           "histogram", "autoencoder"),
                         [](const auto& info) { return std::string(info.param); });

// Each of the device's calls in turn, from opening it to the last slot.
class FailingGpu : public ::testing::TestWithParam<Failure> {};

TEST_P(FailingGpu, AnyCallMayFailAndNothingIsLostRepeatedOrDifferent) {
  for (const char* detector : {"histogram", "autoencoder"}) {
    const Outcome cpu = outcome_with(detector, {});
    const auto undisturbed = make_emulated_device({.seed = 1});
    const Outcome whole = outcome_with(detector, {undisturbed});
    ASSERT_EQ(whole.results, cpu.results);
    const std::uint64_t calls = emulated_calls(*undisturbed);
    ASSERT_GT(calls, whole.calls_before_rows + 50);
    // While a model is copied there is nothing to score; whoever waits then gives up after half a minute.
    const std::uint64_t first = GetParam() == Failure::hang ? whole.calls_before_rows + 1 : 1;
    std::uint64_t noticed = 0;
    for (std::uint64_t n = first; n <= calls; ++n) {
      const auto gpu = make_emulated_device({.seed = 1, .fail_at = n, .failure = GetParam()});
      const Outcome disturbed = outcome_with(detector, {gpu}, 0.15);
      ASSERT_EQ(disturbed.results, cpu.results) << detector << ", call " << n;
      noticed += disturbed.trouble.empty() ? 0 : 1;
    }
    // Calls that give memory back can't fail, and what hangs after the last result is nobody's trouble.
    EXPECT_GT(noticed, (calls - first) / 3) << detector;
  }
}

INSTANTIATE_TEST_SUITE_P(Failures, FailingGpu,
                         ::testing::Values(Failure::error, Failure::lost, Failure::hang),
                         [](const auto& info) {
                           return info.param == Failure::error  ? "error"
                                  : info.param == Failure::lost ? "lost"
                                                                : "hang";
                         });

TEST(Gpu, RestsAfterAFailureEachTimeLongerAndIsForgivenOnceItScores) {
  ManualClock clock;
  Gpu gpu(make_emulated_device(), clock);
  EXPECT_TRUE(gpu.usable());
  const auto rests = [&] {
    gpu.failed(DeviceError("allocate", 2, "out of memory", false));
    EXPECT_FALSE(gpu.usable());
    EXPECT_THAT(gpu.trouble(), HasSubstr("out of memory"));
    std::int64_t seconds = 0;
    for (; !gpu.usable(); ++seconds) clock.now += 1'000'000'000;
    return seconds;
  };
  EXPECT_EQ(rests(), 1);
  EXPECT_EQ(rests(), 2);
  EXPECT_EQ(rests(), 4);
  gpu.give_back(gpu.take());
  EXPECT_THAT(gpu.trouble(), IsEmpty());
  for (int i = 0; i < 6; ++i) rests();
  EXPECT_EQ(rests(), 60);
  gpu.lose("gone", false);
  clock.now += 3600'000'000'000;
  EXPECT_FALSE(gpu.usable());
  gpu.failed(DeviceError("allocate", 2, "again", false));
  EXPECT_THAT(gpu.trouble(), HasSubstr("gone")) << "the first reason stays";
}

TEST(Gpu, AGpuThatFailedOnceIsUsedAgain) {
  const auto undisturbed = make_emulated_device();
  const auto gpu =
      make_emulated_device({.fail_at = outcome_with("histogram", {undisturbed}).calls_before_rows + 30});
  SimulatedHost host({offloading(), lossy(), false, {gpu}}, {stream_of("s", width)});
  use_two_lanes_of(host, "histogram");
  feed(host);
  const std::uint64_t before = host.counters.slots_scored_on_gpu;
  EXPECT_EQ(host.counters.gpu_failures, 1u);
  EXPECT_THAT(host.gpus[0]->trouble(), HasSubstr("as asked for"));
  host.clock.now += 2'000'000'000;
  feed(host);
  EXPECT_GT(host.counters.slots_scored_on_gpu, before);
  EXPECT_THAT(host.gpus[0]->trouble(), IsEmpty());
}

TEST(CostModel, ChoosesTheFasterOfTheTwoBySizeAndTriesTheOtherNowAndThen) {
  CostModel costs;
  using Where = CostModel::Where;
  std::size_t small_on_gpu = 0, large_on_cpu = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::size_t rows = i % 2 ? 10 : 5000;
    const Where where = costs.choose(rows);
    small_on_gpu += rows == 10 && where == Where::gpu ? 1 : 0;
    large_on_cpu += rows == 5000 && where == Where::cpu ? 1 : 0;
    costs.learn(where, rows, where == Where::cpu ? static_cast<std::int64_t>(rows) * 100 : 50'000);
  }
  EXPECT_THAT(small_on_gpu, ::testing::AllOf(::testing::Ge(2u), ::testing::Le(6u)));
  EXPECT_THAT(large_on_cpu, ::testing::AllOf(::testing::Ge(2u), ::testing::Le(6u)));
  // The GPU becomes busy: found out within some hundred slots.
  for (int i = 0; i < 600; ++i) {
    const Where where = costs.choose(5000);
    costs.learn(where, 5000, where == Where::cpu ? 500'000 : 5'000'000);
  }
  EXPECT_EQ(costs.choose(5000), Where::cpu);
}

}  // namespace
}  // namespace lanner::host
