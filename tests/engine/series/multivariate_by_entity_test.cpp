#include "engine/series/multivariate_by_entity.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <stdexcept>
#include <string>

#include "engine/series/multivariate.hpp"
#include "tests/engine/series/made_series.hpp"

namespace lanner::engine {
namespace {

constexpr std::size_t metrics = 3, count = 400;

std::shared_ptr<const MultivariateModel> model() {
  static const auto learned = [] {
    MultivariateParameters parameters;
    parameters.windows = {5, 30};
    return std::make_shared<const MultivariateModel>(fit_multivariate(machine(600, 3), metrics, parameters));
  }();
  return learned;
}

/// Three machines, taking turns by no rule.
struct Events {
  std::vector<double> values = machine(count, 4);
  std::vector<std::string> names;
  std::vector<EntityRow> rows;
  Events() {
    std::mt19937 random(5);
    for (std::size_t i = 0; i < count; ++i)
      names.push_back(random() % 4 == 0 ? "a" : random() % 3 == 0 ? "b" : "c");
    for (std::size_t i = 0; i < count; ++i) rows.push_back({names[i], &values[i * metrics]});
  }
};

struct Explained {
  std::vector<MultivariateScore> scores;
  std::vector<std::vector<double>> parts;  ///< of every fifth row
};

void push(MultivariateByEntity& table, std::span<const EntityRow> rows, std::size_t cut, std::size_t most,
          Explained& out) {
  for (std::size_t at = 0; at < rows.size(); at += cut) {
    const auto some = rows.subspan(at, std::min(cut, rows.size() - at));
    std::vector<MultivariateScore> scores(some.size());
    table.push_rows(some, most, scores);
    for (std::size_t i = 0; i < some.size(); ++i) {
      if (out.scores.size() % 5 == 4) table.contributions(i, out.parts.emplace_back(metrics));
      out.scores.push_back(scores[i]);
    }
  }
}

void expect_equal(const Explained& a, const Explained& b) {
  ASSERT_EQ(a.scores.size(), b.scores.size());
  for (std::size_t i = 0; i < a.scores.size(); ++i) {
    ASSERT_EQ(a.scores[i].score, b.scores[i].score) << i;
    ASSERT_EQ(a.scores[i].warming_up, b.scores[i].warming_up) << i;
  }
  EXPECT_EQ(a.parts, b.parts);
}

TEST(MultivariateByEntity, EachRowHasWhatItsEntitysDetectorSays) {
  const auto device = Device::cpu();
  const Events events;
  Explained expected;
  std::map<std::string, std::pair<MultivariateDetector, std::size_t>> alone;
  for (std::size_t i = 0; i < count; ++i) {
    auto& [detector, rows] =
        alone.try_emplace(events.names[i], MultivariateDetector(*device, model()), std::size_t{0})
            .first->second;
    const double score = detector.push({events.rows[i].values, metrics});
    // 30 rows fill the longest window, and four more distances are averaged.
    expected.scores.push_back({score, ++rows < 34});
    if (i % 5 == 4) detector.contributions(expected.parts.emplace_back(metrics));
  }
  for (const std::size_t cut : {1u, 3u, 64u, 400u}) {
    MultivariateByEntity table(*device, model());
    Explained found;
    push(table, events.rows, cut, 10, found);
    expect_equal(found, expected);
    EXPECT_EQ(table.entities(), 3u);
    EXPECT_EQ(table.warm(), 3u);
    EXPECT_EQ(table.warm_up_rows(), 3u * 34);
  }
}

TEST(MultivariateByEntity, WhoMakesWayDependsOnTheOrderOfRowsAlone) {
  const auto device = Device::cpu();
  const Events events;
  MultivariateByEntity singly(*device, model());
  Explained expected;
  push(singly, events.rows, 1, 2, expected);
  EXPECT_GT(singly.evicted(), 50u);
  for (const std::size_t cut : {7u, 400u}) {
    MultivariateByEntity table(*device, model());
    Explained found;
    push(table, events.rows, cut, 2, found);
    expect_equal(found, expected);
    EXPECT_EQ(table.entities(), 2u);
    EXPECT_EQ(table.evicted(), singly.evicted());
    EXPECT_EQ(table.warm(), singly.warm());
    EXPECT_EQ(table.warm_up_rows(), singly.warm_up_rows());
  }
}

TEST(MultivariateByEntity, ASnapshotGoesOnToTheBit) {
  const auto device = Device::cpu();
  const Events events;
  MultivariateByEntity whole(*device, model());
  Explained expected;
  push(whole, events.rows, 40, 2, expected);
  for (const std::size_t cut : {40u, 200u}) {
    MultivariateByEntity first(*device, model()), second(*device, model());
    Explained found;
    push(first, std::span(events.rows).first(cut), 40, 2, found);
    second.restore(first.snapshot());
    EXPECT_EQ(second.snapshot(), first.snapshot());
    EXPECT_EQ(second.warm_up_rows(), first.warm_up_rows());
    push(second, std::span(events.rows).subspan(cut), 40, 2, found);
    expect_equal(found, expected);
  }
}

TEST(MultivariateByEntity, ForeignSnapshotsAreRefusedAndChangeNothing) {
  const auto device = Device::cpu();
  const Events events;
  MultivariateByEntity table(*device, model());
  Explained found;
  push(table, std::span(events.rows).first(60), 40, 5, found);
  const std::vector<std::byte> before = table.snapshot();
  MultivariateByEntity other(
      *device, std::make_shared<const MultivariateModel>(fit_multivariate(machine(600, 3), metrics)));
  EXPECT_THROW(table.restore(other.snapshot()), std::invalid_argument);
  EXPECT_THROW(table.restore(std::span(before).first(before.size() - 1)), std::invalid_argument);
  std::vector<std::byte> damaged = before;
  damaged[100] ^= std::byte{1};
  EXPECT_THROW(table.restore(damaged), std::invalid_argument);
  EXPECT_EQ(table.snapshot(), before);
}

}  // namespace
}  // namespace lanner::engine
