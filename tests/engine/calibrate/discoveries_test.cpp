// The online false discovery rate with the p-values of one calibration, which depend on each other through it
// and come in steps: the mean share of false ones among the flags of a stream, over many streams, each with a
// calibration of its own, and what is found of what someone who knew the truth would have found.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "engine/calibrate/calibrate.hpp"
#include "engine/calibrate/decide.hpp"
#include "tests/engine/calibrate/scores.hpp"

namespace lanner::engine {
namespace {

/// LANNER_CALIBRATION_WHOLE=1 simulates as much as is promised: 200 streams of 100,000 events, for some
/// minutes.
bool whole_simulation() {
  return std::getenv("LANNER_CALIBRATION_WHOLE") != nullptr;
}

constexpr double rate = 0.05, anomalies = 0.01;

/// Scores of the anomalies among events whose own are standard normal, seen through a monotone function:
/// ranks stay, only the extrapolated tail can tell.
enum class Shape { normal, exponential, heavy };

float shaped(Shape shape, double z) {
  if (shape == Shape::normal) return static_cast<float>(z);
  const double beyond = std::max(std::erfc(z / std::sqrt(2.0)) / 2, 1e-300);
  return static_cast<float>(shape == Shape::exponential ? -std::log(beyond) : std::pow(beyond, -1.0 / 3));
}

struct Events {
  std::vector<float> scores;
  std::vector<bool> anomalous;
};

Events draw(test::Draws& draws, Shape shape, std::size_t count, double share, double shift) {
  Events events{std::vector<float>(count), std::vector<bool>(count)};
  for (std::size_t i = 0; i < count; ++i) {
    events.anomalous[i] = share > 0 && draws.uniform() < share;
    events.scores[i] = shaped(shape, draws.normal() + (events.anomalous[i] ? shift : 0));
  }
  return events;
}

/// The share of the anomalies above the lowest threshold at which at most `rate` of what it flags is false.
double oracle_power(const Events& events) {
  std::vector<std::size_t> order(events.scores.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return events.scores[a] > events.scores[b]; });
  const auto all = static_cast<double>(std::count(events.anomalous.begin(), events.anomalous.end(), true));
  double found = 0, flagged = 0, best = 0;
  for (const std::size_t i : order) {
    found += events.anomalous[i];
    ++flagged;
    if (flagged - found <= rate * flagged) best = found;
  }
  return best / all;
}

struct Kind {
  const char* name;
  Shape shape;
  bool extrapolate;
};
// Without a tail ranks alone count, and any shape is as good.
constexpr Kind kinds[] = {{"normal, no tail", Shape::normal, false},
                          {"normal", Shape::normal, true},
                          {"exponential", Shape::exponential, true},
                          {"pareto 1/3", Shape::heavy, true}};

struct Given {
  Kind kind;
  std::size_t calibration;
  double shift;
  std::size_t streams, events;
};

struct Realised {
  double false_share = 0, deviation = 0, power = 0, oracle = 0;
};

Realised simulate(const Given& given) {
  static const auto device = Device::cpu();
  Stream stream = device->stream();
  Realised mean;
  double squares = 0;
  const auto streams = static_cast<double>(given.streams);
  for (std::size_t run = 0; run < given.streams; ++run) {
    test::Draws draws(1'000'003 * run + given.calibration);
    const Events events = draw(draws, given.kind.shape, given.events, anomalies, given.shift);
    const auto calibration =
        calibrate(*device, draw(draws, given.kind.shape, given.calibration, 0, 0).scores,
                  {.trim = given.kind.extrapolate, .extrapolate = given.kind.extrapolate});
    std::vector<double> p_values(given.events), thresholds(given.events);
    std::vector<std::uint8_t> extrapolated(given.events), refused(given.events), flags(given.events);
    tail::p_values(stream, *tail::make_tail(*device, calibration), events.scores, p_values, extrapolated);
    Decider decider(FalseDiscoveryRate{rate});
    decider.decide(p_values, extrapolated, refused, {}, thresholds, flags, least_p_value(calibration));
    double flagged = 0, found = 0, all = 0;
    for (std::size_t i = 0; i < given.events; ++i) {
      all += events.anomalous[i];
      flagged += flags[i] & flag_anomalous;
      found += (flags[i] & flag_anomalous) && events.anomalous[i];
    }
    const double share = flagged > 0 ? (flagged - found) / flagged : 0;
    mean.false_share += share / streams;
    squares += share * share / streams;
    mean.power += found / all / streams;
    mean.oracle += oracle_power(events) / streams;
  }
  mean.deviation = std::sqrt(std::max(squares - mean.false_share * mean.false_share, 0.0) / streams);
  std::printf(
      "  %-15s %6zu calibration rows, %g deviations: false discovery rate %.3f +- %.3f, power %.3f of %.3f\n",
      given.kind.name, given.calibration, given.shift, mean.false_share, mean.deviation, mean.power,
      mean.oracle);
  std::fflush(stdout);
  return mean;
}

TEST(OnlineDiscoveries, OfALargeCalibrationKeepTheRateWithHalfOfAnOraclesPower) {
  const std::size_t streams = whole_simulation() ? 200 : 20, events = whole_simulation() ? 100'000 : 30'000;
  for (const Kind& kind : kinds)
    for (const double shift : {3.0, 4.0, 5.0})
      for (const std::size_t calibration : {50'000u, 100'000u}) {
        // The faintest anomalies take tens of thousands of events to be learned.
        if (!whole_simulation() && (calibration > 50'000 || shift != 4 || kind.shape == Shape::exponential))
          continue;
        const Realised realised = simulate({kind, calibration, shift, streams, events});
        EXPECT_LE(realised.false_share, rate);
        EXPECT_GE(realised.power, 0.5 * realised.oracle);
      }
}

// What a calibration is too small for isn't found, but what is flagged is no more often false.
TEST(OnlineDiscoveries, OfASmallCalibrationKeepTheRate) {
  const std::size_t streams = whole_simulation() ? 200 : 20, events = whole_simulation() ? 100'000 : 20'000;
  for (const Kind& kind : kinds)
    for (const double shift : {3.0, 4.0, 5.0})
      for (const std::size_t calibration : {500u, 1000u, 2000u, 5000u, 10'000u, 20'000u}) {
        if (!whole_simulation() && (calibration < 1000 || calibration > 5000 || shift != 4)) continue;
        const Realised realised = simulate({kind, calibration, shift, streams, events});
        // A tail that is fitted to 50 scores says too little of a heavy one: nothing is promised of it.
        if (calibration < 1000 && kind.extrapolate) continue;
        EXPECT_LE(realised.false_share, rate + (whole_simulation() ? 0 : 2 * realised.deviation));
      }
}

}  // namespace
}  // namespace lanner::engine
