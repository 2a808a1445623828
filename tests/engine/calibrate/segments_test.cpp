#include "engine/calibrate/segments.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <stdexcept>

namespace lanner::engine {
namespace {

/// Scores 0, 1, 2, ... of so many rows of each segment in turn.
struct Rows {
  std::vector<float> scores;
  std::vector<std::string_view> segments;

  Rows& add(std::string_view segment, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      scores.push_back(static_cast<float>(scores.size()));
      segments.push_back(segment);
    }
    return *this;
  }
  SegmentScores split(std::size_t rows_min) const { return split_by_segment(scores, segments, rows_min); }
};

std::vector<float> from_to(int from, int to) {
  std::vector<float> scores(static_cast<std::size_t>(to - from));
  std::iota(scores.begin(), scores.end(), static_cast<float>(from));
  return scores;
}

TEST(Segments, WithEnoughRowsHaveTheirOwnAndTheRestArePooled) {
  Rows rows;
  rows.add("weekend", 10).add("holiday", 6).add("weekday", 20).add("", 3).add("strike", 4);
  const SegmentScores split = rows.split(10);
  EXPECT_EQ(split.names, (std::vector<std::string>{"weekday", "weekend"}));
  EXPECT_EQ(split.scores, (std::vector{from_to(16, 36), from_to(0, 10)}));
  std::vector<float> others = from_to(10, 16), last = from_to(36, 43);
  others.insert(others.end(), last.begin(), last.end());
  EXPECT_EQ(split.pool, others);
  EXPECT_EQ(split.pooled, 2u);
  EXPECT_FALSE(split.pool_is_all);
}

TEST(Segments, APoolOfTooFewIsAllRows) {
  Rows rows;
  rows.add("a", 10).add("b", 9);
  const SegmentScores split = rows.split(10);
  EXPECT_EQ(split.names, std::vector<std::string>{"a"});
  EXPECT_TRUE(split.pool_is_all);
  EXPECT_EQ(split.pool, from_to(0, 19));
  EXPECT_EQ(Rows().add("a", 10).split(10).pool, from_to(0, 10)) << "for segments to come";
  EXPECT_TRUE(Rows().add("a", 9).split(10).names.empty());
}

TEST(Segments, NamesThatCantBeWrittenArePooled) {
  const std::string longest(segment_bytes_max, 'x'), longer(segment_bytes_max + 1, 'x');
  Rows rows;
  rows.add("\xff", 10).add(longer, 10).add("", 10).add(longest, 10);
  const SegmentScores split = rows.split(10);
  EXPECT_EQ(split.names, std::vector<std::string>{longest});
  EXPECT_EQ(split.pool, from_to(0, 30));
}

TEST(Segments, OfManyTheLargestHaveTheirOwn) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < segments_max + 5; ++i) names.push_back(std::to_string(100'000 + i));
  Rows rows;
  for (std::size_t i = 0; i < names.size(); ++i) rows.add(names[i], i < 5 ? 2 : 3);
  const SegmentScores split = rows.split(2);
  EXPECT_EQ(split.names, std::vector<std::string>(names.begin() + 5, names.end()));
  EXPECT_EQ(split.pool, from_to(0, 10));
}

TEST(Segments, AreFoundByTheirNames) {
  const Segments segments("day", {"a", "b"});
  EXPECT_EQ(segments.find("a"), 1u);
  EXPECT_EQ(segments.find("b"), 2u);
  for (const char* other : {"", "c", "A", "aa"}) EXPECT_EQ(segments.find(other), 0u) << other;
}

TEST(Segments, ThatAreNoneAreRefused) {
  const auto refused = [](std::vector<std::string> names) {
    EXPECT_THROW(Segments("day", std::move(names)), std::invalid_argument);
  };
  refused({"b", "a"});
  refused({"a", "a"});
  refused({""});
  refused({"\xff"});
  refused({std::string(segment_bytes_max + 1, 'x')});
  std::vector<std::string> many;
  for (std::size_t i = 0; i <= segments_max; ++i) many.push_back(std::to_string(100'000 + i));
  refused(many);
  EXPECT_THROW(split_by_segment(std::vector<float>(2), std::vector<std::string_view>(1), 2),
               std::invalid_argument);
}

}  // namespace
}  // namespace lanner::engine
