#include "engine/evaluate/server_metrics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "tests/engine/series/made_series.hpp"

namespace lanner::engine {
namespace {

TEST(EventRecall, CountsEventsAtTheBudget) {
  const std::vector<int> labels{0, 1, 1, 0, 0, 1, 0, 0, 1, 0};
  const std::vector<float> scores{1, 0, 9, 2, 3, 5, 8, 1, 8, 1};
  EXPECT_EQ(event_count(labels), 3u);
  // No normal row may be flagged: only the event above 8; a tie is no find.
  EXPECT_DOUBLE_EQ(event_recall(labels, scores, 0), 1 / 3.0);
  // One of six may: then 3 is the highest that must stay quiet.
  EXPECT_DOUBLE_EQ(event_recall(labels, scores, 0.2), 1);
  EXPECT_DOUBLE_EQ(event_recall(labels, scores, 1), 1);
}

TEST(EventRecall, IsNothingWithoutEvents) {
  EXPECT_TRUE(std::isnan(event_recall(std::vector<int>{0, 0}, std::vector<float>{1, 2}, 0.1)));
  EXPECT_EQ(event_count(std::vector<int>{1, 1}), 1u);
}

TEST(EvaluateMachine, LearnsAndScores) {
  LabelledMachine machine_set{"made", 3, machine(600, 3), machine(120, 4), std::vector<int>(120)};
  for (std::size_t i = 62; i < 120; ++i) machine_set.labels[i] = 1;
  const auto device = Device::cpu();
  MultivariateParameters parameters;
  parameters.windows = {5, 30};
  const MachineEvaluation result = evaluate_machine(*device, machine_set, parameters);
  EXPECT_EQ(result.rows, 120u);
  EXPECT_EQ(result.events, 1u);
  EXPECT_GT(result.auc_roc, 0.8);
  EXPECT_EQ(result.event_recall, 1);
  EXPECT_EQ(result.events_explained, 0u);
  EXPECT_TRUE(std::isnan(result.hits.first));
  machine_set.labels.pop_back();
  EXPECT_THROW(evaluate_machine(*device, machine_set), std::invalid_argument);
}

TEST(EvaluateMachine, RanksWhatIsListedAgainstARandomRanking) {
  // The second metric, which is noise, stands still far out for ten rows; later the first does.
  LabelledMachine made{"made", 3, machine(600, 3), machine(200, 3), std::vector<int>(200)};
  for (const auto& [begin, metric] : {std::pair{60u, 1u}, {140u, 0u}}) {
    for (std::size_t i = begin; i < begin + 10; ++i) {
      made.test[3 * i + metric] = 4000;
      made.labels[i] = 1;
    }
    made.explained.push_back({begin, {metric}});
  }
  const auto device = Device::cpu();
  MultivariateParameters parameters;
  parameters.windows = {5, 30};
  const MachineEvaluation plain =
      evaluate_machine(*device, {made.name, 3, made.train, made.test, made.labels}, parameters);
  const MachineEvaluation right = evaluate_machine(*device, made, parameters);
  EXPECT_EQ(right.auc_roc, plain.auc_roc) << "explaining changes no score";
  EXPECT_EQ(right.average_precision, plain.average_precision);
  EXPECT_EQ(right.events_explained, 2u);
  EXPECT_EQ(right.hits.first, 1);
  EXPECT_EQ(right.hits.hit_rate_100, 1);
  EXPECT_DOUBLE_EQ(right.random_hits.first, 1 / 3.0);
  EXPECT_DOUBLE_EQ(right.random_hits.hit_rate_100, 1 / 3.0);
  made.explained[0].metrics = {0, 2};
  const MachineEvaluation half = evaluate_machine(*device, made, parameters);
  EXPECT_EQ(half.hits.first, 0.5);
  EXPECT_DOUBLE_EQ(half.random_hits.hit_rate_150, (1 + 1 / 3.0) / 2);

  made.explained[0].begin = 61;
  EXPECT_THROW(evaluate_machine(*device, made, parameters), std::invalid_argument);
  made.explained[0] = {60, {3}};
  EXPECT_THROW(evaluate_machine(*device, made, parameters), std::invalid_argument);
}

}  // namespace
}  // namespace lanner::engine
