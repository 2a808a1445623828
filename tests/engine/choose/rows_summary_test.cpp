#include "engine/choose/rows_summary.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace lanner::engine {
namespace {

TEST(RowsSummary, CountsRowsAndColumnsOfEachKind) {
  const std::vector<float> values{// constant, two values, two and a zero of either sign, three values
                                  7, 0, 0.0f,  1,   //
                                  7, 1, -0.0f, 2,   //
                                  7, 0, 0.0f,  1,   // the first again
                                  7, 1, 5,     3,   //
                                  7, 1, 0.0f,  2};  // the second again, but for the zero's sign
  const RowsSummary summary = summary_of({values.data(), 5, 4, 4});
  EXPECT_EQ(summary.rows, 5u);
  EXPECT_EQ(summary.distinct, 3u);
  EXPECT_EQ(summary.columns, 4u);
  EXPECT_EQ(summary.constant, 1u);
  EXPECT_EQ(summary.two_valued, 2u);
}

TEST(RowsSummary, ReadsTheRowsOfAWiderMatrix) {
  const std::vector<float> values{1, 2, 99, 1, 2, 98, 1, 3, 97};
  const RowsSummary summary = summary_of({values.data(), 3, 2, 3});
  EXPECT_EQ(summary.distinct, 2u);
  EXPECT_EQ(summary.constant, 1u);
}

// Rows of few values are where a poor hash would merge different ones; columns that swap values, too.
TEST(RowsSummary, CountsEveryDistinctRow) {
  std::vector<float> values;
  std::size_t rows = 0;
  for (int a = 0; a < 40; ++a)
    for (int b = 0; b < 40; ++b)
      for (int c = 0; c < 40; ++c, ++rows)
        values.insert(values.end(), {static_cast<float>(a), static_cast<float>(b), static_cast<float>(c)});
  EXPECT_EQ(summary_of({values.data(), rows, 3, 3}).distinct, rows);
}

TEST(RowsSummary, TheOrderOfRowsDoesNotMatter) {
  std::mt19937 random(3);
  std::vector<float> values(600);
  for (float& value : values) value = static_cast<float>(random() % 3);
  std::vector<float> reversed(values.rbegin(), values.rend());
  const RowsSummary one = summary_of({values.data(), 300, 2, 2}),
                    other = summary_of({reversed.data(), 300, 2, 2});
  EXPECT_EQ(one.distinct, 9u);
  EXPECT_EQ(other.distinct, one.distinct);
}

}  // namespace
}  // namespace lanner::engine
