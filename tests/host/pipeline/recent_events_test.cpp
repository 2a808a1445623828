#include "host/pipeline/recent_events.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace lanner::host {
namespace {

const engine::Schema schema{{{"n"}, {"text", engine::ColumnKind::text}}, "", "", ""};

// Events first, first + 1, ...; the number says which.
engine::Records events(std::size_t first, std::size_t count) {
  engine::Records records;
  records.count = count;
  records.columns.resize(2);
  for (std::size_t i = first; i < first + count; ++i) {
    records.columns[0].numbers.push_back(static_cast<double>(i));
    records.columns[1].texts.push_back(i % 2 == 0 ? "even" : "odd");
    records.columns[1].missing.push_back(i % 3 == 0);
    records.time.push_back(static_cast<std::int64_t>(i));
  }
  return records;
}

// Which events there are; each is whole.
std::vector<std::size_t> kept(const RecentEvents& recent) {
  const engine::Records all = recent.all();
  EXPECT_EQ(all.count, recent.count());
  std::vector<std::size_t> which;
  for (std::size_t row = 0; row < all.count; ++row) {
    const auto i = static_cast<std::size_t>(all.number(row, 0));
    EXPECT_EQ(all.columns[1].texts[row], i % 2 == 0 ? "even" : "odd");
    EXPECT_EQ(all.columns[1].missing[row], i % 3 == 0);
    EXPECT_EQ(all.time[row], static_cast<std::int64_t>(i));
    which.push_back(i);
  }
  return which;
}

void expect_in_a_row(const RecentEvents& recent, std::size_t first, std::size_t count) {
  const auto which = kept(recent);
  ASSERT_EQ(which.size(), count);
  for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(which[i], first + i);
}

TEST(RecentEvents, InARowAreTheLast) {
  RecentEvents recent(schema, 10, true);
  expect_in_a_row(recent, 0, 0);
  recent.take(events(0, 7));
  expect_in_a_row(recent, 0, 7);
  recent.take(events(7, 3));
  expect_in_a_row(recent, 0, 10);
  recent.take(events(10, 4));
  expect_in_a_row(recent, 4, 10);
  recent.take(events(14, 1000));
  expect_in_a_row(recent, 1004, 10);
  recent.clear();
  recent.take(events(5, 2));
  expect_in_a_row(recent, 5, 2);
}

TEST(RecentEvents, OtherwiseAreAnEvenSampleInOrder) {
  constexpr std::size_t rows = 100, passed = 10'000;
  RecentEvents recent(schema, rows, false);
  for (std::size_t i = 0; i < passed; i += 50) {
    recent.take(events(i, 50));
    ASSERT_GE(recent.count(), std::min(i + 50, rows));
    ASSERT_LE(recent.count(), 2 * rows);
  }
  const auto which = kept(recent);
  // One of every 64: about 156.
  ASSERT_EQ(which.size(), passed / 64);
  for (std::size_t i = 0; i < which.size(); ++i) ASSERT_EQ(which[i] / 64, i);
  std::size_t early = 0;
  for (const std::size_t i : which) early += i % 64 < 32;
  EXPECT_GT(early, which.size() / 3) << "no place in a stretch is preferred";
  EXPECT_LT(early, 2 * which.size() / 3);
  recent.clear();
  recent.take(events(0, 150));
  expect_in_a_row(recent, 0, 150);
}

TEST(RecentEvents, DoNotHaveWhatWasRefused) {
  for (const bool in_a_row : {true, false}) {
    RecentEvents recent(schema, 10, in_a_row);
    engine::Records some = events(0, 5);
    some.refused = {{0, "why"}, {3, "why"}};
    recent.take(some);
    EXPECT_EQ(kept(recent), (std::vector<std::size_t>{1, 2, 4}));
  }
}

}  // namespace
}  // namespace lanner::host
