#include "engine/records/records.hpp"

#include <gtest/gtest.h>

namespace lanner::engine {
namespace {

TEST(Texts, KeepTheirBoundaries) {
  Texts texts;
  texts.push_back("");
  texts.push_back("ab");
  texts.push_back(std::string_view("\0c", 2));
  texts.push_back("");
  ASSERT_EQ(texts.size(), 4u);
  EXPECT_EQ(texts[0], "");
  EXPECT_EQ(texts[1], "ab");
  EXPECT_EQ(texts[2], std::string_view("\0c", 2));
  EXPECT_EQ(texts[3], "");
  texts.clear();
  EXPECT_TRUE(texts.empty());
  texts.push_back("d");
  EXPECT_EQ(texts[0], "d");
}

TEST(Records, NumbersComeFromWhereverTheyLie) {
  const float floats[] = {1, 2, 3, 4, 5, 6};
  const double doubles[] = {1, 2, 3, 4, 5, 6.5};
  Records records;
  records.count = 2;
  records.columns.resize(3);
  for (std::size_t c = 0; c < 3; ++c) records.columns[c].numbers = {10.0 * static_cast<double>(c), 7};
  EXPECT_EQ(records.number(0, 2), 20);
  EXPECT_EQ(records.number(1, 2), 7);
  records.dense = {floats, nullptr, 3};
  EXPECT_EQ(records.number(1, 0), 4);
  records.dense = {nullptr, doubles, 3};
  EXPECT_EQ(records.number(1, 2), 6.5);
}

TEST(Records, ClearEmptiesAndKeepsTheMemory) {
  Records records;
  records.count = 3;
  records.columns.resize(2);
  records.columns[0].numbers = {1, 2, 3};
  records.columns[1].texts.push_back("x");
  records.columns[1].missing = {0};
  records.entity.push_back("e");
  records.id.push_back("i");
  records.time = {1, 2, 3};
  records.refused.push_back({1, "because"});
  const float floats[] = {1};
  records.dense = {floats, nullptr, 1};
  const double* memory = records.columns[0].numbers.data();
  records.clear();
  EXPECT_EQ(records.count, 0u);
  EXPECT_FALSE(records.dense);
  ASSERT_EQ(records.columns.size(), 2u);
  EXPECT_TRUE(records.columns[0].numbers.empty());
  EXPECT_TRUE(records.columns[1].texts.empty());
  EXPECT_TRUE(records.columns[1].missing.empty());
  EXPECT_TRUE(records.entity.empty() && records.id.empty() && records.time.empty() &&
              records.refused.empty());
  records.columns[0].numbers.push_back(5);
  EXPECT_EQ(records.columns[0].numbers.data(), memory);
}

TEST(Records, ColumnsThatASchemaHasNoUseForComeBackWithTheirMemory) {
  Records records;
  records.fit_columns(4);
  for (std::size_t c = 0; c < 4; ++c) records.columns[c].numbers.resize(100 * (c + 1));
  records.fit_columns(1);
  ASSERT_EQ(records.columns.size(), 1u);
  EXPECT_TRUE(records.columns[0].numbers.empty());
  records.fit_columns(6);
  ASSERT_EQ(records.columns.size(), 6u);
  for (std::size_t c = 0; c < 6; ++c) {
    EXPECT_TRUE(records.columns[c].numbers.empty());
    EXPECT_GE(records.columns[c].numbers.capacity(), c < 4 ? 100 * (c + 1) : 0);
  }
}

}  // namespace
}  // namespace lanner::engine
