#include "engine/detectors/histogram/histograms.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/engine/detectors/scoring.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the tests' own folder
using ::testing::ElementsAre;
using ::testing::FloatNear;

float bits(double densest, double density) {
  return static_cast<float>(std::log2((densest + 0.1) / (density + 0.1)));
}

TEST(Histogram, PenaltiesAreBitsRarerThanTheDensestBin) {
  // Ten rows in [0, 1], bins of one half: 7 and 3 of them; the top value closes the last bin.
  const Table training(1, {0, 0.1f, 0.1f, 0.2f, 0.2f, 0.3f, 0.4f, 0.5f, 0.9f, 1});
  const auto model = fitted("histogram", {{"bins", "2"}}, training);
  const float rarer = bits(1.4, 0.6), unseen = bits(1.4, 0);
  EXPECT_THAT(scores(*model, Table(1, {0, 0.49f, 0.5f, 1, -0.3f, 1.3f})),
              ElementsAre(0, 0, FloatNear(rarer, 1e-5f), FloatNear(rarer, 1e-5f), FloatNear(unseen, 1e-5f),
                          FloatNear(unseen, 1e-5f)));
}

TEST(Histogram, UnitsDoNotMatter) {
  Table metres = normal_rows(200, 2, 1), kilometres = metres;
  for (float& value : kilometres.values) value /= 1024;
  Table queries = normal_rows(30, 2, 2), scaled = queries;
  for (float& value : scaled.values) value /= 1024;
  EXPECT_EQ(scores(*fitted("histogram", {}, metres), queries),
            scores(*fitted("histogram", {}, kilometres), scaled));
}

TEST(Histogram, OutsideTheRangeIsAsRareAsOneInAllRowsAndOne) {
  const Table training = normal_rows(5000, 1, 3);
  EXPECT_NEAR(scores(*fitted("histogram", {}, training), Table(1, {100}))[0], std::log2(5001.0f), 1e-5);
}

TEST(Histogram, HalfABinOutsideTheRangeIsTolerated) {
  // Four bins over [0, 8]: 5, 1, 1, 3 rows.
  const Table training(1, {0, 0, 0, 1, 1, 3, 5, 7, 7, 8}), inside(1, {0, 8}), near(1, {-1, 9});
  const Table far(1, {std::nextafter(-1.0f, -2.0f), std::nextafter(9.0f, 10.0f)});
  const auto width = fitted("histogram", {{"bins", "4"}}, training);
  EXPECT_EQ(scores(*width, near), scores(*width, inside));
  EXPECT_THAT(scores(*width, far), ::testing::Each(FloatNear(bits(2, 0), 1e-5f)));
  const auto count = fitted("histogram", {{"bins", "4"}, {"rule", "equal_count"}}, training);
  EXPECT_EQ(scores(*count, Table(1, {-0.01f})), scores(*count, Table(1, {-100})))
      << "equal counts: no tolerance";

  // At the ends of the float range there is nothing outside.
  constexpr float most = std::numeric_limits<float>::max();
  const auto all = fitted("histogram", {}, Table(1, {-most, 0, most}));
  for (const float score : scores(*all, Table(1, {-most, 0, most}))) EXPECT_TRUE(std::isfinite(score));
}

TEST(Histogram, AConstantIsTheOnlyValueThatIsNotRare) {
  const float values[] = {
      0, 5, -1e6f, 1e-40f, std::numeric_limits<float>::max(), -std::numeric_limits<float>::max()};
  for (float value : values) {
    const auto model = fitted("histogram", {}, Table(1, std::vector<float>(100, value)));
    constexpr float infinity = std::numeric_limits<float>::infinity();
    Table others(1, {value, value == 0 ? 1.0f : value * 0.5f, -value - 1});
    if (value < std::numeric_limits<float>::max()) others.values.push_back(std::nextafter(value, infinity));
    if (std::fabs(value) < std::numeric_limits<float>::max())
      others.values.push_back(std::nextafter(value, -infinity));
    const auto found = scores(*model, others);
    EXPECT_EQ(found[0], 0) << value;
    for (std::size_t i = 1; i < found.size(); ++i)
      EXPECT_GT(found[i], 6) << value << " and " << others.values[i];
  }
}

TEST(Histogram, EqualCountsFollowTheMass) {
  // A hundred values in [0, 1), a hundred in [1, 101): ten bins of equal width see one lump in the first.
  std::vector<float> values;
  for (int i = 0; i < 100; ++i) values.push_back(static_cast<float>(i) / 100);
  for (int i = 0; i < 100; ++i) values.push_back(1.0f + static_cast<float>(i));
  const Table training(1, values), queries(1, {0.5f, 1.5f});
  const auto width = scores(*fitted("histogram", {}, training), queries);
  const auto count = scores(*fitted("histogram", {{"rule", "equal_count"}}, training), queries);
  EXPECT_EQ(width[0], width[1]);
  EXPECT_GT(count[1], count[0] + 3);
}

TEST(Histogram, AutomaticBinsFollowTheShape) {
  std::vector<float> even, peaked;
  for (int i = 0; i < 2000; ++i) {
    even.push_back(static_cast<float>(i) / 2000);
    peaked.push_back(static_cast<float>(i < 1000 ? i / 100000.0 : i / 2000.0));
  }
  EXPECT_EQ(histogram::penalised_bins(even), 1u);
  EXPECT_GT(histogram::penalised_bins(peaked), 20u);
}

TEST(Histogram, EdgesThatFloatsCannotTellApartMerge) {
  // Three neighbouring floats, asked for ten bins.
  const float one = 1, two = std::nextafter(one, 2.0f), three = std::nextafter(two, 2.0f);
  const auto found =
      scores(*fitted("histogram", {}, Table(1, {one, one, one, two, three})), Table(1, {one, two, three}));
  EXPECT_EQ(found[0], 0);
  EXPECT_GT(found[1], 0);
}

TEST(Histogram, ContributionsAreThePenaltiesAndSumExactly) {
  for (std::size_t width : {3u, 1555u}) {
    const Table training = normal_rows(60, width, 5), queries = normal_rows(10, width, 6, 2);
    const auto model = fitted("histogram", {}, training);
    const auto parts = contributions(*model, queries);
    const auto sums = scores(*model, queries);
    for (std::size_t i = 0; i < 10; ++i) {
      float backwards = 0;
      for (std::size_t j = width; j-- > 0;) {
        EXPECT_GE(parts.rows().row(i)[j], 0);
        backwards += parts.rows().row(i)[j];
      }
      EXPECT_EQ(backwards, sums[i]);
    }
  }
}

}  // namespace
}  // namespace lanner::engine
