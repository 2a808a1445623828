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
  machine_set.labels.pop_back();
  EXPECT_THROW(evaluate_machine(*device, machine_set), std::invalid_argument);
}

}  // namespace
}  // namespace lanner::engine
