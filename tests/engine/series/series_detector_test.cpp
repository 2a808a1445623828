#include "engine/series/series_detector.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "tests/engine/series/made_series.hpp"

namespace lanner::engine {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

SeriesParameters warm_after(std::size_t rows) {
  SeriesParameters parameters;
  parameters.warm_up = rows;
  return parameters;
}

struct Scored {
  std::vector<double> scores;
  std::vector<std::size_t> alarms;
};

Scored run(SeriesDetector& detector, const std::vector<double>& values, std::size_t begin = 0) {
  Scored result;
  for (std::size_t i = begin; i < values.size(); ++i) {
    const SeriesScore row = detector.push(made_time_ns(i), values[i]);
    result.scores.push_back(row.score);
    if (row.alarm) result.alarms.push_back(i);
    EXPECT_TRUE(std::isfinite(row.score)) << i;
  }
  return result;
}
Scored run(const std::vector<double>& values, std::size_t warm_up = 300) {
  SeriesDetector detector(warm_after(warm_up));
  return run(detector, values);
}

std::vector<double> noise_around(double level, std::size_t rows) {
  Noise noise(21);
  std::vector<double> values;
  for (std::size_t i = 0; i < rows; ++i) values.push_back(level + noise.next() / 1000);
  return values;
}

TEST(SeriesDetector, NothingIsAnomalousInAConstant) {
  for (const double value : {0.0, -3.5, 0.1, 45.7, 1e150, 1e-300}) {
    const Scored result = run(std::vector<double>(2000, value));
    EXPECT_THAT(result.scores, ::testing::Each(0.0)) << value;
  }
}

TEST(SeriesDetector, NothingIsAnomalousInAWaveThatRepeats) {
  std::vector<double> values;
  for (std::size_t i = 0; i < 3000; ++i) values.push_back(i % 48 < 24 ? 10 : 0);
  EXPECT_THAT(run(values).alarms, ::testing::IsEmpty());
}

TEST(SeriesDetector, FindsASpikeInItsRow) {
  std::vector<double> values = noise_around(10, 2500);
  values[1800] += 40;
  EXPECT_THAT(run(values).alarms, ::testing::Contains(1800u));
}

TEST(SeriesDetector, FindsAShiftOfTheLevelAndGetsUsedToIt) {
  std::vector<double> values = noise_around(10, 6000);
  for (std::size_t i = 2000; i < values.size(); ++i) values[i] += 8;
  const Scored result = run(values);
  EXPECT_THAT(result.alarms, ::testing::Contains(2000u));
  EXPECT_LE(
      std::count_if(result.alarms.begin(), result.alarms.end(), [](std::size_t row) { return row > 3000; }),
      3);
}

TEST(SeriesDetector, FindsTheDayThatStaysAway) {
  std::vector<double> values;
  Noise noise(5);
  for (std::size_t i = 0; i < 48 * 60; ++i)
    values.push_back(100 + noise.next() / 100 + (i % 48 >= 16 && i % 48 < 40 && i / 48 != 50 ? 200 : 0));
  EXPECT_THAT(run(values).alarms,
              ::testing::Contains(::testing::AllOf(::testing::Ge(48u * 50), ::testing::Le(48u * 51))));
}

TEST(SeriesDetector, KnowsNothingOfWhatIsToCome) {
  std::vector<double> one = daily(900), other = one;
  for (std::size_t i = 600; i < other.size(); ++i) other[i] = 1e6;
  Scored a = run(one), b = run(other);
  EXPECT_NE(a.scores, b.scores);
  a.scores.resize(600);
  b.scores.resize(600);
  EXPECT_EQ(a.scores, b.scores);
}

TEST(SeriesDetector, WarmsUpWithoutScores) {
  SeriesDetector detector(warm_after(100));
  for (std::size_t i = 0; i < 100; ++i) {
    const SeriesScore row = detector.push(made_time_ns(i), i == 70 ? 1e9 : 1);
    EXPECT_TRUE(row.warming_up);
    EXPECT_EQ(row.score, 0);
    EXPECT_FALSE(row.alarm);
  }
  EXPECT_FALSE(detector.push(made_time_ns(100), 1).warming_up);
}

TEST(SeriesDetector, AMissingValueIsAsIfItsRowHadNeverBeen) {
  const std::vector<double> values = bursts(900);
  const Scored whole = run(values);
  SeriesDetector detector(warm_after(300));
  const double odd[] = {nan, std::numeric_limits<double>::infinity(), -1e200};
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i % 5 == 0) {
      const SeriesScore row = detector.push(made_time_ns(i), odd[i % 3]);
      EXPECT_TRUE(row.missing);
      EXPECT_FALSE(row.alarm);
      EXPECT_EQ(row.score, 0);
    }
    ASSERT_EQ(detector.push(made_time_ns(i), values[i]).score, whole.scores[i]) << i;
  }
  EXPECT_EQ(detector.missing(), 180u);
}

TEST(SeriesDetector, SaysWhichChannelsWereSurprised) {
  SeriesDetector detector(warm_after(300));
  const std::vector<double> values = bursts(900);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const SeriesScore row = detector.push(made_time_ns(i), values[i]);
    double sum = 0, largest = 0;
    for (const double surprise : row.surprises) {
      sum += surprise;
      largest = std::max(largest, surprise);
    }
    ASSERT_EQ(row.score, std::max(sum / 2, 0.8 * largest));
  }
}

TEST(SeriesDetector, ChannelsAddUpToTheScore) {
  SeriesDetector detector(warm_after(300));
  const std::vector<double> values = bursts(900);
  int alone = 0, together = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const SeriesScore row = detector.push(made_time_ns(i), values[i]);
    const auto parts = channel_contributions(row.surprises, detector.parameters().largest_share);
    double sum = 0;
    for (const double part : parts) sum += part;
    ASSERT_NEAR(sum, row.score, 1e-12 * row.score) << i;
    if (row.score == 0) continue;
    ++(std::ranges::count(parts, 0.0) == 3 && std::ranges::count(row.surprises, 0.0) < 3 ? alone : together);
  }
  EXPECT_GT(alone, 5);
  EXPECT_GT(together, 5);
}

TEST(SeriesDetector, SaysWhatWouldHaveBeenAnAlarm) {
  SeriesDetector detector(warm_after(300));
  const std::vector<double> values = bursts(900);
  int alarms = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const SeriesScore row = detector.push(made_time_ns(i), values[i]);
    ASSERT_EQ(row.alarm, row.score >= row.threshold) << i;
    ASSERT_EQ(row.warming_up, i < 300) << i;
    ASSERT_FALSE(row.warming_up && std::isfinite(row.threshold)) << i;
    ASSERT_EQ(detector.warm_up_rows(), std::min<std::size_t>(i + 1, 300));
    alarms += row.alarm;
  }
  EXPECT_GT(alarms, 0);
}

TEST(SeriesDetector, ASnapshotGoesOnToTheBit) {
  const std::vector<double> values = daily(2500);
  SeriesDetector whole(warm_after(300));
  const Scored all = run(whole, values);
  for (const std::size_t cut : {0u, 1u, 299u, 300u, 301u, 725u, 2100u}) {
    SeriesDetector first(warm_after(300)), second(warm_after(300));
    run(first, {values.begin(), values.begin() + static_cast<std::ptrdiff_t>(cut)});
    first.push(0, nan);
    second.restore(first.snapshot());
    EXPECT_EQ(second.missing(), 1u);
    const Scored rest = run(second, values, cut);
    EXPECT_TRUE(std::equal(rest.scores.begin(), rest.scores.end(),
                           all.scores.begin() + static_cast<std::ptrdiff_t>(cut)))
        << cut;
    EXPECT_EQ(second.snapshot().size(), whole.snapshot().size());
  }
}

TEST(SeriesDetector, ForeignSnapshotsAreRefusedAndChangeNothing) {
  SeriesDetector detector(warm_after(300)), other(warm_after(301));
  run(detector, daily(700));
  const std::vector<std::byte> before = detector.snapshot();
  EXPECT_THROW(detector.restore({}), std::invalid_argument);
  EXPECT_THROW(detector.restore(other.snapshot()), std::invalid_argument);
  EXPECT_THROW(detector.restore(std::span(before).first(before.size() - 1)), std::invalid_argument);
  for (std::size_t i = 0; i < before.size(); i += 97) {
    std::vector<std::byte> damaged = before;
    damaged[i] ^= std::byte{0x40};
    EXPECT_THROW(detector.restore(damaged), std::invalid_argument) << i;
  }
  EXPECT_EQ(detector.snapshot(), before);
}

// With its checksum made right again, a field's own bounds must refuse it, or what it says is harmless.
TEST(SeriesDetector, FieldsThatLieAreRefusedOrHarmless) {
  SeriesDetector detector(warm_after(300));
  run(detector, daily(700));
  const std::vector<std::byte> sound = detector.snapshot();
  int refused = 0;
  for (std::size_t at = 16; at + 16 <= sound.size(); at += 8 * 31) {
    for (const std::uint64_t lie : {UINT64_MAX, std::uint64_t{1} << 40, std::uint64_t{0x7FF0000000000000},
                                    std::uint64_t{0xC341C37937E08000}}) {
      std::vector<std::byte> bytes = sound;
      std::memcpy(bytes.data() + at, &lie, sizeof lie);
      const std::uint64_t sum = fingerprint(std::span(bytes).first(bytes.size() - 8));
      std::memcpy(bytes.data() + bytes.size() - 8, &sum, sizeof sum);
      SeriesDetector fresh(warm_after(300));
      try {
        fresh.restore(bytes);
        for (std::size_t i = 700; i < 720; ++i)
          ASSERT_TRUE(std::isfinite(fresh.push(made_time_ns(i), 1000).score)) << at;
      } catch (const std::invalid_argument&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 500);
}

TEST(SeriesDetector, ItsStateIsBounded) {
  SeriesDetector detector;
  Noise noise(3);
  std::size_t most = 0;
  for (std::size_t i = 0; i < 12'000; ++i) {
    detector.push(made_time_ns(i), noise.next());
    if (i % 100 == 0) most = std::max(most, detector.snapshot().size());
  }
  EXPECT_LT(most, 170'000u);
  EXPECT_GT(most, 100'000u);
}

TEST(SeriesDetector, ParametersOutOfRangeAreNamed) {
  const auto refusal = [](auto set) {
    SeriesParameters parameters;
    set(parameters);
    try {
      SeriesDetector detector(parameters);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(refusal([](auto& p) { p.warm_up = 19; }), "series: warm_up: allowed 20 to 1000000 rows");
  EXPECT_THAT(refusal([](auto& p) { p.threshold = nan; }), ::testing::HasSubstr("threshold"));
  EXPECT_THAT(refusal([](auto& p) { p.tail.share = 1; }), ::testing::HasSubstr("tail.share"));
  EXPECT_THAT(refusal([](auto& p) { p.season.week_slots = 0; }), ::testing::HasSubstr("season.week_slots"));
  EXPECT_EQ(refusal([](auto&) {}), "");
}

}  // namespace
}  // namespace lanner::engine
