// Reconstruction errors of autoencoders, standardisation included: events a core-second, arithmetic rate, and
// its share of what the core's multipliers can do, measured in turns with it. Answers are checked against the
// plain tier before anything is timed. Then training, seconds of CPU time for 40 epochs. --quick: seconds
// instead of a minute, for the test run.
#include <immintrin.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernels/mlp/mlp.hpp"

namespace {

using namespace lanner;

double cpu_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Twelve chains in flight keep the multipliers busy; returns operations.
__attribute__((target("avx2,fma"), noinline)) double multiply_avx2(long rounds, float* sink) {
  __m256 a[12];
  for (int i = 0; i < 12; ++i) a[i] = _mm256_set1_ps(static_cast<float>(i));
  const __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f);
  for (long r = 0; r < rounds; ++r)
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) a[i] = _mm256_fmadd_ps(a[i], x, y);
  __m256 all = a[0];
  for (int i = 1; i < 12; ++i) all = _mm256_add_ps(all, a[i]);
  _mm256_storeu_ps(sink, all);
  return static_cast<double>(rounds) * 12 * 8 * 2;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
__attribute__((target("avx512f"), noinline)) double multiply_avx512(long rounds, float* sink) {
  __m512 a[12];
  for (int i = 0; i < 12; ++i) a[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f);
  for (long r = 0; r < rounds; ++r)
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) a[i] = _mm512_fmadd_ps(a[i], x, y);
  __m512 all = a[0];
  for (int i = 1; i < 12; ++i) all = _mm512_add_ps(all, a[i]);
  _mm512_storeu_ps(sink, all);
  return static_cast<double>(rounds) * 12 * 16 * 2;
}
#pragma GCC diagnostic pop

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

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

bool measure(const std::vector<std::size_t>& widths, mlp::Activation hidden, std::size_t batch, int rounds) {
  const mlp::Network network = random_network(widths, hidden);
  const std::size_t d = widths.front();
  double operations = 0;
  std::string shape;
  for (std::size_t l = 0; l < widths.size(); ++l) {
    if (l > 0) operations += 2.0 * static_cast<double>(widths[l - 1] * widths[l]);
    if (l > 0) shape += '-';
    shape += std::to_string(widths[l]);
  }
  std::vector<float> values(batch * d);
  std::mt19937 random(2);
  std::normal_distribution<float> value;
  for (float& v : values) v = value(random);
  const Rows rows{values.data(), batch, d, d};

  const auto plain = Device::cpu({CpuTier::scalar, 1});
  const auto device = Device::cpu({chosen_cpu_tier(), 1});
  const Rows checked = rows.slice(0, std::min<std::size_t>(batch, 1000));
  const std::vector<float> expected = errors(*plain, network, checked),
                           found = errors(*device, network, checked);
  if (std::memcmp(expected.data(), found.data(), expected.size() * sizeof(float)) != 0) {
    std::printf("%s: WRONG ANSWER\n", shape.c_str());
    return false;
  }

  const auto resident = mlp::make_resident(*device, network);
  std::vector<std::byte> workspace(resident->workspace_bytes(batch));
  std::vector<float> error(batch);
  Stream stream = device->stream();
  const long repeats = std::max(1L, static_cast<long>(2e8 / (operations * static_cast<double>(batch))));
  std::vector<double> seconds, ceiling;
  float sink[16];
  for (int r = 0; r < rounds; ++r) {
    const double t0 = cpu_seconds();
    for (long i = 0; i < repeats; ++i)
      mlp::reconstruction_error(stream, *resident, rows, workspace, error, {});
    const double t1 = cpu_seconds();
    const double done = device->tier() == CpuTier::avx512 && __builtin_cpu_supports("avx512f")
                            ? multiply_avx512(500'000, sink)
                            : multiply_avx2(1'000'000, sink);
    const double t2 = cpu_seconds();
    seconds.push_back((t1 - t0) / static_cast<double>(repeats));
    ceiling.push_back(done / (t2 - t1) * 1e-9);
  }
  const double rate = operations * static_cast<double>(batch) / median(seconds) * 1e-9;
  std::printf("%-20s %-9s batch %6zu %-7s %8.3f M events/core-s %7.1f GFLOP/s %5.1f %% of %.1f\n",
              shape.c_str(), hidden == mlp::Activation::tanh ? "tanh" : "rectifier", batch,
              std::string(name(device->tier())).c_str(), static_cast<double>(batch) / median(seconds) * 1e-6,
              rate, rate / median(ceiling) * 100, median(ceiling));
  return true;
}

void measure_training(std::size_t n, std::size_t d, std::size_t batch, int epochs) {
  std::vector<float> values(n * d);
  std::mt19937 random(2);
  std::normal_distribution<float> value;
  for (float& v : values) v = value(random);
  mlp::Training training;
  const std::size_t outer = std::clamp<std::size_t>(d, 8, 64), inner = std::clamp<std::size_t>(d / 2, 2, 16);
  training.widths = {d, outer, inner, outer, d};
  training.batch = batch;
  training.epochs_max = training.patience = epochs;
  const auto device = Device::cpu({chosen_cpu_tier(), 1});
  const double t0 = cpu_seconds();
  mlp::train(*device, {values.data(), n, d, d}, training, {});
  const double seconds = cpu_seconds() - t0;
  const double weights = 2.0 * static_cast<double>(outer * (d + inner));
  const double operations = 6 * weights * 0.9 * static_cast<double>(n) * epochs;
  std::printf("train %zu x %zu, batch %zu, %d epochs: %.2f core-s, %.1f GFLOP/s\n", n, d, batch, epochs,
              seconds, operations / seconds * 1e-9);
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::strcmp(argv[1], "--quick") == 0;
  const int rounds = quick ? 3 : 21;
  bool right = true;
  const std::vector<std::vector<std::size_t>> networks = {{32, 16, 8, 16, 32},
                                                          {8, 8, 4, 8, 8},
                                                          {62, 62, 16, 62, 62},
                                                          {128, 64, 16, 64, 128},
                                                          {1555, 64, 16, 64, 1555}};
  for (const auto& widths : networks)
    for (mlp::Activation hidden : {mlp::Activation::rectifier, mlp::Activation::tanh})
      for (std::size_t batch : {1, 16, 1000, 48000}) {
        if (batch * widths[0] > (quick ? 100'000 : 10'000'000)) continue;
        right &= measure(widths, hidden, batch, rounds);
      }
  for (std::size_t batch : {64, 128, 256}) measure_training(7000, 62, batch, quick ? 1 : 40);
  measure_training(1376, 1555, 128, quick ? 1 : 40);
  return right ? 0 : 1;
}
