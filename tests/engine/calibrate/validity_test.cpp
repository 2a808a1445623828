// Does a p-value keep its promise? Over many runs with fresh calibration rows the count of clean rows at or
// below a rate must follow the law of split conformal prediction: beta-binomial (Vovk 2012; Angelopoulos &
// Bates 2021, section 3.2).
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <tuple>
#include <vector>

#include "engine/calibrate/calibrate.hpp"
#include "tests/engine/calibrate/scores.hpp"

namespace lanner::engine {
namespace {

tail::Calibration calibrated(std::span<const float> scores, const CalibrationOptions& options,
                             CalibrationReport* report = nullptr) {
  static const auto device = Device::cpu();
  return calibrate(*device, scores, options, report);
}

double log_choose(double n, double k) {
  return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1);
}
double log_beta(double a, double b) {
  return std::lgamma(a) + std::lgamma(b) - std::lgamma(a + b);
}

struct Interval {
  std::size_t low = 0, high = 0;  ///< inclusive
  double outside = 0;             ///< the exact chance to fall outside
};

/// The central interval of a law on 0 .. n that leaves at most `tail` on either side.
template <class LogMass>
Interval central(std::size_t n, double tail, LogMass log_mass) {
  std::vector<double> mass(n + 1);
  for (std::size_t k = 0; k <= n; ++k) mass[k] = std::exp(log_mass(static_cast<double>(k)));
  Interval interval{0, n, 0};
  double below = 0, above = 0;
  while (below + mass[interval.low] <= tail) below += mass[interval.low++];
  while (above + mass[interval.high] <= tail) above += mass[interval.high--];
  interval.outside = below + above;
  return interval;
}

/// Of m fresh rows, how many have p <= rate, over the draw of n calibration rows: with a = floor(rate (n +
/// 1)), beta-binomial(m, a, n + 1 - a).
Interval conformal_law(std::size_t n, std::size_t m, double rate) {
  const double a = std::floor(rate * static_cast<double>(n + 1) + 1e-9), b = static_cast<double>(n + 1) - a;
  const double rows = static_cast<double>(m);
  return central(m, 0.025, [=](double k) {
    return log_choose(rows, k) + log_beta(k + a, rows - k + b) - log_beta(a, b);
  });
}

Interval binomial_law(std::size_t runs, double chance, double tail) {
  const double n = static_cast<double>(runs);
  return central(runs, tail, [=](double k) {
    return log_choose(n, k) + k * std::log(chance) + (n - k) * std::log1p(-chance);
  });
}

/// p-values of `scores` through the kernel, as in production.
struct Scored {
  std::vector<double> p_values;
  std::vector<std::uint8_t> extrapolated;
};
Scored p_values(const tail::Calibration& calibration, std::span<const float> scores) {
  static const auto device = Device::cpu();
  Scored out{std::vector<double>(scores.size()), std::vector<std::uint8_t>(scores.size())};
  Stream stream = device->stream();
  tail::p_values(stream, *tail::make_tail(*device, calibration), scores, out.p_values, out.extrapolated);
  return out;
}

std::vector<float> draw(std::mt19937_64& random, const test::Distribution& distribution, std::size_t count) {
  std::vector<float> scores(count);
  for (float& score : scores) score = static_cast<float>(distribution.upper_quantile(test::uniform(random)));
  return scores;
}

struct Case {
  const char* name;
  std::size_t distribution;
  bool trim, extrapolate;
};
class Conformal : public ::testing::TestWithParam<Case> {};

TEST_P(Conformal, RealisedCountsFollowTheBetaBinomialLaw) {
  constexpr std::size_t runs = 300, n = 499, m = 4000;
  const Case& which = GetParam();
  const std::vector<double> rates{0.1, 0.01, 0.002};
  std::vector<std::size_t> outside(rates.size());
  std::vector<double> mean(rates.size());
  std::vector<Interval> laws;
  for (const double rate : rates) laws.push_back(conformal_law(n, m, rate));
  std::mt19937_64 random(20 + which.distribution);
  for (std::size_t run = 0; run < runs; ++run) {
    const auto calibration = calibrated(draw(random, test::distributions[which.distribution], n),
                                        {.trim = which.trim, .extrapolate = which.extrapolate});
    const auto scored = p_values(calibration, draw(random, test::distributions[which.distribution], m));
    for (std::size_t r = 0; r < rates.size(); ++r) {
      const auto count = static_cast<std::size_t>(std::count_if(
          scored.p_values.begin(), scored.p_values.end(), [&](double p) { return p <= rates[r]; }));
      outside[r] += count < laws[r].low || count > laws[r].high;
      mean[r] += static_cast<double>(count) / (runs * m);
    }
  }
  for (std::size_t r = 0; r < rates.size(); ++r) {
    const Interval allowed = binomial_law(runs, laws[r].outside, 0.0005);
    EXPECT_GE(outside[r], allowed.low) << "rate " << rates[r];
    EXPECT_LE(outside[r], allowed.high) << "rate " << rates[r];
    const double a = std::floor(rates[r] * (n + 1) + 1e-9), expected = a / (n + 1);
    const double deviation = std::sqrt(expected * (1 - expected) * (1.0 / (n + 2) + 1.0 / m) / runs);
    EXPECT_NEAR(mean[r], expected, 4 * deviation) << "rate " << rates[r];
    RecordProperty("outside_at_rate_" + std::to_string(rates[r]), static_cast<int>(outside[r]));
    std::printf(
        "  rate %.3f: %zu of %zu runs outside the 95 %% interval (%.2f %% expected, %zu to %zu allowed), "
        "mean rate "
        "%.5f (%.5f)\n",
        rates[r], outside[r], runs, 100 * laws[r].outside, allowed.low, allowed.high, mean[r], expected);
  }
}

INSTANTIATE_TEST_SUITE_P(, Conformal,
                         ::testing::Values(Case{"plain", 2, false, false},
                                           Case{"trimmed_exponential", 2, true, true},
                                           Case{"trimmed_weibull", 3, true, true},
                                           Case{"trimmed_pareto", 4, true, true}),
                         [](const auto& about) { return about.param.name; });

// What contamination costs, and what trimming returns: realised false-alarm rate and power, reported for
// several rates. Clean scores: chi-square of 5 degrees; anomalies: uniform over [22, 60], so that some lie in
// the clean tail.
TEST(Contamination, TrimmingReturnsThePowerAndKeepsTheRate) {
  constexpr std::size_t runs = 60, n = 1000, m = 5000;
  const std::vector<double> rates{0.01, 0.001}, contaminations{0, 0.01, 0.05};
  const auto clean = [](std::mt19937_64& random) {
    double sum = -2 * std::log(test::uniform(random)) - 2 * std::log(test::uniform(random));
    const double z = test::normal_quantile(test::uniform(random));
    return static_cast<float>(sum + z * z);
  };
  const auto anomaly = [](std::mt19937_64& random) {
    return static_cast<float>(22 + 38 * test::uniform(random));
  };
  std::mt19937_64 random(4);
  std::vector<float> clean_rows(m), anomalies(m);
  for (std::size_t i = 0; i < m; ++i) clean_rows[i] = clean(random), anomalies[i] = anomaly(random);

  const auto folder = std::filesystem::path(LANNER_BINARY_DIR) / "reports";
  std::filesystem::create_directories(folder);
  std::ofstream report(folder / "contamination.csv");
  report << "contamination,trim,rate,realised_false_alarm_rate,power,trimmed_mean\n";
  std::map<std::tuple<double, bool, double>, std::pair<double, double>> results;
  for (const double contamination : contaminations) {
    std::map<std::pair<bool, double>, std::pair<double, double>> sums;
    std::map<bool, double> trimmed;
    for (std::size_t run = 0; run < runs; ++run) {
      std::vector<float> scores(n);
      for (float& score : scores)
        score = test::uniform(random) < contamination ? anomaly(random) : clean(random);
      // Fresh test rows each run would be the law; shared ones, many of them, are the same mean for less
      // time.
      for (const bool trim : {false, true}) {
        CalibrationReport about;
        const auto calibration = calibrated(scores, {.trim = trim}, &about);
        trimmed[trim] += static_cast<double>(about.trimmed) / runs;
        const auto on_clean = p_values(calibration, clean_rows),
                   on_anomalies = p_values(calibration, anomalies);
        for (const double rate : rates) {
          auto& sum = sums[{trim, rate}];
          const auto flagged = [&](const Scored& scored) {
            return static_cast<double>(std::count_if(scored.p_values.begin(), scored.p_values.end(),
                                                     [&](double p) { return p <= rate; })) /
                   (runs * m);
          };
          sum.first += flagged(on_clean);
          sum.second += flagged(on_anomalies);
        }
      }
    }
    for (const auto& [key, sum] : sums) {
      const auto& [trim, rate] = key;
      results[{contamination, trim, rate}] = sum;
      report << contamination << ',' << (trim ? "yes" : "no") << ',' << rate << ',' << sum.first << ','
             << sum.second << ',' << trimmed[trim] << '\n';
      std::printf("  contamination %.2f, trim %-3s, rate %.3f: realised %.5f, power %.3f, trimmed %.1f\n",
                  contamination, trim ? "yes" : "no", rate, sum.first, sum.second, trimmed[trim]);
    }
  }
  for (const double rate : rates) {
    // The mean over runs of a true rate `rate` at n = 1000 deviates by about sqrt(rate / n / runs).
    const double slack = 4 * std::sqrt(rate * (1.0 / n + 1.0 / m * runs) / runs);
    for (const double contamination : contaminations)
      EXPECT_LE((results[{contamination, true, rate}].first), 1.25 * rate + slack) << contamination;
    EXPECT_NEAR((results[{0, true, rate}].first), (results[{0, false, rate}].first), 0.2 / n)
        << "on clean rows trimming costs next to nothing";
  }
  EXPECT_LT((results[{0.05, false, 0.01}].second), 0.3) << "untrimmed, contamination of 5 % hides anomalies";
  EXPECT_GT((results[{0.05, true, 0.01}].second), 0.8);
  EXPECT_LT((results[{0.01, false, 0.001}].second), 0.3);
  EXPECT_GT((results[{0.01, true, 0.001}].second), 0.6);
}

}  // namespace
}  // namespace lanner::engine
