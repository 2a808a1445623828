#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "engine/calibrate/calibrate.hpp"
#include "engine/calibrate/pareto.hpp"
#include "kernels/tail/tail_formula.hpp"
#include "tests/engine/calibrate/scores.hpp"

namespace lanner::engine {
namespace {

std::vector<float> sorted_draw(std::mt19937_64& random, double (*upper_quantile)(double), std::size_t count) {
  std::vector<float> scores(count);
  for (float& score : scores) score = static_cast<float>(upper_quantile(test::uniform(random)));
  std::sort(scores.begin(), scores.end());
  return scores;
}

TEST(Pareto, FindsTheShapeAndScaleItWasDrawnFrom) {
  for (const double shape : {0.0, 0.25, 0.5, 0.9}) {
    double mean_shape = 0, mean_log_scale = 0;
    constexpr int runs = 40;
    std::mt19937_64 random(11);
    for (int run = 0; run < runs; ++run) {
      std::vector<float> scores(4000);
      for (float& score : scores) {
        const double share = test::uniform(random);
        score = static_cast<float>(
            3 + 2 * (shape == 0 ? -std::log(share) : (std::pow(share, -shape) - 1) / shape));
      }
      std::sort(scores.begin(), scores.end());
      std::string about;
      const auto pareto = fit_pareto(scores, about);
      ASSERT_TRUE(pareto.fitted) << about;
      mean_shape += pareto.shape / runs;
      // A Pareto beyond a higher threshold u keeps its shape, and has scale 2 + shape (u - 3).
      mean_log_scale += std::log(pareto.scale / (2 + shape * (pareto.threshold - 3))) / runs;
      EXPECT_NEAR(pareto.exceedance, 0.1, 0.001);
    }
    EXPECT_NEAR(mean_shape, shape, 0.05) << shape;
    EXPECT_NEAR(mean_log_scale, 0, 0.05) << shape;
  }
}

TEST(Pareto, ShapesStayWithinTheirBounds) {
  std::mt19937_64 random(12);
  std::string about;
  const auto light = fit_pareto(sorted_draw(
                                    random, [](double share) { return 1 - share; }, 1000),
                                about);
  EXPECT_TRUE(light.fitted);
  EXPECT_EQ(light.shape, 0) << "an end point would rank everything beyond it alike";
  const auto heavy = fit_pareto(sorted_draw(
                                    random, [](double share) { return std::pow(share, -4); }, 1000),
                                about);
  EXPECT_TRUE(heavy.fitted);
  EXPECT_EQ(heavy.shape, 1);
}

TEST(Pareto, SaysWhyThereIsNone) {
  std::string about;
  EXPECT_FALSE(fit_pareto(std::vector<float>(99, 1.0f), about).fitted);
  EXPECT_NE(about.find("fewer than 100"), std::string::npos);
  std::vector<float> coarse(1000);
  for (std::size_t i = 0; i < coarse.size(); ++i) coarse[i] = static_cast<float>(i / 100);
  EXPECT_FALSE(fit_pareto(coarse, about).fitted);
  EXPECT_NE(about.find("different"), std::string::npos);
}

// How far the extrapolated p-values can be believed: the realised chance of p <= level over that level,
// averaged over calibrations. Reported, not promised; asserted is only that it is no nonsense where the model
// is right.
TEST(Pareto, ExtrapolatedRatesAreMeasured) {
  constexpr std::size_t n = 1000;
  constexpr int runs = 200;
  const auto folder = std::filesystem::path(LANNER_BINARY_DIR) / "reports";
  std::filesystem::create_directories(folder);
  std::ofstream report(folder / "extrapolation.csv");
  report << "distribution,level_times_n_plus_1,realised_over_level_mean,lower_5_percent,median,upper_95_"
            "percent\n";
  for (const auto& distribution : test::distributions)
    for (const double part : {0.5, 0.1, 0.01}) {
      std::mt19937_64 random(13);
      std::vector<double> ratios;
      for (int run = 0; run < runs; ++run) {
        const auto scores = sorted_draw(random, distribution.upper_quantile, n);
        std::string about;
        const auto pareto = fit_pareto(scores, about);
        const auto formula = tail::make_tail_formula(pareto.threshold, pareto.shape, pareto.scale,
                                                     pareto.exceedance, scores.back(), n);
        // The chance that a fresh score's p is at or below the level, by bisection over that chance.
        const double level = part / (n + 1);
        double low = -700, high = 0;
        for (int i = 0; i < 60; ++i) {
          const double middle = (low + high) / 2;
          (formula.p(distribution.upper_quantile(std::exp(middle))) <= level ? low : high) = middle;
        }
        ratios.push_back(std::exp(low) / level);
      }
      std::sort(ratios.begin(), ratios.end());
      double mean = 0;
      for (const double ratio : ratios) mean += ratio / runs;
      const auto at = [&](double q) { return ratios[static_cast<std::size_t>(q * (runs - 1))]; };
      report << distribution.name << ',' << part << ',' << mean << ',' << at(0.05) << ',' << at(0.5) << ','
             << at(0.95) << '\n';
      std::printf("  %-12s level %.2f/(n+1): realised/level mean %.3f, 5 %% %.3g, median %.3g, 95 %% %.3g\n",
                  distribution.name.data(), part, mean, at(0.05), at(0.5), at(0.95));
      const bool right = distribution.name == "exponential" || distribution.name == "pareto 1/3";
      if (right && part >= 0.1) {
        EXPECT_LT(mean, 2.5) << distribution.name << ' ' << part;
        EXPECT_GT(mean, 0.25) << distribution.name << ' ' << part;
      }
    }
}

}  // namespace
}  // namespace lanner::engine
