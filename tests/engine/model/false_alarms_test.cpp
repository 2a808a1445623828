// False alarms of fitted models over whole streams. With n calibration rows and l = floor(a (n + 1)), the
// count of p
// <= a among m clean events is beta-binomial(m; l, n + 1 - l) over the draw of training rows, calibration
// rows and events (Vovk 2012; Angelopoulos & Bates 2021, section 3.2), whatever the detector: the counts'
// randomised probability integral transform is uniform. Kolmogorov's test looks at it, and must refuse the
// binomial law that forgets that calibration is a draw.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "tests/engine/calibrate/scores.hpp"
#include "tests/engine/model/models.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the detectors' own test rows

/// LANNER_CALIBRATION_WHOLE=1 simulates as much as is promised: 200 streams of 100,000 events, for some
/// minutes.
bool whole_simulation() {
  return std::getenv("LANNER_CALIBRATION_WHOLE") != nullptr;
}

/// Correlated features; `step`: rounded down to its multiples, so that rows and scores are tied.
Table draw(test::Draws& draws, std::size_t count, double step) {
  Table table(3);
  table.values.reserve(3 * count);
  for (std::size_t row = 0; row < count; ++row) {
    const double common = draws.normal();
    for (std::size_t column = 0; column < 3; ++column) {
      double value = 0.8 * draws.normal() + 0.6 * common;
      if (step > 0) value = std::floor(value / step) * step;
      table.values.push_back(static_cast<float>(value));
    }
  }
  return table;
}

double log_gamma_ratio(double a, double b) {
  return std::lgamma(a) - std::lgamma(b);
}

struct Law {
  double below = 0, at = 0;  ///< P(count < k), P(count = k)
};
template <class LogMass>
Law law_at(std::size_t k, LogMass log_mass) {
  Law law;
  for (std::size_t i = 0; i < k; ++i) law.below += std::exp(log_mass(static_cast<double>(i)));
  law.at = std::exp(log_mass(static_cast<double>(k)));
  return law;
}
Law beta_binomial(std::size_t k, double m, double a, double b) {
  const double constant =
      log_gamma_ratio(m + 1, a + b + m) + std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b);
  return law_at(k, [=](double i) {
    return constant + log_gamma_ratio(i + a, i + 1) + log_gamma_ratio(m - i + b, m - i + 1);
  });
}
Law binomial(std::size_t k, double m, double chance) {
  return law_at(k, [=](double i) {
    return log_gamma_ratio(m + 1, i + 1) - std::lgamma(m - i + 1) + i * std::log(chance) +
           (m - i) * std::log1p(-chance);
  });
}

/// How far the values lie from uniform ones, in units in which 1.95 is exceeded once in 1,000 times
/// (Kolmogorov's law with Stephens' correction for their number); `above`: only where there are more high
/// ones, once in 2,000.
double kolmogorov(std::vector<double> values, bool above = false) {
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  double distance = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    distance = std::max(distance, values[i] - static_cast<double>(i) / n);
    if (!above) distance = std::max(distance, static_cast<double>(i + 1) / n - values[i]);
  }
  return distance * (std::sqrt(n) + 0.12 + 0.11 / std::sqrt(n));
}
constexpr double refused_beyond = 1.95;

struct Realised {
  std::size_t calibration = 0;                   ///< rows of each stream's
  std::vector<std::vector<std::size_t>> counts;  ///< of each rate, in each stream
};

struct Streams {
  const char* detector;
  double step;
  std::size_t rows, events;
  Given settings;
};

Realised realise(const Streams& given, std::span<const double> rates) {
  constexpr std::size_t streams = 200;
  Realised realised{0, std::vector<std::vector<std::size_t>>(rates.size())};
  for (std::size_t run = 0; run < streams; ++run) {
    test::Draws draws(1'000'003 * run + given.rows);
    const auto model =
        fit(draw(draws, given.rows, given.step), options_of(given.detector, given.settings, run));
    realised.calibration = model->calibration()->scores.size();
    const Scored scored = score(model, draw(draws, given.events, given.step).rows());
    for (std::size_t r = 0; r < rates.size(); ++r)
      realised.counts[r].push_back(static_cast<std::size_t>(std::count_if(
          scored.p_values.begin(), scored.p_values.end(), [&](double p) { return p <= rates[r]; })));
  }
  return realised;
}

double mean_rate(const std::vector<std::size_t>& counts, std::size_t events) {
  double sum = 0;
  for (const std::size_t count : counts) sum += static_cast<double>(count);
  return sum / static_cast<double>(counts.size() * events);
}

/// Each count's place in the law, drawn within its step.
std::vector<double> places(const std::vector<std::size_t>& counts,
                           const std::function<Law(std::size_t)>& law) {
  test::Draws draws(99);
  std::vector<double> values;
  for (const std::size_t count : counts) {
    const Law here = law(count);
    values.push_back(here.below + draws.uniform() * here.at);
  }
  return values;
}

class FalseAlarmCounts : public ::testing::TestWithParam<const char*> {};

TEST_P(FalseAlarmCounts, FollowTheBetaBinomialLaw) {
  const std::size_t rows = whole_simulation() ? 4998 : 998, events = whole_simulation() ? 100'000 : 1500;
  const std::vector<double> rates{0.1, 0.01, 0.0025};
  Streams given{GetParam(), 0, rows, events, {{"calibration", "0.4"}, {"trim", "false"}}};
  const Realised realised = realise(given, rates);
  const double n = static_cast<double>(realised.calibration), m = static_cast<double>(events);
  for (std::size_t r = 0; r < rates.size(); ++r) {
    const double rank = std::floor(rates[r] * (n + 1) + 1e-9);
    const auto& counts = realised.counts[r];
    const double off =
        kolmogorov(places(counts, [&](std::size_t k) { return beta_binomial(k, m, rank, n + 1 - rank); }));
    const double off_binomial =
        kolmogorov(places(counts, [&](std::size_t k) { return binomial(k, m, rank / (n + 1)); }));
    std::printf(
        "  rate %.4f: mean realised %.6f of %.6f; Kolmogorov's %.2f (%.2f refuses), of a binomial law %.2f\n",
        rates[r], mean_rate(counts, events), rank / (n + 1), off, refused_beyond, off_binomial);
    EXPECT_LT(off, refused_beyond) << rates[r];
    EXPECT_GT(off_binomial, refused_beyond) << rates[r];
  }
}

INSTANTIATE_TEST_SUITE_P(, FalseAlarmCounts,
                         ::testing::Values("mahalanobis", "nearest_neighbours", "isolation_forest"),
                         [](const auto& about) { return std::string(about.param); });

// Ties count against the event: fewer false alarms than the law's, never more.
TEST(FalseAlarms, OfTiedScoresAreAtMostTheLaws) {
  const std::size_t rows = whole_simulation() ? 4998 : 998, events = whole_simulation() ? 100'000 : 1500;
  const std::vector<double> rates{0.1, 0.01, 0.0025};
  const Realised realised =
      realise({"histogram", 0.5, rows, events, {{"calibration", "0.4"}, {"trim", "false"}}}, rates);
  const double n = static_cast<double>(realised.calibration), m = static_cast<double>(events);
  for (std::size_t r = 0; r < rates.size(); ++r) {
    const double rank = std::floor(rates[r] * (n + 1) + 1e-9);
    const double off = kolmogorov(
        places(realised.counts[r], [&](std::size_t k) { return beta_binomial(k, m, rank, n + 1 - rank); }),
        true);
    std::printf("  rate %.4f: mean realised %.6f of at most %.6f; Kolmogorov's above %.2f\n", rates[r],
                mean_rate(realised.counts[r], events), rank / (n + 1), off);
    EXPECT_LT(off, refused_beyond) << rates[r];
    EXPECT_GT(realised.counts[r], std::vector<std::size_t>(realised.counts[r].size(), 0))
        << "none is no test";
  }
}

// Below 1 / (n + 1) no law holds: what the extrapolated tail realises on average.
TEST(FalseAlarms, BeyondTheCalibrationRowsAreAboutAsManyAsSaid) {
  const std::size_t rows = whole_simulation() ? 4998 : 998, events = whole_simulation() ? 100'000 : 10'000;
  for (const char* detector : {"mahalanobis", "isolation_forest", "ecod"}) {
    if (!whole_simulation() && std::string_view(detector) != "mahalanobis") continue;
    const double n = std::floor(0.4 * static_cast<double>(rows));
    const std::vector<double> rates{1 / (n + 1), 0.5 / (n + 1), 0.2 / (n + 1)};
    const Realised realised = realise({detector, 0, rows, events, {{"calibration", "0.4"}}}, rates);
    for (std::size_t r = 0; r < rates.size(); ++r) {
      auto counts = realised.counts[r];
      std::sort(counts.begin(), counts.end());
      const double mean = mean_rate(counts, events);
      std::printf(
          "  %s: rate %.2g: mean realised %.2g; 90 %% of the streams %.2g to %.2g\n", detector, rates[r],
          mean, static_cast<double>(counts[counts.size() / 20]) / static_cast<double>(events),
          static_cast<double>(counts[counts.size() - 1 - counts.size() / 20]) / static_cast<double>(events));
      EXPECT_LT(mean, 1.5 * rates[r]);
      // An isolation forest's scores end at 1, and no tail that is fitted does: nothing is beyond it.
      if (r == 0 || std::string_view(detector) != "isolation_forest") {
        EXPECT_GT(mean, 0.1 * rates[r]);
      }
    }
  }
}

}  // namespace
}  // namespace lanner::engine
