// A window against an index made anew of its rows, at every step: rows, distances, how many of each, all
// bits.
#include "kernels/nearest/window.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>
#include <stdexcept>
#include <string>

#include "kernels/nearest/index.hpp"
#include "tests/kernels/nearest/made_rows.hpp"
#include "tests/kernels/nearest/run_search.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::nearest {
namespace {

using test::Found;
using test::MadeRows;
using test::run;

// Windows of every tier that are given the same rows, and the rows themselves.
class Windows {
 public:
  explicit Windows(std::size_t width, unsigned threads = 1) : width_(width) {
    for (CpuTier tier : available_cpu_tiers()) {
      devices_.push_back(Device::cpu({tier, threads}));
      windows_.push_back(make_window(*devices_.back(), width));
    }
  }

  void insert(Rows rows) {
    for (std::size_t i = 0; i < rows.count; ++i)
      values_.insert(values_.end(), rows.row(i), rows.row(i) + rows.width);
    for (const auto& window : windows_) window->insert(rows);
  }

  void expire(std::size_t count) {
    values_.erase(values_.begin(), values_.begin() + static_cast<std::ptrdiff_t>(count * width_));
    for (const auto& window : windows_) window->expire(count);
  }

  Rows rows() const { return {values_.data(), values_.size() / width_, width_, width_}; }

  // self: original rows of the window, or empty.
  void expect_as_anew(Rows queries, std::size_t k, std::span<const std::uint32_t> self, std::size_t batch,
                      const std::string& what) const {
    const ReferenceSet set = distinct_rows(rows());
    const std::vector<std::uint32_t> distinct_of = distinct_of_rows(set);
    const auto first_of = [&](std::uint32_t distinct) { return set.members[set.member_begin[distinct]]; };
    std::vector<std::uint32_t> self_distinct, self_first;
    for (const std::uint32_t row : self) {
      self_distinct.push_back(row == no_self ? no_self : distinct_of[row]);
      self_first.push_back(row == no_self ? no_self : first_of(distinct_of[row]));
    }
    std::vector<Found> expected(2);
    for (std::size_t i = 0; i < windows_.size(); ++i) {
      const std::string where = what + ", " + std::string(name(devices_[i]->tier()));
      const Window& window = *windows_[i];
      ASSERT_EQ(window.rows(), set.rows()) << where;
      ASSERT_EQ(window.distinct(), set.distinct()) << where;
      std::vector<std::uint32_t> firsts;
      for (const std::uint32_t distinct : distinct_of) firsts.push_back(first_of(distinct));
      ASSERT_EQ(window.first_of_rows(), firsts) << where;
      for (const Count count : {Count::rows, Count::distinct}) {
        Found& anew = expected[count == Count::distinct];
        if (i == 0 && set.rows() > 0) {
          const auto index = make_index(*devices_.back(), set);
          anew = run(*devices_.back(), *index, queries, k, count, self_distinct, queries.count);
          for (test::Answer& answer : anew.answers)
            for (std::uint32_t& row : answer.row) row = first_of(row);
        } else if (i == 0) {
          anew = {std::vector<test::Answer>(queries.count), std::vector<float>(queries.count),
                  std::vector<float>(queries.count)};
        }
        const Found found = run(*devices_[i], window, queries, k, count, self_first, batch);
        for (std::size_t q = 0; q < queries.count; ++q)
          ASSERT_TRUE(found.answers[q] == anew.answers[q])
              << where << ", query " << q << ", k " << k << ", "
              << (count == Count::rows ? "rows" : "distinct") << ", batch " << batch;
        ASSERT_EQ(found.kth, anew.kth) << where;
        ASSERT_EQ(found.mean, anew.mean) << where;
      }
    }
  }

 private:
  std::size_t width_;
  std::vector<float> values_;
  std::vector<std::shared_ptr<Device>> devices_;
  std::vector<std::unique_ptr<Window>> windows_;
};

std::size_t of_varied_size(std::size_t most, std::mt19937& random) {
  return std::size_t{random()} % (1 + (random() % 4 == 0 ? most : most / 8));
}

// Rows whose mean wanders away.
MadeRows made_drift(std::size_t n, std::size_t width, std::mt19937& random) {
  std::normal_distribution<float> normal;
  MadeRows rows(n, width);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < width; ++j)
      rows.row(i)[j] = normal(random) + 0.02f * static_cast<float>(i * (1 + j % 3));
  return rows;
}
// Each part of the stream larger than all before, and then small again.
MadeRows made_growth(std::size_t n, std::size_t width, std::mt19937& random) {
  std::normal_distribution<float> normal;
  MadeRows rows(n, width);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < width; ++j)
      rows.row(i)[j] = std::ldexp(normal(random), -60 + static_cast<int>(i * 5 / n) * 30);
  for (std::size_t i = n / 2; i < n; ++i)
    if (i % 50) rows.row(i)[0] = 0;
  return rows;
}

class EveryStream : public testing::TestWithParam<std::pair<const char*, test::Maker>> {};

TEST_P(EveryStream, IsAnsweredAsByAnIndexMadeAnew) {
  std::mt19937 random(11);
  const struct {
    std::size_t width, stream, window, steps;
  } shapes[] = {{1, 3000, 700, 40},  {2, 300, 20, 60},    {3, 6000, 2000, 25}, {8, 9000, 3000, 20},
                {33, 2500, 900, 15}, {130, 1200, 600, 8}, {2, 30000, 20000, 8}};
  for (const auto& shape : shapes) {
    const MadeRows stream = GetParam().second(shape.stream, shape.width, random);
    const MadeRows others = GetParam().second(20, shape.width, random);
    Windows windows(shape.width, 1 + random() % 3);
    std::size_t at = 0;
    for (std::size_t step = 0; step < shape.steps; ++step) {
      const std::size_t now = windows.rows().count;
      const std::size_t room = shape.window > now ? shape.window - now : 0;
      const std::size_t leave =
          random() % 15 == 0 ? now : std::min(now, of_varied_size(shape.window / 2, random));
      const std::size_t come =
          std::min(stream.count - at, std::min(room + leave, of_varied_size(shape.window, random)));
      if (random() % 2) {
        windows.expire(leave);
        windows.insert(static_cast<Rows>(stream).slice(at, at + come));
      } else {
        windows.insert(static_cast<Rows>(stream).slice(at, at + come));
        windows.expire(leave);
      }
      at = at + come == stream.count ? 0 : at + come;

      const Rows rows = windows.rows();
      MadeRows current(rows.count, rows.width);
      current.values.assign(rows.data, rows.data + rows.count * rows.width);
      const MadeRows queries = queries_for(rows.count ? current : others, others, 1 + random() % 24, random);
      std::vector<std::uint32_t> self;
      if (random() % 2 && rows.count)
        for (std::size_t i = 0; i < queries.count; ++i)
          self.push_back(random() % 3 ? static_cast<std::uint32_t>(random() % rows.count) : no_self);
      const std::size_t k = random() % 4 == 0 ? 1 + random() % (rows.count + 3) : 1 + random() % 12;
      windows.expect_as_anew(queries, k, self, 1 + random() % queries.count,
                             std::string(GetParam().first) + " x " + std::to_string(shape.width) + ", step " +
                                 std::to_string(step) + ", rows " + std::to_string(rows.count));
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Made, EveryStream, testing::ValuesIn(test::made_kinds),
                         [](const auto& info) { return std::string(info.param.first); });
constexpr std::pair<const char*, test::Maker> moving_kinds[] = {
    {"drift", made_drift}, {"growth", made_growth}, {"low_rank_clusters", test::made_low_rank_clusters}};
INSTANTIATE_TEST_SUITE_P(Moving, EveryStream, testing::ValuesIn(moving_kinds),
                         [](const auto& info) { return std::string(info.param.first); });

TEST(Window, IsExactWhileItShrinks) {
  std::mt19937 random(2);
  for (const test::Maker make : {test::made_clusters, test::made_normal, test::made_ramp}) {
    Windows windows(3);
    windows.insert(make(30000, 3, random));
    while (windows.rows().count > 0) {
      const Rows rows = windows.rows();
      MadeRows queries(20, 3);
      for (std::size_t i = 0; i < queries.count; ++i)
        std::copy_n(rows.row(random() % rows.count), 3, queries.row(i));
      windows.expect_as_anew(queries, 4, {}, 1 + random() % 20, std::to_string(rows.count) + " rows left");
      if (HasFatalFailure()) return;
      windows.expire(1 + rows.count / 5);
    }
  }
}

TEST(Window, TheLowestNumbersWinTiesAlsoWhenTheFirstOfARowHasLeft) {
  // At distance 1 from the origin, as they come: a b c c b a a.
  const float a[] = {1, 0}, b[] = {0, 1}, c[] = {-1, 0};
  std::vector<float> values;
  for (const float* row : {a, b, c, c, b, a, a}) values.insert(values.end(), row, row + 2);
  const float origin[] = {0, 0};
  using Numbers = std::vector<std::uint32_t>;
  for (CpuTier tier : available_cpu_tiers()) {
    const auto device = Device::cpu({tier, 1});
    const auto window = make_window(*device, 2);
    const auto found = [&](std::size_t k) {
      return run(*device, *window, {origin, 1, 2, 2}, k, Count::rows, {}, 1).answers[0];
    };
    window->insert({values.data(), 7, 2, 2});
    EXPECT_EQ(found(4).row, (Numbers{0, 1, 2}));
    EXPECT_EQ(found(4).taken, (Numbers{1, 1, 2}));
    window->expire(1);  // b c c b a a
    EXPECT_EQ(window->first_of_rows(), (Numbers{0, 1, 1, 0, 4, 4}));
    EXPECT_EQ(found(3).row, (Numbers{0, 1}));
    EXPECT_EQ(found(3).taken, (Numbers{1, 2}));
    EXPECT_EQ(found(5).row, (Numbers{0, 1, 4}));
    EXPECT_EQ(found(5).taken, (Numbers{2, 2, 1}));
    window->expire(1);  // c c b a a
    EXPECT_EQ(found(3).row, (Numbers{0, 2}));
    EXPECT_EQ(found(3).taken, (Numbers{2, 1}));
    EXPECT_EQ(window->distinct(), 3u);
  }
}

TEST(Window, RefusesWhatItCannotDoAndStaysAsItWas) {
  const float values[] = {1, 2, 3, 4, 1, 2, 5, INFINITY, std::nanf(""), 0};
  for (CpuTier tier : available_cpu_tiers()) {
    const auto device = Device::cpu({tier, 1});
    EXPECT_THROW(make_window(*device, 0), std::invalid_argument);
    EXPECT_THROW(make_window(*device, 65537), std::invalid_argument);
    const auto window = make_window(*device, 2);
    window->insert({values, 3, 2, 2});
    EXPECT_THROW(window->insert({values, 4, 2, 2}), std::invalid_argument);
    EXPECT_THROW(window->insert({values + 6, 2, 2, 2}), std::invalid_argument);
    EXPECT_THROW(window->insert({values, 2, 3, 3}), std::invalid_argument);
    EXPECT_THROW(window->insert({values, 2, 2, 1}), std::invalid_argument);
    EXPECT_THROW(window->expire(4), std::invalid_argument);
    EXPECT_EQ(window->rows(), 3u);
    EXPECT_EQ(window->distinct(), 2u);
    EXPECT_EQ(window->first_of_rows(), (std::vector<std::uint32_t>{0, 1, 0}));
    const Rows query{values, 1, 2, 2};
    for (const std::uint32_t self : {2u, 3u})
      EXPECT_THROW(run(*device, *window, query, 1, Count::rows, std::span(&self, 1), 1),
                   std::invalid_argument);
    const std::uint32_t self = 0;
    EXPECT_EQ(run(*device, *window, query, 2, Count::rows, std::span(&self, 1), 1).answers[0].row,
              (std::vector<std::uint32_t>{0, 1}));
  }
  for (const auto& gpu : tests::gpus()) EXPECT_THROW(make_window(*gpu, 2), std::invalid_argument);
}

// What a search looks at beside the rows is in its workspace.
TEST(Window, SearchesNoMoreBlocksThanItsRowsFill) {
  std::mt19937 random(4);
  const MadeRows rows = test::made_clusters(60000, 3, random);
  for (CpuTier tier : available_cpu_tiers()) {
    const auto device = Device::cpu({tier, 1});
    const auto window = make_window(*device, 3), small = make_window(*device, 3);
    window->insert(rows);
    window->expire(59000);
    small->insert(static_cast<Rows>(rows).slice(59000, 60000));
    EXPECT_LE(window->workspace_bytes(1, 1, Count::rows), small->workspace_bytes(1, 1, Count::rows) * 9 / 8)
        << name(tier);
  }
}

// Rows that come and go in their millions: of one kind, then of another.
TEST(Window, StaysSmallAndExactAfterAMillionSlides) {
  constexpr std::size_t width = 4, held = 3000, phase = 125'000, part = 50;
  for (CpuTier tier : available_cpu_tiers()) {
    const auto device = Device::cpu({tier, 1});
    const auto window = make_window(*device, width);
    const std::size_t row_bytes = 4 * (width + width) + 24;
    const std::size_t bytes_max = 4 * (held + part + 2000) * row_bytes + 72 * (held + part);
    std::mt19937 random(3);
    std::vector<float> last;
    const std::size_t phases = tier == CpuTier::scalar ? 1 : 8;
    for (std::size_t i = 0; i < phases; ++i) {
      const auto make = std::array{test::made_clusters,       test::made_ramp,
                                   test::made_small_integers, made_drift,
                                   test::made_heavy_tails,    test::made_normal,
                                   test::made_tiny_and_one,   test::made_low_rank_clusters}[i];
      const MadeRows stream = make(phase, width, random);
      for (std::size_t at = 0; at < phase; at += part) {
        window->insert(static_cast<Rows>(stream).slice(at, at + part));
        if (window->rows() > held) window->expire(window->rows() - held);
        ASSERT_LE(window->bytes(), bytes_max) << name(tier) << ", phase " << i << ", row " << at;
      }
      MadeRows rows(held, width);
      rows.values.assign(stream.row(phase - held), stream.row(phase - held) + held * width);
      const ReferenceSet set = distinct_rows(rows);
      const MadeRows queries = queries_for(rows, {}, 40, random);
      const auto index = make_index(*device, set);
      Found expected = run(*device, *index, queries, 5, Count::rows, {}, 40);
      for (test::Answer& answer : expected.answers)
        for (std::uint32_t& row : answer.row) row = set.members[set.member_begin[row]];
      ASSERT_TRUE(run(*device, *window, queries, 5, Count::rows, {}, 40).answers == expected.answers)
          << name(tier) << ", phase " << i;
    }
  }
}

}  // namespace
}  // namespace lanner::nearest
