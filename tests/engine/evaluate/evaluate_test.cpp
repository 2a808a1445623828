#include "engine/evaluate/evaluate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "engine/evaluate/metrics.hpp"

namespace lanner::engine {
namespace {

// sklearn.metrics.roc_auc_score and average_precision_score, scikit-learn 1.2:
//   y = [0,0,1,1,0,1,0,0]; s = [.1,.4,.35,.8,.4,.4,.2,.1]
//   roc_auc_score(y, s) -> 0.8, average_precision_score(y, s) -> 0.7
TEST(Metrics, AgreeWithScikitLearnTiesIncluded) {
  const std::vector<int> labels{0, 0, 1, 1, 0, 1, 0, 0};
  const std::vector<float> scores{.1f, .4f, .35f, .8f, .4f, .4f, .2f, .1f};
  EXPECT_DOUBLE_EQ(auc_roc(labels, scores), 0.8);
  EXPECT_DOUBLE_EQ(average_precision(labels, scores), (1.0 + 2.0 / 4 + 3.0 / 5) / 3);
}

TEST(Metrics, OneClassAloneHasNone) {
  EXPECT_TRUE(std::isnan(auc_roc(std::vector<int>{1, 1}, std::vector<float>{1, 2})));
  EXPECT_TRUE(std::isnan(average_precision(std::vector<int>{0, 0}, std::vector<float>{1, 2})));
}

TEST(Metrics, AConstantScoreIsChance) {
  EXPECT_DOUBLE_EQ(auc_roc(std::vector<int>{1, 0, 0, 1}, std::vector<float>(4, 3.0f)), 0.5);
  EXPECT_DOUBLE_EQ(average_precision(std::vector<int>{1, 0, 0, 1}, std::vector<float>(4, 3.0f)), 0.5);
}

LabelledSet blob(std::size_t rows, std::size_t anomalies, std::uint64_t seed) {
  LabelledSet set{"blob", rows, 2, {}, {}};
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  for (std::size_t i = 0; i < rows; ++i) {
    const bool odd = i < anomalies;
    set.labels.push_back(odd);
    for (int c = 0; c < 2; ++c) set.values.push_back(normal(generator) + (odd ? 8 : 0));
  }
  return set;
}

double share(const LabelledSet& set, const std::vector<std::size_t>& rows) {
  return static_cast<double>(
             std::count_if(rows.begin(), rows.end(), [&](std::size_t row) { return set.labels[row] != 0; })) /
         static_cast<double>(rows.size());
}

TEST(Split, IsStratifiedSeededAndOfTheProtocolsSize) {
  const LabelledSet middling = blob(2000, 100, 1), large = blob(20'000, 1000, 1), small = blob(200, 20, 1);
  const Split one = split(middling, Protocol::adbench, 1);
  EXPECT_EQ(one.training.size(), 1400u);
  EXPECT_EQ(one.test.size(), 600u);
  EXPECT_NEAR(share(middling, one.training), 0.05, 1e-3);
  EXPECT_EQ(one.training, split(middling, Protocol::adbench, 1).training);
  EXPECT_NE(one.training, split(middling, Protocol::adbench, 2).training);
  const std::set<std::size_t> training(one.training.begin(), one.training.end());
  EXPECT_TRUE(std::none_of(one.test.begin(), one.test.end(),
                           [&](std::size_t row) { return training.contains(row); }));

  const Split cut = split(large, Protocol::adbench, 1);
  EXPECT_EQ(cut.training.size() + cut.test.size(), 10'000u);
  const Split drawn = split(small, Protocol::adbench, 1);
  EXPECT_EQ(drawn.training.size() + drawn.test.size(), 1000u);
  const Split clean = split(small, Protocol::clean, 1);
  EXPECT_EQ(clean.training.size() + clean.test.size(), 200u);
}

TEST(Split, ASetOfOneClassIsRefused) {
  EXPECT_THROW(split(blob(100, 1, 1), Protocol::clean, 1), std::invalid_argument);
}

TEST(Evaluate, FindsWhatStandsApart) {
  const auto device = Device::cpu();
  const LabelledSet set = blob(1000, 5, 3);
  const Evaluation result =
      evaluate(*device, set, split(set, Protocol::clean, 1), {"nearest_neighbours", {{"k", "10"}}}, 1);
  EXPECT_EQ(result.set, "blob");
  EXPECT_GT(result.auc_roc, 0.99);
  EXPECT_GT(result.average_precision, 0.9);
}

TEST(Evaluate, ASplitThatDoesNotFitIsRefused) {
  const auto device = Device::cpu();
  const LabelledSet set = blob(100, 10, 3);
  EXPECT_THROW(evaluate(*device, set, {{0, 1, 2}, {100}}, {"histogram", {}}, 1), std::invalid_argument);
}

}  // namespace
}  // namespace lanner::engine
