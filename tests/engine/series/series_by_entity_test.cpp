#include "engine/series/series_by_entity.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/engine/series/made_series.hpp"

namespace lanner::engine {
namespace {

constexpr std::size_t warm_up = 60;

SeriesParameters parameters(std::size_t rows = warm_up) {
  SeriesParameters result;
  result.warm_up = rows;
  return result;
}

double pushed(SeriesByEntity& series, const std::string& entity, std::size_t row, double value,
              std::size_t entities_max = 100) {
  return series.push({entity, made_time_ns(row), value}, entities_max).score;
}

TEST(SeriesByEntity, EachIsASeriesOfItsOwn) {
  const std::vector<double> a = daily(400), b = bursts(400);
  SeriesDetector alone_a(parameters()), alone_b(parameters());
  SeriesByEntity series(parameters());
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double score = alone_a.push(made_time_ns(i), a[i]).score;
    ASSERT_EQ(pushed(series, "a", i, a[i]), score) << i;
    sum += score;
    // The other one has three rows to its two.
    for (std::size_t j = 0; j < 1 + i % 2; ++j)
      ASSERT_EQ(pushed(series, "b", i, b[i]), alone_b.push(made_time_ns(i), b[i]).score) << i;
  }
  EXPECT_GT(sum, 10);
  EXPECT_EQ(series.entities(), 2u);
}

TEST(SeriesByEntity, ManyRowsAtOnceAreTheSameToTheBit) {
  const std::vector<double> values = bursts(1500);
  const std::string names[] = {"a", "b", "c", "d", "e", "f", "g"};
  std::vector<SeriesRow> rows;
  for (std::size_t i = 0; i < values.size(); ++i)
    rows.push_back({names[static_cast<std::size_t>(values[i]) * i % 7], made_time_ns(i),
                    i % 41 == 40 ? std::numeric_limits<double>::quiet_NaN() : values[i]});
  // With 5 allowed, some make way and come back among the rows of one call.
  for (const std::size_t entities_max : {100u, 5u}) {
    SeriesByEntity one(parameters());
    std::vector<SeriesScore> expected;
    for (const SeriesRow& row : rows) expected.push_back(one.push(row, entities_max));
    EXPECT_EQ(one.evicted() > 100, entities_max == 5);
    for (const unsigned threads : {1u, 3u}) {
      for (const std::size_t piece : {1u, 700u, 1500u}) {
        const auto device = Device::cpu({chosen_cpu_tier(), threads});
        Stream stream = device->stream();
        SeriesByEntity many(parameters());
        std::vector<SeriesScore> scores(rows.size());
        for (std::size_t at = 0; at < rows.size(); at += piece) {
          const std::size_t count = std::min(piece, rows.size() - at);
          many.push_rows(stream, std::span(rows).subspan(at, count), entities_max,
                         std::span(scores).subspan(at, count));
        }
        for (std::size_t i = 0; i < rows.size(); ++i) {
          ASSERT_EQ(scores[i].score, expected[i].score) << i;
          ASSERT_EQ(scores[i].threshold, expected[i].threshold) << i;
          ASSERT_EQ(scores[i].missing, expected[i].missing) << i;
        }
        EXPECT_EQ(many.snapshot(), one.snapshot());
        EXPECT_EQ(many.evicted(), one.evicted());
        EXPECT_EQ(many.warm(), one.warm());
        EXPECT_EQ(many.warm_up_rows(), one.warm_up_rows());
      }
    }
  }
}

TEST(SeriesByEntity, SaysHowFarTheyAreWarm) {
  SeriesByEntity series(parameters());
  for (std::size_t i = 0; i < warm_up - 1; ++i) pushed(series, "a", i, 1);
  pushed(series, "b", 0, 1);
  EXPECT_EQ(series.warm(), 0u);
  EXPECT_EQ(series.warm_up_rows(), warm_up);
  for (std::size_t i = 0; i < 20; ++i) pushed(series, "a", i, 1);
  EXPECT_EQ(series.warm(), 1u);
  EXPECT_EQ(series.warm_up_rows(), warm_up + 1);
  pushed(series, "b", 1, 1, 1);
  EXPECT_EQ(series.entities(), 1u);
  EXPECT_EQ(series.warm(), 0u);
  EXPECT_EQ(series.warm_up_rows(), 2u);
}

TEST(SeriesByEntity, TheOneUnseenLongestMakesWay) {
  SeriesByEntity series(parameters());
  for (std::size_t i = 0; i < warm_up; ++i)
    for (const char* entity : {"a", "b", "c"}) pushed(series, entity, i, 1, 3);
  pushed(series, "a", warm_up, 1, 3);
  // No row, by its value: it neither keeps b nor makes room for e.
  pushed(series, "b", warm_up, std::numeric_limits<double>::quiet_NaN(), 3);
  pushed(series, "e", warm_up, std::numeric_limits<double>::infinity(), 3);
  EXPECT_EQ(series.evicted(), 0u);
  EXPECT_TRUE(series.push({"d", 0, 1}, 3).warming_up);
  EXPECT_EQ(series.evicted(), 1u);
  EXPECT_EQ(series.entities(), 3u);
  EXPECT_FALSE(series.push({"a", 0, 1}, 3).warming_up);
  EXPECT_FALSE(series.push({"c", 0, 1}, 3).warming_up);
  EXPECT_TRUE(series.push({"b", 0, 1}, 3).warming_up) << "it began anew";
  EXPECT_EQ(series.evicted(), 2u);
  EXPECT_FALSE(series.push({"c", 0, 1}, 1).warming_up) << "fewer are allowed now: the newest stays";
  EXPECT_EQ(series.entities(), 1u);
}

TEST(SeriesByEntity, ASnapshotGoesOnToTheBitAndInOrder) {
  const std::vector<double> values = daily(300);
  SeriesByEntity first(parameters()), second(parameters());
  for (std::size_t i = 0; i < 150; ++i)
    for (const char* entity : {"a", "", "c"}) pushed(first, entity, i, values[i] * (*entity == 'c' ? 2 : 1));
  pushed(first, "cold", 0, 7);
  pushed(first, "a", 150, values[150]);
  second.restore(first.snapshot());
  EXPECT_EQ(second.snapshot(), first.snapshot());
  EXPECT_EQ(second.warm(), 3u);
  EXPECT_EQ(second.warm_up_rows(), first.warm_up_rows());
  for (SeriesByEntity* one : {&first, &second}) {
    EXPECT_TRUE(one->push({"new", 0, 1}, 4).warming_up);
    EXPECT_TRUE(one->push({"", 0, 1}, 5).warming_up) << "it was the one to make way";
  }
  for (std::size_t i = 151; i < values.size(); ++i)
    for (const char* entity : {"a", "c", "cold"})
      ASSERT_EQ(pushed(first, entity, i, values[i]), pushed(second, entity, i, values[i])) << i;
  EXPECT_EQ(second.snapshot(), first.snapshot());
}

TEST(SeriesByEntity, ForeignSnapshotsAreRefusedAndChangeNothing) {
  SeriesByEntity series(parameters()), other(parameters(61));
  for (std::size_t i = 0; i < 100; ++i)
    for (const char* entity : {"a", "b"}) pushed(series, entity, i, daily(100)[i]);
  pushed(other, "a", 0, 1);
  const std::vector<std::byte> before = series.snapshot();
  EXPECT_THROW(series.restore(other.snapshot()), std::invalid_argument);
  EXPECT_THROW(series.restore({}), std::invalid_argument);
  EXPECT_THROW(series.restore(SeriesDetector(parameters()).snapshot()), std::invalid_argument);
  for (std::size_t at = 0; at < before.size(); at += 4999) {
    std::vector<std::byte> damaged = before;
    damaged[at] ^= std::byte{0x20};
    EXPECT_THROW(series.restore(damaged), std::invalid_argument) << at;
    EXPECT_THROW(series.restore(std::span(before).first(at)), std::invalid_argument) << at;
  }
  // Sums that are right, around counts and names that are not.
  const auto summed = [&](std::vector<std::byte> bytes) {
    const std::uint64_t sum = fingerprint(std::span(bytes).first(bytes.size() - 8));
    std::memcpy(bytes.data() + bytes.size() - 8, &sum, sizeof sum);
    return bytes;
  };
  for (const unsigned char count : {1, 3}) {
    std::vector<std::byte> bytes = before;
    bytes[16] = std::byte{count};
    EXPECT_THROW(series.restore(summed(bytes)), std::invalid_argument) << int{count};
  }
  std::vector<std::byte> twice = before;
  ASSERT_EQ(twice[32], std::byte{'b'});
  twice[32] = std::byte{'a'};
  EXPECT_THROW(series.restore(summed(twice)), std::invalid_argument);
  EXPECT_EQ(series.snapshot(), before);
}

TEST(SeriesByEntity, ParametersOutOfRangeAreRefused) {
  EXPECT_THROW(SeriesByEntity(parameters(19)), std::invalid_argument);
}

}  // namespace
}  // namespace lanner::engine
