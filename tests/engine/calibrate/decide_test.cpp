#include "engine/calibrate/decide.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>

#include "tests/engine/calibrate/scores.hpp"

namespace lanner::engine {
namespace {

constexpr double day = 86'400e9;

struct Decided {
  std::vector<double> thresholds;
  std::vector<std::uint8_t> flags;
};

Decided decide(Decider& decider, const std::vector<double>& p_values,
               const std::vector<std::int64_t>& time = {}, std::vector<std::uint8_t> refused = {},
               std::vector<std::uint8_t> extrapolated = {}, double least_p_value = 0) {
  const std::size_t n = p_values.size();
  refused.resize(n);
  extrapolated.resize(n);
  Decided out{std::vector<double>(n), std::vector<std::uint8_t>(n)};
  decider.decide(p_values, extrapolated, refused, time, out.thresholds, out.flags, least_p_value);
  return out;
}
Decided decide_with(double least_p_value, Decider& decider, const std::vector<double>& p_values) {
  return decide(decider, p_values, {}, {}, {}, least_p_value);
}

/// Arrival times of a Poisson process of rate(t) events a day, t in days, thinned from a constant rate_max.
std::vector<std::int64_t> arrivals(std::uint64_t seed, double days, double rate_max,
                                   const std::function<double(double)>& rate) {
  std::mt19937_64 random(seed);
  std::vector<std::int64_t> times;
  const double start = 1.7e18;
  for (double t = 0; (t -= std::log(test::uniform(random)) / rate_max) < days;)
    if (test::uniform(random) * rate_max < rate(t))
      times.push_back(static_cast<std::int64_t>(start + t * day));
  return times;
}

struct Arrivals {
  const char* name;
  double rate_max;
  double (*rate)(double t);
  double approached;  ///< the share of its budget that the rule spends on this stream, at least
};
const Arrivals streams[] = {
    {"steady", 5000, [](double) { return 5000.0; }, 0.97},
    {"sparse", 300, [](double) { return 300.0; }, 0.9},
    {"daily cycle", 10000, [](double t) { return 5000 * (1 - std::cos(2 * M_PI * t)); }, 0.9},
    {"office hours", 15000, [](double t) { return t - std::floor(t) < 1.0 / 3 ? 15000.0 : 50.0; }, 0.9},
    {"bursts", 100000, [](double t) { return std::fmod(t * 24, 7) < 0.2 ? 100000.0 : 1000.0; }, 0.9},
    {"weekends off", 5000, [](double t) { return std::fmod(t, 7) < 5 ? 5000.0 : 5.0; }, 0.6},
};

TEST(FalseAlarmsPerDay, TheBudgetIsKeptAndApproachedHoweverEventsCome) {
  constexpr double budget = 20, days = 42;
  for (const Arrivals& stream : streams) {
    const auto times = arrivals(3, days, stream.rate_max, stream.rate);
    Decider decider(FalseAlarmsPerDay{budget});
    std::mt19937_64 random(4);
    std::vector<double> p_values(times.size());
    for (double& p : p_values) p = test::uniform(random);
    const auto decided = decide(decider, p_values, times);

    // Thresholds sum to the expected false alarms. The theorem, for every prefix and every stretch of whole
    // days.
    std::vector<double> by_day(static_cast<std::size_t>(days) + 1);
    double sum = 0, alarms = 0;
    for (std::size_t i = 0; i < times.size(); ++i) {
      sum += decided.thresholds[i];
      alarms += decided.flags[i] & flag_anomalous;
      const double elapsed = static_cast<double>(times[i] - times[0]) / day;
      ASSERT_LE(sum, budget * elapsed * (1 + 1e-9) + 1e-9) << stream.name;
      by_day[static_cast<std::size_t>(elapsed)] += decided.thresholds[i];
    }
    for (std::size_t from = 0; from < by_day.size(); ++from) {
      double stretch = 0;
      for (std::size_t to = from; to < by_day.size(); ++to) {
        stretch += by_day[to];
        ASSERT_LE(stretch, budget * (static_cast<double>(to - from + 1) + 1) * (1 + 1e-9)) << stream.name;
      }
    }
    double settled = 0;
    for (std::size_t i = 7; i < 42; ++i) settled += by_day[i] / 35;
    std::printf(
        "  %-12s %7zu events: expected false alarms a day %.2f overall, %.2f after a week, %.2f realised; "
        "budget %g\n",
        stream.name, times.size(), sum / days, settled, alarms / days, budget);
    EXPECT_GE(settled, stream.approached * budget) << stream.name;
    EXPECT_NEAR(alarms, sum, 5 * std::sqrt(sum))
        << stream.name << ": uniform p-values are flagged as often as said";
  }
}

TEST(FalseAlarmsPerDay, FirstEventsAreConservative) {
  Decider decider(FalseAlarmsPerDay{1000});
  std::vector<std::int64_t> times;
  for (int i = 0; i < 100; ++i) times.push_back(1'000'000'000LL * i);  // one a second: 86400 a day
  const auto decided = decide(decider, std::vector<double>(100, 1e-12), times);
  EXPECT_EQ(decided.flags[0], 0) << "no time has passed in which a false alarm could be afforded";
  for (std::size_t i = 1; i < 100; ++i) EXPECT_LE(decided.thresholds[i], 1000 / 86400.0);
  EXPECT_GT(decided.thresholds[99], 0.9 * 1000 / 86400.0);
}

TEST(FalseAlarmsPerDay, ABudgetBeyondTheStreamDoesNotFlagTheOrdinary) {
  Decider decider(FalseAlarmsPerDay{1e6});
  std::vector<std::int64_t> times;
  for (int i = 0; i < 1000; ++i) times.push_back(60'000'000'000LL * i);
  const auto decided = decide(decider, std::vector<double>(1000, 0.2), times);
  EXPECT_EQ(*std::max_element(decided.thresholds.begin(), decided.thresholds.end()), 0.1);
}

TEST(FalseAlarmsPerDay, TheBatchCutAndARestartDoNotMatter) {
  const auto times = arrivals(5, 3, 3000, [](double t) { return 1500 * (1 + std::sin(9 * t)); });
  std::mt19937_64 random(6);
  std::vector<double> p_values(times.size());
  std::vector<std::uint8_t> refused(times.size());
  for (double& p : p_values) p = test::uniform(random) * 0.02;
  for (auto& r : refused) r = random() % 10 == 0;
  Decider whole(FalseAlarmsPerDay{20});
  const auto expected = decide(whole, p_values, times, refused);
  for (const std::size_t cut : {1u, 7u, 64u, 1000u}) {
    Decider decider(FalseAlarmsPerDay{20});
    for (std::size_t begin = 0; begin < times.size(); begin += cut) {
      const std::size_t end = std::min(begin + cut, times.size());
      const auto part = [&](const auto& all) {
        return std::vector(all.begin() + static_cast<std::ptrdiff_t>(begin),
                           all.begin() + static_cast<std::ptrdiff_t>(end));
      };
      const auto got = decide(decider, part(p_values), part(times), part(refused));
      EXPECT_EQ(got.thresholds, part(expected.thresholds));
      EXPECT_EQ(got.flags, part(expected.flags));
      Decider next(FalseAlarmsPerDay{20});
      next.restore(decider.state());
      decider = next;
    }
    EXPECT_EQ(decider.state(), whole.state());
  }
}

TEST(FalseAlarmsPerDay, RefusedRowsLeaveNoTrace) {
  Decider with(FalseAlarmsPerDay{20}), without(FalseAlarmsPerDay{20});
  constexpr std::int64_t hour = 3'600'000'000'000;
  const double nan = std::nan("");
  const auto a = decide(with, {1e-9, nan, 1e-9, 1e-9}, {0, 900 * hour, hour, 2 * hour}, {0, 1, 0, 0});
  const auto b = decide(without, {1e-9, 1e-9, 1e-9}, {0, hour, 2 * hour});
  EXPECT_EQ(a.flags[1], flag_refused);
  EXPECT_EQ((std::vector{a.thresholds[0], a.thresholds[2], a.thresholds[3]}), b.thresholds);
  EXPECT_EQ(with.state(), without.state());
}

TEST(FalseAlarmsPerDay, OddTimesAreSurvived) {
  constexpr auto most = std::numeric_limits<std::int64_t>::max(),
                 least = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t hour = 3'600'000'000'000;
  Decider decider(FalseAlarmsPerDay{20});
  const auto decided = decide(decider, std::vector<double>(7, 1.0), {0, most, least, most, -1, least, 0});
  for (const double threshold : decided.thresholds) EXPECT_TRUE(threshold >= 0 && threshold <= 0.1);

  // A little disorder is as if the late event had come with the newest.
  Decider late(FalseAlarmsPerDay{20}), ordered(FalseAlarmsPerDay{20});
  EXPECT_EQ(decide(late, {1, 1, 1, 1}, {0, 2 * hour, hour, 3 * hour}).thresholds,
            decide(ordered, {1, 1, 1, 1}, {0, 2 * hour, 2 * hour, 3 * hour}).thresholds);

  // One event from a wrong clock, centuries ahead, must not silence the stream.
  Decider wrong(FalseAlarmsPerDay{20});
  std::vector<std::int64_t> times;
  for (int i = 0; i < 2000; ++i) times.push_back(i * hour / 60);
  times[1000] = most;
  const auto after = decide(wrong, std::vector<double>(2000, 1.0), times);
  EXPECT_GT(after.thresholds[1999], 0.5 * 20 / 1440);
}

TEST(FalseAlarmsPerDay, NoForeignStateIsTaken) {
  Decider decider(FalseAlarmsPerDay{20});
  decide(decider, {0.5, 0.5}, {1'700'000'000'123'456'789, 1'700'000'001'123'456'789});
  const auto good = decider.state();
  EXPECT_NO_THROW(decider.restore(good));
  EXPECT_EQ(decider.state(), good);
  for (std::size_t i = 0; i < good.size(); ++i)
    for (const double value : {std::nan(""), HUGE_VAL, -1e300, -0.5}) {
      auto bad = good;
      bad[i] = value;
      EXPECT_THROW(decider.restore(bad), std::invalid_argument) << i << ' ' << value;
    }
  EXPECT_THROW(decider.restore(std::vector<double>{}), std::invalid_argument);
  EXPECT_THROW(decider.restore(std::vector<double>(7)), std::invalid_argument);
  EXPECT_EQ(decider.state(), good);
}

TEST(FalseAlarmsPerDay, NeedsTimesAndAPositiveBudget) {
  for (const double budget : {0.0, -1.0, std::nan(""), HUGE_VAL})
    EXPECT_THROW(Decider(FalseAlarmsPerDay{budget}), std::invalid_argument);
  Decider decider(FalseAlarmsPerDay{20});
  EXPECT_THROW(decide(decider, {0.5}), std::invalid_argument);
  EXPECT_NO_THROW(decide(decider, {}));
}

TEST(FalseAlarmRate, FlagsAtOrBelowTheRate) {
  Decider decider(FalseAlarmRate{0.01});
  const auto decided =
      decide(decider, {0.01, std::nextafter(0.01, 1), 1e-9, 0.001}, {}, {0, 0, 0, 1}, {0, 0, 1, 0});
  EXPECT_EQ(decided.flags,
            (std::vector<std::uint8_t>{flag_anomalous, 0, flag_anomalous | flag_extrapolated, flag_refused}));
  EXPECT_EQ(decided.thresholds, std::vector<double>(4, 0.01));
  EXPECT_TRUE(decider.state().empty());
  for (const double rate : {0.0, 1.0, -0.1, 2.0, std::nan("")})
    EXPECT_THROW(Decider(FalseAlarmRate{rate}), std::invalid_argument);
  std::vector<double> thresholds(1);
  std::vector<std::uint8_t> one(1), two(2);
  EXPECT_THROW(decider.decide(thresholds, one, two, {}, thresholds, one), std::invalid_argument);
}

// A stream with one anomaly among a hundred: their p-values from normal scores `shift` deviations out.
struct Mixture {
  std::vector<double> p_values;
  std::vector<bool> anomalous;
};
Mixture mixture(std::uint64_t seed, std::size_t count, double shift) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  Mixture stream;
  for (std::size_t i = 0; i < count; ++i) {
    stream.anomalous.push_back(test::uniform(random) < 0.01);
    const double score = normal(random) + (stream.anomalous.back() ? shift : 0);
    stream.p_values.push_back(std::erfc(score / std::sqrt(2.0)) / 2);
  }
  return stream;
}

// The most that could be found at that rate by someone who knows the truth: one threshold for all.
double oracle_power(const Mixture& stream, double rate) {
  std::vector<std::size_t> order(stream.p_values.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return stream.p_values[a] < stream.p_values[b]; });
  double found = 0, flagged = 0, best = 0, all = 0;
  for (const bool anomalous : stream.anomalous) all += anomalous;
  for (const std::size_t i : order) {
    found += stream.anomalous[i];
    ++flagged;
    if (flagged - found <= rate * flagged) best = found;
  }
  return best / all;
}

TEST(OnlineFalseDiscoveryRate, IsKeptOnAverageWithMostOfAnOraclesPower) {
  constexpr double rate = 0.05;
  for (const double shift : {3.0, 4.0, 5.0}) {
    double false_share = 0, power = 0, oracle = 0;
    constexpr int runs = 20;
    for (int run = 0; run < runs; ++run) {
      const Mixture stream = mixture(static_cast<std::uint64_t>(run), 50'000, shift);
      Decider decider(FalseDiscoveryRate{rate});
      const auto decided = decide(decider, stream.p_values);
      double flagged = 0, found = 0, all = 0;
      for (std::size_t i = 0; i < stream.p_values.size(); ++i) {
        all += stream.anomalous[i];
        if (!(decided.flags[i] & flag_anomalous)) continue;
        ++flagged;
        found += stream.anomalous[i];
      }
      false_share += flagged > 0 ? (flagged - found) / flagged / runs : 0;
      power += found / all / runs;
      oracle += oracle_power(stream, rate) / runs;
    }
    std::printf("  shift %g: false discovery rate %.3f of %.2f, power %.2f, an oracle's %.2f\n", shift,
                false_share, rate, power, oracle);
    EXPECT_LE(false_share, rate);
    EXPECT_GE(power, 0.6 * oracle) << shift;
  }
}

TEST(OnlineFalseDiscoveryRate, ThresholdsNeverSumToMoreThanTheFlagsPayFor) {
  const Mixture stream = mixture(1, 20'000, 4);
  for (const double least : {0.0, 1e-4}) {
    Decider decider(FalseDiscoveryRate{0.1, 2000});
    const auto decided = decide_with(least, decider, stream.p_values);
    double spent = 0, found = 0;
    for (std::size_t i = 0; i < stream.p_values.size(); ++i) {
      spent = spent * (1 - 1 / 2000.0) + decided.thresholds[i];
      found *= 1 - 1 / 2000.0;
      ASSERT_LE(spent, 0.1 * std::max(found, 1.0) + 1e-12) << i;
      found += decided.flags[i] & flag_anomalous;
    }
  }
}

TEST(OnlineFalseDiscoveryRate, WithoutAnomaliesThereAreFewFlags) {
  std::mt19937_64 random(7);
  std::vector<double> p_values(100'000);
  for (double& p : p_values) p = test::uniform(random);
  Decider decider(FalseDiscoveryRate{0.05});
  const auto decided = decide(decider, p_values);
  // A memory of 10,000 affords .05 flags in each: half a flag in all, and what those pay for.
  EXPECT_LE(std::count(decided.flags.begin(), decided.flags.end(), flag_anomalous), 4);
}

TEST(OnlineFalseDiscoveryRate, NothingIsSpentOnWhatNoPValueCanMeet) {
  Decider coarse(FalseDiscoveryRate{0.05}), fine(FalseDiscoveryRate{0.05});
  EXPECT_EQ(decide_with(1e-3, coarse, {1e-3}).thresholds[0], 0);
  EXPECT_EQ(decide_with(1e-3, coarse, {1e-3}).flags[0], 0);
  EXPECT_NEAR(decide(fine, {0.5}).thresholds[0], 0.05 / 2000, 1e-12);
}

TEST(OnlineFalseDiscoveryRate, ALevelThatPaysForItselfIsLearned) {
  // With 9,999 calibration rows and no tail no step of the search is large enough. Of 1,000 events a hundred
  // have the least p-value: 1e-4 x 2,000 <= 0.1 / 2 x 4 after the first 64.
  std::vector<double> p_values(1000, 0.5);
  for (std::size_t i = 0; i < p_values.size(); i += 10) p_values[i] = 1e-4;
  Decider decider(FalseDiscoveryRate{0.1});
  const auto decided = decide_with(1e-4, decider, p_values);
  for (std::size_t i = 0; i < 64; ++i) ASSERT_EQ(decided.thresholds[i], 0) << i;
  for (std::size_t i = 64; i < 91; ++i) ASSERT_EQ(decided.thresholds[i], 1e-4) << i;
  for (std::size_t i = 91; i < p_values.size(); ++i) ASSERT_GE(decided.thresholds[i], 1e-4) << i;
  EXPECT_EQ(decided.flags[70], flag_anomalous);
  // One in a hundred is too few for p-values of 1 in 100.
  Decider poor(FalseDiscoveryRate{0.1});
  for (std::size_t i = 0; i < p_values.size(); ++i) p_values[i] = i % 100 == 0 ? 0.01 : 0.5;
  for (const double threshold : decide_with(0.01, poor, p_values).thresholds) ASSERT_EQ(threshold, 0);
}

TEST(OnlineFalseDiscoveryRate, TheBatchCutAndARestartDoNotMatter) {
  const Mixture stream = mixture(3, 5000, 5);
  Decider whole(FalseDiscoveryRate{0.1, 1000});
  const auto expected = decide(whole, stream.p_values);
  std::vector<double> thresholds, state;
  for (std::size_t begin = 0; begin < 5000; begin += 700) {
    Decider next(FalseDiscoveryRate{0.1, 1000});
    if (begin > 0) next.restore(state);
    const std::size_t end = std::min<std::size_t>(begin + 700, 5000);
    const auto part = decide(next, {stream.p_values.begin() + static_cast<std::ptrdiff_t>(begin),
                                    stream.p_values.begin() + static_cast<std::ptrdiff_t>(end)});
    thresholds.insert(thresholds.end(), part.thresholds.begin(), part.thresholds.end());
    state = next.state();
  }
  EXPECT_EQ(thresholds, expected.thresholds);
}

TEST(OnlineFalseDiscoveryRate, RefusesWhatIsNoRateMemoryOrState) {
  for (const double rate : {0.0, 1.0, std::nan("")})
    EXPECT_THROW(Decider(FalseDiscoveryRate{rate}), std::invalid_argument);
  for (const double memory : {99.0, 1e10, std::nan("")})
    EXPECT_THROW(Decider(FalseDiscoveryRate{0.1, memory}), std::invalid_argument);
  Decider decider(FalseDiscoveryRate{0.1});
  EXPECT_THROW(decider.restore(std::vector<double>{1}), std::invalid_argument);
  decide(decider, std::vector<double>(1000, 1e-3));
  const std::vector<double> good = decider.state();
  for (std::size_t place = 0; place < good.size(); ++place)
    for (const double wrong : {-1.0, std::nan(""), HUGE_VAL}) {
      std::vector<double> bad = good;
      bad[place] = wrong;
      EXPECT_THROW(decider.restore(bad), std::invalid_argument) << place << ' ' << wrong;
    }
  std::vector<double> bad = good;
  std::swap(bad.back(), *std::find(bad.begin(), bad.end(), 1e-3));
  EXPECT_THROW(decider.restore(bad), std::invalid_argument) << "a p-value in another's half octave";
  EXPECT_EQ(decider.state(), good);
}

TEST(Describe, NamesRuleAndNumber) {
  EXPECT_EQ(describe(FalseAlarmRate{0.001}), "false_alarm_rate: 0.001");
  EXPECT_EQ(describe(FalseAlarmsPerDay{20}), "false_alarms_per_day: 20");
  EXPECT_EQ(describe(FalseDiscoveryRate{0.1, 5000}), "false_discovery_rate: 0.1, memory: 5000");
}

TEST(FalseDiscoveryRate, BenjaminiHochbergsOwnExample) {
  // Benjamini & Hochberg 1995, section 4.1: 15 p-values, q = 0.05, the four smallest are rejected.
  const std::vector<double> p{0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344,
                              0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000};
  std::vector<std::uint8_t> flags(p.size(), 0xff);
  EXPECT_EQ(false_discovery_rate(p, 0.05, flags), 0.0095);
  for (std::size_t i = 0; i < p.size(); ++i) EXPECT_EQ(flags[i], i < 4 ? 0xff : 0xff & ~flag_anomalous);
}

TEST(FalseDiscoveryRate, StepsUpPastALargerOneAndTakesTies) {
  std::vector<std::uint8_t> flags(4);
  // 0.03 > 0.05 * 1 / 4 alone, but four at 0.03 are below 0.05 * 4 / 4.
  EXPECT_EQ(false_discovery_rate(std::vector<double>{0.03, 0.03, 0.03, 0.03}, 0.05, flags), 0.03);
  EXPECT_EQ(flags, (std::vector<std::uint8_t>(4, flag_anomalous)));
  EXPECT_EQ(false_discovery_rate(std::vector<double>{0.03, 0.03, 0.9, 0.9}, 0.05, flags), 0);
  EXPECT_EQ(flags, (std::vector<std::uint8_t>(4, 0)));
}

TEST(FalseDiscoveryRate, RefusedRowsTakeNoPart) {
  const double nan = std::nan("");
  std::vector<std::uint8_t> flags(4);
  EXPECT_EQ(false_discovery_rate(std::vector<double>{nan, 0.04, nan, nan}, 0.05, flags), 0.04)
      << "one test, not four";
  EXPECT_EQ(flags, (std::vector<std::uint8_t>{0, 1, 0, 0}));
  EXPECT_EQ(false_discovery_rate(std::vector<double>(4, nan), 0.05, flags), 0);
  EXPECT_EQ(false_discovery_rate({}, 0.05, {}), 0);
  EXPECT_THROW(false_discovery_rate({}, 0, {}), std::invalid_argument);
  EXPECT_THROW(false_discovery_rate({}, 1, {}), std::invalid_argument);
}

TEST(FalseDiscoveryRate, IsControlledWithConformalPValues) {
  // 90 % clean rows with uniform p-values, 10 % anomalies with tiny ones: the mean false discovery
  // proportion.
  std::mt19937_64 random(9);
  double mean = 0;
  constexpr int runs = 200;
  for (int run = 0; run < runs; ++run) {
    std::vector<double> p(1000);
    for (std::size_t i = 0; i < p.size(); ++i) p[i] = test::uniform(random) * (i < 100 ? 1e-3 : 1);
    std::vector<std::uint8_t> flags(p.size());
    false_discovery_rate(p, 0.1, flags);
    const auto found = std::count(flags.begin(), flags.end(), 1),
               wrong = std::count(flags.begin() + 100, flags.end(), 1);
    mean += found ? static_cast<double>(wrong) / static_cast<double>(found) / runs : 0;
  }
  EXPECT_LT(mean, 0.1);
  EXPECT_GT(mean, 0.07) << "0.09 is what the method gives";
}

}  // namespace
}  // namespace lanner::engine
