#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/detectors/nearest_neighbours/model.hpp"
#include "tests/engine/detectors/scoring.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the tests' own folder
using ::testing::ElementsAre;

// On a line: 0, 1, 1, 4, 10.
const Table line(1, {0, 1, 1, 4, 10});

TEST(NearestNeighbours, TheKthDistanceCountsDuplicates) {
  EXPECT_THAT(scores(*fitted("nearest_neighbours", {{"k", "1"}}, line), Table(1, {2, 0})), ElementsAre(1, 0));
  EXPECT_THAT(scores(*fitted("nearest_neighbours", {{"k", "3"}}, line), Table(1, {2, 0})), ElementsAre(2, 1));
}

TEST(NearestNeighbours, TheMeanDistanceWeighsDuplicates) {
  const auto model = fitted("nearest_neighbours", {{"k", "4"}, {"distance", "mean"}}, line);
  EXPECT_THAT(scores(*model, Table(1, {2})), ElementsAre((1 + 1 + 2 + 2) / 4.0f));
}

TEST(NearestNeighbours, AShareCountsRows) {
  // 0.6 of 5 rows: 3 neighbours. A share too small for one row is one; more than there are is all.
  const Table query(1, {2});
  EXPECT_EQ(scores(*fitted("nearest_neighbours", {{"k", "0.6"}}, line), query),
            scores(*fitted("nearest_neighbours", {{"k", "3"}}, line), query));
  EXPECT_EQ(scores(*fitted("nearest_neighbours", {{"k", "0.01"}}, line), query),
            scores(*fitted("nearest_neighbours", {{"k", "1"}}, line), query));
  EXPECT_EQ(scores(*fitted("nearest_neighbours", {{"k", "99"}}, line), query),
            scores(*fitted("nearest_neighbours", {{"k", "5"}}, line), query));
}

TEST(NearestNeighbours, AutoIsATenthOfTheRows) {
  const Table training = normal_rows(200, 3, 1), queries = normal_rows(20, 3, 2);
  EXPECT_EQ(scores(*fitted("nearest_neighbours", {}, training), queries),
            scores(*fitted("nearest_neighbours", {{"k", "20"}}, training), queries));
}

TEST(NearestNeighbours, LeavingOneOutIsFittingWithoutIt) {
  Table training = normal_rows(40, 3, 3);
  training.append(training.rows().slice(0, 6));
  training.append(training.rows().slice(0, 2));
  for (const char* distance : {"kth", "mean"}) {
    const std::map<std::string, std::string> given = {{"k", "4"}, {"distance", distance}};
    const auto left_out = leave_one_out(*fitted("nearest_neighbours", given, training));
    for (std::size_t i = 0; i < training.count(); ++i) {
      Table row(3);
      row.append(training.rows().slice(i, i + 1));
      EXPECT_EQ(left_out[i], scores(*fitted("nearest_neighbours", given, without(training, i)), row)[0]) << i;
    }
  }
}

TEST(NearestNeighbours, ADistanceSplitsByItsSquares) {
  // The neighbour at distance 5 lies 3 away in the first feature and 4 in the second.
  const Table training(2, {0, 0, 30, 0});
  const auto kth = contributions(*fitted("nearest_neighbours", {{"k", "1"}}, training), Table(2, {3, 4}));
  EXPECT_THAT(kth.values, ElementsAre(5 * 9 / 25.0f, 5 * 16 / 25.0f));
  // The mean of two adds the neighbour at sqrt(27^2 + 4^2).
  const auto mean = contributions(*fitted("nearest_neighbours", {{"k", "2"}, {"distance", "mean"}}, training),
                                  Table(2, {3, 4}));
  const double far = std::sqrt(745.0);
  EXPECT_FLOAT_EQ(mean.values[0], static_cast<float>((5 * 9 / 25.0 + far * 729 / 745) / 2));
  EXPECT_FLOAT_EQ(mean.values[1], static_cast<float>((5 * 16 / 25.0 + far * 16 / 745) / 2));
}

TEST(NearestNeighbours, HowItIsSearchedIsKeptInTheModel) {
  const Table training = normal_rows(3000, 9, 5), queries = normal_rows(50, 9, 6);
  const auto model = fitted("nearest_neighbours", {{"k", "7"}}, training);
  TensorWriter writer;
  model->save(writer);
  const TensorReader reader(writer.bytes());
  EXPECT_EQ(reader.unsigned_integers("references.plan.order").size(), 3000u);
  const auto loaded = nearest_neighbours::Model::load(reader);
  TensorWriter again;
  loaded->save(again);
  EXPECT_EQ(writer.bytes(), again.bytes());
  EXPECT_EQ(scores(*loaded, queries), scores(*model, queries));

  // As earlier versions wrote it, and as none did.
  const auto with = [&](std::vector<std::uint32_t> order) {
    TensorWriter other;
    const auto copy = [&](const char* name) {
      const auto values = reader.unsigned_integers(name);
      other.add(name, {values.size()}, std::span<const std::uint32_t>(values));
    };
    copy("references.distinct_of_row");
    other.add("references.values", {3000, 9}, std::span<const float>(reader.floats("references.values")));
    other.add("k", {1}, std::span<const std::int64_t>(reader.integers("k")));
    other.metadata("distance", "kth");
    if (!order.empty()) {
      copy("references.plan.cells");
      copy("references.plan.groups");
      other.add("references.plan.counts", {2},
                std::span<const double>(reader.doubles("references.plan.counts")));
      other.add("references.plan.order", {order.size()}, std::span<const std::uint32_t>(order));
    }
    return TensorReader(other.bytes());
  };
  EXPECT_EQ(scores(*nearest_neighbours::Model::load(with({})), queries), scores(*model, queries));
  std::vector<std::uint32_t> order = reader.unsigned_integers("references.plan.order");
  EXPECT_EQ(scores(*nearest_neighbours::Model::load(with(order)), queries), scores(*model, queries));
  order[5] = order[6];
  EXPECT_THROW(nearest_neighbours::Model::load(with(order)), InvalidModel);
}

}  // namespace
}  // namespace lanner::engine
