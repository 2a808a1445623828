// Elementary functions: values per second of one thread, one at a time and in the lanes of each tier.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "kernels/device/cpu_tier.hpp"
#include "tests/kernels/arithmetic/elementary_lanes.hpp"
#include "tests/kernels/arithmetic/elementary_lanes_tier.hpp"

namespace {

using namespace lanner;
using test::Function;
using test::WideFunction;

constexpr std::size_t count = 4096;

void evaluate_scalar(Function function, const float* x, float* y, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] = test::value_of(function, x[i]);
}
void evaluate_scalar(WideFunction function, const double* x, double* y, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] = test::value_of(function, x[i]);
}

template <class Value, class Choice>
void values(benchmark::State& state, void (*evaluate)(Choice, const Value*, Value*, std::size_t),
            Choice function) {
  std::mt19937 random(1);
  std::vector<Value> x(count), y(count), want(count);
  for (Value& value : x) value = std::uniform_real_distribution<Value>(Value(0.01), Value(20))(random);
  evaluate(function, x.data(), y.data(), count);
  evaluate_scalar(function, x.data(), want.data(), count);
  if (y != want) {
    state.SkipWithError("not the scalar call's bits");
    return;
  }
  for (auto _ : state) {
    evaluate(function, x.data(), y.data(), count);
    benchmark::DoNotOptimize(y.data());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * count));
}

struct Tier {
  CpuTier tier;
  test::Evaluate evaluate;
  test::WideEvaluate evaluate_wide;
};
constexpr Tier tiers[] = {{CpuTier::scalar, evaluate_scalar, evaluate_scalar},
                          {CpuTier::avx2, test::evaluate_avx2, test::evaluate_avx2},
                          {CpuTier::avx512, test::evaluate_avx512, test::evaluate_avx512}};

}  // namespace

int main(int argc, char** argv) {
  const auto available = available_cpu_tiers();
  for (const Tier& tier : tiers) {
    if (std::find(available.begin(), available.end(), tier.tier) == available.end()) continue;
    const std::string title(name(tier.tier));
    for (const auto& [function, word] : {std::pair{Function::exp, "exp"},
                                         {Function::exp_normal, "exp_normal"},
                                         {Function::log, "log"},
                                         {Function::log1p, "log1p"},
                                         {Function::expm1, "expm1"},
                                         {Function::tanh, "tanh"},
                                         {Function::sin, "sin"}})
      benchmark::RegisterBenchmark((title + "/float/" + word).c_str(), values<float, Function>, tier.evaluate,
                                   function);
    for (const auto& [function, word] :
         {std::pair{WideFunction::exp, "exp"}, {WideFunction::log, "log"}, {WideFunction::log1p, "log1p"}})
      benchmark::RegisterBenchmark((title + "/double/" + word).c_str(), values<double, WideFunction>,
                                   tier.evaluate_wide, function);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
