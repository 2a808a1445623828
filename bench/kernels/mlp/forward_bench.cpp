// Reconstruction errors of autoencoders, standardisation included, and training, one thread. Answers are
// checked against the plain tier before anything is timed. `of_ceiling` is the share of this core's float32
// FMA rate, measured just before, counting 2 operations a weight.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "bench/ceiling.hpp"
#include "kernels/mlp/mlp.hpp"

namespace {

using namespace lanner;
using Widths = std::vector<std::size_t>;

mlp::Network random_network(const std::vector<std::size_t>& widths, mlp::Activation hidden) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> weight(-1, 1);
  mlp::Network network;
  for (std::size_t l = 0; l + 1 < widths.size(); ++l) {
    mlp::Layer layer{
        widths[l], widths[l + 1], {}, {}, l + 2 < widths.size() ? hidden : mlp::Activation::identity};
    for (std::size_t i = 0; i < layer.inputs * layer.outputs; ++i)
      layer.weight.push_back(weight(random) * 1.7f / std::sqrt(static_cast<float>(layer.inputs)));
    for (std::size_t o = 0; o < layer.outputs; ++o) layer.bias.push_back(weight(random) * 0.5f);
    network.layers.push_back(std::move(layer));
  }
  network.input = {std::vector<float>(widths.front(), 0.1f), std::vector<float>(widths.front(), 0.9f), 20};
  return network;
}

std::vector<float> errors(Device& device, const mlp::Network& network, Rows rows) {
  const auto resident = mlp::make_resident(device, network);
  std::vector<std::byte> workspace(resident->workspace_bytes(rows.count));
  std::vector<float> error(rows.count);
  Stream stream = device.stream();
  mlp::reconstruction_error(stream, *resident, rows, workspace, error, {});
  return error;
}

std::vector<float> normal_values(std::size_t count) {
  std::vector<float> values(count);
  std::mt19937 random(2);
  std::normal_distribution<float> value;
  for (float& v : values) v = value(random);
  return values;
}

double operations_a_row(const Widths& widths) {
  double operations = 0;
  for (std::size_t l = 1; l < widths.size(); ++l)
    operations += 2.0 * static_cast<double>(widths[l - 1] * widths[l]);
  return operations;
}

void forward(benchmark::State& state, const Widths& widths, mlp::Activation hidden) {
  const auto batch = static_cast<std::size_t>(state.range(0));
  const std::size_t d = widths.front();
  const mlp::Network network = random_network(widths, hidden);
  const std::vector<float> values = normal_values(batch * d);
  const Rows rows{values.data(), batch, d, d};
  const auto plain = Device::cpu({CpuTier::scalar, 1}), device = Device::cpu({chosen_cpu_tier(), 1});
  const Rows checked = rows.slice(0, std::min<std::size_t>(batch, 1000));
  if (const auto expected = errors(*plain, network, checked), found = errors(*device, network, checked);
      std::memcmp(expected.data(), found.data(), expected.size() * sizeof(float)) != 0)
    return state.SkipWithError("wrong answer");

  const auto resident = mlp::make_resident(*device, network);
  std::vector<std::byte> workspace(resident->workspace_bytes(batch));
  std::vector<float> error(batch);
  Stream stream = device->stream();
  const double ceiling = bench::fma_rate(device->tier());
  for (auto _ : state) mlp::reconstruction_error(stream, *resident, rows, workspace, error, {});
  const double done = static_cast<double>(state.iterations() * batch);
  state.counters["events"] = benchmark::Counter(done, benchmark::Counter::kIsRate);
  state.counters["of_ceiling"] =
      benchmark::Counter(done * operations_a_row(widths) / ceiling, benchmark::Counter::kIsRate);
}

// An epoch: forward and backward over nine tenths of the rows, forward over the rest.
void epochs(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0)), d = static_cast<std::size_t>(state.range(1));
  const std::vector<float> values = normal_values(n * d);
  mlp::Training training;
  const std::size_t outer = std::clamp<std::size_t>(d, 8, 64), inner = std::clamp<std::size_t>(d / 2, 2, 16);
  training.widths = {d, outer, inner, outer, d};
  training.batch = static_cast<std::size_t>(state.range(2));
  training.epochs_max = training.patience = 5;
  const auto device = Device::cpu({chosen_cpu_tier(), 1});
  const double ceiling = bench::fma_rate(device->tier());
  for (auto _ : state) mlp::train(*device, {values.data(), n, d, d}, training, {});
  const double rows = static_cast<double>(state.iterations() * n) * training.epochs_max;
  state.counters["rows"] = benchmark::Counter(rows, benchmark::Counter::kIsRate);
  state.counters["of_ceiling"] = benchmark::Counter(
      rows * 3 * 0.9 * operations_a_row(training.widths) / ceiling, benchmark::Counter::kIsRate);
}
BENCHMARK(epochs)
    ->ArgNames({"rows", "width", "batch"})
    ->Args({7000, 62, 64})
    ->Args({7000, 62, 128})
    ->Args({7000, 62, 256})
    ->Args({1376, 1555, 128})
    ->Unit(benchmark::kMillisecond);

}  // namespace

int main(int argc, char** argv) {
  const Widths networks[] = {{32, 16, 8, 16, 32},
                             {8, 8, 4, 8, 8},
                             {62, 62, 16, 62, 62},
                             {128, 64, 16, 64, 128},
                             {1555, 64, 16, 64, 1555}};
  for (const Widths& widths : networks) {
    std::string shape;
    for (const std::size_t width : widths) shape += (shape.empty() ? "" : "-") + std::to_string(width);
    for (const mlp::Activation hidden : {mlp::Activation::rectifier, mlp::Activation::tanh}) {
      const std::string name =
          "forward/" + shape + (hidden == mlp::Activation::tanh ? "/tanh" : "/rectifier");
      benchmark::RegisterBenchmark(name.c_str(), forward, widths, hidden)
          ->ArgName("batch")
          ->Arg(1)
          ->Arg(16)
          ->Arg(1000)
          ->Unit(benchmark::kMicrosecond);
    }
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
}
