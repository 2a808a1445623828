// Estimates against what they estimate, and against sums written out.
#include "engine/detectors/covariance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "engine/detectors/standardisation.hpp"
#include "tests/engine/detectors/awkward_rows.hpp"
#include "tests/engine/detectors/scoring.hpp"

namespace lanner::engine {
namespace {

using testing::Random;
using testing::Table;

// Correlated normal rows: x = L z, so that the covariance is L L'.
constexpr double factor[3][3] = {{1, 0, 0}, {0.8, 0.6, 0}, {-0.5, 0.3, 2}};

Table correlated(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  Table rows(3);
  rows.values.resize(count * 3);
  for (std::size_t i = 0; i < count; ++i) {
    const double z[3] = {random.normal(), random.normal(), random.normal()};
    for (std::size_t a = 0; a < 3; ++a) {
      double x = 5.0 * static_cast<double>(a);
      for (std::size_t b = 0; b < 3; ++b) x += factor[a][b] * z[b];
      rows.at(i, a) = static_cast<float>(x);
    }
  }
  return rows;
}

mlp::Standardisation as_it_is(std::size_t width) {
  return {std::vector<float>(width, 0.0f), std::vector<float>(width, 1.0f), 1e9f};
}

TEST(Covariance, IsTheMeanProductOfDeviations) {
  const Table rows = correlated(50, 1);
  const Covariance found = covariance_of(rows.rows(), as_it_is(3));
  for (std::size_t a = 0; a < 3; ++a)
    for (std::size_t b = 0; b < 3; ++b) {
      double mean_a = 0, mean_b = 0, sum = 0;
      for (std::size_t i = 0; i < 50; ++i)
        mean_a += rows.rows().row(i)[a] / 50.0, mean_b += rows.rows().row(i)[b] / 50.0;
      for (std::size_t i = 0; i < 50; ++i)
        sum += (rows.rows().row(i)[a] - mean_a) * (rows.rows().row(i)[b] - mean_b);
      EXPECT_NEAR(found.values[a * 3 + b], sum / 50, 1e-10);
      EXPECT_NEAR(found.location[a], mean_a, 1e-10);
    }
}

TEST(Covariance, OfMoreRowsThanABlockIsTheSame) {
  const Table rows = correlated(5000, 2);
  const Covariance found = covariance_of(rows.rows(), as_it_is(3));
  EXPECT_NEAR(found.values[0], 1, 0.1);
  EXPECT_NEAR(found.values[1], 0.8, 0.1);
  EXPECT_NEAR(found.values[8], 0.25 + 0.09 + 4, 0.3);
}

TEST(Covariance, AConstantStandsAlone) {
  Table rows = correlated(50, 3);
  for (std::size_t i = 0; i < 50; ++i) rows.at(i, 1) = 7;
  const Covariance found = covariance_of(rows.rows(), as_it_is(3));
  EXPECT_EQ(found.values[4], 1);
  EXPECT_EQ(found.values[1], 0);
  EXPECT_EQ(found.values[5], 0);
}

// The optimal share falls as 1 / n; where variances are equal and nothing is correlated it is one.
TEST(LedoitWolf, ShrinksLessTheMoreRowsThereAre) {
  const auto share = [](const Table& rows) {
    const Covariance covariance = covariance_of(rows.rows(), as_it_is(rows.width));
    return ledoit_wolf(rows.rows(), as_it_is(rows.width), covariance);
  };
  const double few = share(correlated(30, 4)), many = share(correlated(3000, 4));
  EXPECT_GT(few, 5 * many);
  EXPECT_GT(many, 0);
  EXPECT_GT(share(testing::normal_rows(40, 60, 5)), 0.8);
}

TEST(Shrink, KeepsTheTrace) {
  Covariance covariance{2, {0, 0}, {4, 1, 1, 2}};
  shrink(covariance, 0.25);
  EXPECT_EQ(covariance.values, (std::vector<double>{3.75, 0.75, 0.75, 2.25}));
}

TEST(MinimumCovarianceDeterminant, ForgetsFourTenthsOfTheRows) {
  Table rows = correlated(1200, 6);
  Random random(7);
  for (std::size_t i = 0; i < 480; ++i)  // a tight cluster far out
    for (std::size_t j = 0; j < 3; ++j) rows.at(i, j) = static_cast<float>(40 + 0.1 * random.normal());
  const mlp::Standardisation input = as_it_is(3);
  const Covariance robust = minimum_covariance_determinant(rows.rows(), input, 0.5);
  for (std::size_t a = 0; a < 3; ++a) {
    EXPECT_NEAR(robust.location[a], 5.0 * static_cast<double>(a), 0.25);
    for (std::size_t b = 0; b < 3; ++b) {
      double expected = 0;
      for (std::size_t c = 0; c < 3; ++c) expected += factor[a][c] * factor[b][c];
      EXPECT_NEAR(robust.values[a * 3 + b], expected, 0.5) << a << ' ' << b;
    }
  }
  EXPECT_GT(covariance_of(rows.rows(), input).values[0], 100);  // the plain one doesn't
}

TEST(MinimumCovarianceDeterminant, SurvivesRowsWithoutSpread) {
  Table rows(3);
  for (int i = 0; i < 60; ++i) {
    const float row[] = {static_cast<float>(i % 2), i < 55 ? 1.0f : 2.0f, 4.0f};
    rows.values.insert(rows.values.end(), row, row + 3);
  }
  for (double value : minimum_covariance_determinant(rows.rows(), as_it_is(3), 0.75).values)
    EXPECT_TRUE(std::isfinite(value));
}

TEST(PrincipalAxes, RebuildTheCovariance) {
  const Covariance covariance = covariance_of(correlated(400, 8).rows(), as_it_is(3));
  const Axes axes = principal_axes(covariance);
  for (std::size_t a = 0; a < 3; ++a)
    for (std::size_t b = 0; b < 3; ++b) {
      double sum = 0, product = 0;
      for (std::size_t c = 0; c < 3; ++c) {
        sum += axes.variances[c] * axes.directions[c * 3 + a] * axes.directions[c * 3 + b];
        product += axes.directions[a * 3 + c] * axes.directions[b * 3 + c];
      }
      EXPECT_NEAR(sum, covariance.values[a * 3 + b], 1e-12);
      EXPECT_NEAR(product, a == b ? 1 : 0, 1e-12);
    }
  EXPECT_GE(axes.variances[0], axes.variances[1]);
  EXPECT_GE(axes.variances[1], axes.variances[2]);
}

TEST(Whitening, InvertsTheCovariance) {
  const Covariance covariance = covariance_of(correlated(400, 9).rows(), as_it_is(3));
  const std::vector<double> matrix = whitening(covariance);
  for (std::size_t a = 0; a < 3; ++a)
    for (std::size_t b = 0; b < 3; ++b) {
      double sum = 0;  // (A S A')[a, b]
      for (std::size_t c = 0; c < 3; ++c)
        for (std::size_t e = 0; e < 3; ++e)
          sum += matrix[a * 3 + c] * covariance.values[c * 3 + e] * matrix[b * 3 + e];
      EXPECT_NEAR(sum, a == b ? 1 : 0, 1e-12);
    }
}

double distance(const Fitted& fitted, const std::vector<float>& row) {
  return static_cast<double>(testing::scores(fitted, Table(row.size(), row))[0]);
}

TEST(Mahalanobis, IsTheSquaredDistanceByTheCovariance) {
  const Table rows = correlated(4000, 10);
  for (const char* kind : {"robust", "shrunk"}) {
    const auto fitted = testing::fitted("mahalanobis", {{"covariance", kind}}, rows);
    // x = centre + 3 L e0, whose squared distance is 9.
    const double found =
        distance(*fitted, {static_cast<float>(3 * factor[0][0]), static_cast<float>(5 + 3 * factor[1][0]),
                           static_cast<float>(10 + 3 * factor[2][0])});
    EXPECT_NEAR(found, 9, 0.9) << kind;
    EXPECT_NEAR(distance(*fitted, {0, 5, 10}), 0, 0.1) << kind;
  }
}

TEST(Mahalanobis, UnitsDoNotMatter) {
  Table rows = correlated(300, 12), scaled = rows;
  for (std::size_t i = 0; i < 300; ++i) scaled.at(i, 2) *= 1024;
  const auto plain = testing::scores(*testing::fitted("mahalanobis", {}, rows), rows);
  const auto other = testing::scores(*testing::fitted("mahalanobis", {}, scaled), scaled);
  for (std::size_t i = 0; i < 300; ++i) EXPECT_NEAR(plain[i], other[i], 1e-3 * (1 + plain[i]));
}

// A plane in space: what leaves it is far by reconstruction, however near the centre.
TEST(Pca, ReconstructionMeasuresTheDistanceFromTheMajorAxes) {
  Random random(13);
  Table rows(3);
  rows.values.resize(500 * 3);
  for (std::size_t i = 0; i < 500; ++i) {
    const double a = random.normal(), b = random.normal();
    rows.at(i, 0) = static_cast<float>(a);
    rows.at(i, 1) = static_cast<float>(b);
    rows.at(i, 2) = static_cast<float>(a + b + 0.01 * random.normal());
  }
  const auto fitted = testing::fitted("pca", {{"measure", "reconstruction"}, {"components", "2"}}, rows);
  EXPECT_LT(distance(*fitted, {2, 2, 4}), 0.01);
  EXPECT_GT(distance(*fitted, {0.5, 0.5, -1}), 0.2);
}

TEST(Pca, ComponentsAreTakenByCountOrByShareOfTheVariance) {
  const Table rows = testing::normal_rows(200, 5, 14);
  const auto outputs = [&](const char* components) {
    TensorWriter writer;
    testing::fitted("pca", {{"components", components}}, rows)->save(writer);
    return TensorReader(writer.bytes()).shape("layers.0.weight")[0];
  };
  EXPECT_EQ(outputs("auto"), 5u);
  EXPECT_EQ(outputs("3"), 3u);
  EXPECT_EQ(outputs("9"), 5u);
  EXPECT_EQ(outputs("0.01"), 1u);
  EXPECT_EQ(outputs("0.999"), 5u);
}

}  // namespace
}  // namespace lanner::engine
