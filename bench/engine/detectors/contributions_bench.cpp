// What explaining costs: batches are scored, then the 1 % of their rows with the highest scores are
// explained, 64 at a time, as host/pipeline does. `share` is the explanations' time over that of scores and
// p-values, in percent: processor time of the one thread that does both. What is explained must add up to the
// score before anything is timed.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "bench/ceiling.hpp"
#include "engine/detectors/detector.hpp"
#include "engine/model/model.hpp"
#include "engine/series/multivariate.hpp"
#include "tests/kernels/nearest/made_rows.hpp"

namespace {

using namespace lanner;

constexpr std::size_t batch = 8192, flagged = batch / 100, at_a_time = 64;

struct Sizes {
  std::size_t training, width;
};

class Clock {
 public:
  template <class F>
  void time(F work) {
    const double start = bench::cpu_seconds();
    work();
    seconds_ += bench::cpu_seconds() - start;
  }
  double seconds() const { return seconds_; }

 private:
  double seconds_ = 0;
};

void report(benchmark::State& state, const Clock& scoring, const Clock& explaining, std::size_t scored,
            std::size_t explained) {
  const auto iterations = static_cast<double>(state.iterations());
  state.counters["share"] = 100 * explaining.seconds() / scoring.seconds();
  state.counters["score_us_a_row"] = 1e6 * scoring.seconds() / iterations / static_cast<double>(scored);
  state.counters["explain_us_a_row"] =
      1e6 * explaining.seconds() / iterations / static_cast<double>(explained);
}

bool adds_up(double base, std::span<const float> parts, float score) {
  double sum = base, sizes = std::fabs(base);
  for (const float part : parts) {
    sum += part;
    sizes += std::fabs(static_cast<double>(part));
  }
  return std::fabs(sum - score) <= 1e-5 * sizes;
}

std::map<std::string, std::string> settings_of(std::string_view detector) {
  // Trained briefly: what is timed doesn't depend on it.
  if (detector == "autoencoder") return {{"epochs", "2"}};
  return {};
}

void rows(benchmark::State& state, const engine::Detector& detector, Sizes sizes) {
  std::mt19937 random(5);
  const auto made = test::made_low_rank_clusters(sizes.training + batch, sizes.width, random);
  const std::size_t width = sizes.width;
  engine::Schema schema;
  for (std::size_t j = 0; j < width; ++j) schema.fields.push_back({"x" + std::to_string(j)});
  engine::Records records;
  records.count = sizes.training;
  records.dense = {made.values.data(), nullptr, width};
  engine::FitOptions options;
  options.detector = detector.name;
  options.settings = settings_of(detector.name);
  const auto device = Device::cpu({chosen_cpu_tier(), 1});
  const engine::ModelScorer scorer(engine::Model::fit(*device, schema, records, options), *device);
  auto workspace = device->array<std::byte>(scorer.workspace_bytes(batch));
  Stream stream = device->stream();
  const Rows queries{made.row(sizes.training), batch, width, width};
  std::vector<float> scores(batch);
  std::vector<double> p_values(batch);
  std::vector<std::uint8_t> extrapolated(batch);
  const auto score = [&] {
    scorer.score(stream, queries, {}, workspace.span(), scores, p_values, extrapolated);
  };
  score();

  std::vector<std::size_t> order(batch);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::nth_element(order.begin(), order.begin() + flagged, order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  std::vector<float> gathered, parts(flagged * width);
  for (std::size_t i = 0; i < flagged; ++i)
    gathered.insert(gathered.end(), queries.row(order[i]), queries.row(order[i]) + width);
  const auto explain = [&] {
    for (std::size_t begin = 0; begin < flagged; begin += at_a_time) {
      const std::size_t count = std::min(at_a_time, flagged - begin);
      scorer.scorer().contributions(stream, {gathered.data() + begin * width, count, width, width},
                                    workspace.span(), {parts.data() + begin * width, count, width, width});
    }
  };
  explain();
  for (std::size_t i = 0; i < flagged; ++i)
    if (!adds_up(scorer.scorer().base(), std::span(parts).subspan(i * width, width), scores[order[i]]))
      return state.SkipWithError("contributions don't add up to the score");

  Clock scoring, explaining;
  for (auto _ : state) {
    scoring.time(score);
    explaining.time(explain);
    benchmark::DoNotOptimize(parts.data());
  }
  report(state, scoring, explaining, batch, flagged);
}

// A machine's metrics, which come one row after the other; every hundredth is explained.
void machine(benchmark::State& state, std::size_t metrics) {
  constexpr std::size_t scored = 800;
  std::mt19937 random(6);
  constexpr std::size_t training = 6000;
  const auto made = test::made_low_rank_clusters(training + batch, metrics, random);
  const std::vector<double> wide(made.values.begin(), made.values.end());
  const auto device = Device::cpu({chosen_cpu_tier(), 1});
  const auto model = std::make_shared<const engine::MultivariateModel>(
      engine::fit_multivariate(std::span(wide).first(training * metrics), metrics));
  const auto row = [&](std::size_t i) { return std::span(wide).subspan((training + i) * metrics, metrics); };
  std::vector<double> parts(metrics);
  Clock scoring, explaining;
  engine::MultivariateDetector detector(*device, model);
  for (auto _ : state) {
    for (std::size_t i = 0; i < scored; ++i) {
      double score = 0;
      scoring.time([&] { score = detector.push(row(i)); });
      if (i % 100 != 99) continue;  // a hundredth
      explaining.time([&] { detector.contributions(parts); });
      if (std::fabs(std::accumulate(parts.begin(), parts.end(), 0.0) - score) > 1e-5 * score)
        return state.SkipWithError("contributions don't add up to the score");
    }
  }
  report(state, scoring, explaining, scored, scored / 100);
}

}  // namespace

int main(int argc, char** argv) {
  // Tiny, for ctest: is everything explained, and does it add up?
  const bool quick = std::find(argv, argv + argc, std::string("--quick")) != argv + argc;
  const auto add = [&](const std::string& name, auto... arguments) {
    auto* bench = benchmark::RegisterBenchmark(name.c_str(), arguments...);
    bench->Unit(benchmark::kMillisecond)->UseRealTime();
    if (quick) bench->Iterations(1);
  };
  const std::vector<Sizes> all =
      quick ? std::vector<Sizes>{{500, 8}} : std::vector<Sizes>{{10'000, 8}, {10'000, 32}, {10'000, 128}};
  for (const Sizes sizes : all)
    for (const engine::Detector& detector : engine::catalogue())
      add(std::string(detector.name) + "/" + std::to_string(sizes.training) + "x" +
              std::to_string(sizes.width),
          rows, std::cref(detector), sizes);
  if (!quick)
    for (const std::size_t metrics : {8, 38})
      add("multivariate/6000x" + std::to_string(metrics), machine, metrics);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
