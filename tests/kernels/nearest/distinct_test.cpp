#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "kernels/nearest/nearest.hpp"
#include "tests/kernels/nearest/brute_force.hpp"
#include "tests/kernels/nearest/made_rows.hpp"

namespace lanner::nearest {
namespace {

TEST(DistinctRows, StandInOrderOfFirstOccurrenceWithTheirMembers) {
  const float values[] = {1, 2, 0, 5, 1, 2, -0.0f, 5, 3, 3, 1, 2};
  const ReferenceSet set = distinct_rows({values, 6, 2, 2});
  EXPECT_EQ(set.values, (std::vector<float>{1, 2, 0, 5, 3, 3}));
  EXPECT_FALSE(std::signbit(set.values[2]));
  EXPECT_EQ(set.weight, (std::vector<std::uint32_t>{3, 2, 1}));
  EXPECT_EQ(set.members, (std::vector<std::uint32_t>{0, 2, 5, 1, 3, 4}));
  EXPECT_EQ(set.member_begin, (std::vector<std::uint32_t>{0, 3, 5, 6}));
  EXPECT_EQ(distinct_of_rows(set), (std::vector<std::uint32_t>{0, 1, 0, 1, 2, 0}));
}

TEST(DistinctRows, StartWithAPositiveZeroEvenIfTheFirstIsNegative) {
  const float values[] = {-0.0f, 0.0f};
  const ReferenceSet set = distinct_rows({values, 2, 1, 1});
  ASSERT_EQ(set.distinct(), 1u);
  EXPECT_FALSE(std::signbit(set.values[0]));
}

TEST(DistinctRows, KeepsRowsApartThatDifferInOneBit) {
  const float one = 1, next = std::nextafter(1.0f, 2.0f);
  const float values[] = {one, one, next, one, one, next};
  EXPECT_EQ(distinct_rows({values, 3, 2, 2}).distinct(), 3u);
}

TEST(DistinctRows, AgreesWithSorting) {
  std::mt19937 random(2);
  for (const auto& [name, make] : test::made_kinds)
    for (std::size_t width : {1u, 3u, 20u}) {
      const test::MadeRows rows = make(2000, width, random);
      const ReferenceSet set = distinct_rows(rows);
      EXPECT_EQ(distinct_of_rows(set), test::BruteForce(rows).distinct_of()) << name;
      EXPECT_EQ(set.rows(), 2000u);
    }
}

TEST(DistinctRows, OfNoRowsAreNone) {
  const ReferenceSet set = distinct_rows({nullptr, 0, 3, 3});
  EXPECT_EQ(set.distinct(), 0u);
  EXPECT_EQ(set.member_begin.size(), 1u);
  EXPECT_TRUE(distinct_of_rows(set).empty());
}

TEST(DistinctRows, ReadsStridedRows) {
  const float values[] = {1, 9, 1, 8, 2, 7};
  EXPECT_EQ(distinct_rows({values, 3, 1, 2}).weight, (std::vector<std::uint32_t>{2, 1}));
}

}  // namespace
}  // namespace lanner::nearest
