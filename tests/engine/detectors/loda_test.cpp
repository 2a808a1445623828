#include "engine/detectors/loda/loda.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/engine/detectors/scoring.hpp"

namespace lanner::engine {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace): the tests' own folder
using ::testing::Each;
using ::testing::Ge;

// What was saved, read by nothing of the detector's own.
struct Saved {
  std::size_t features = 0, projections = 0;
  std::vector<float> shift, scale, weight, edges, penalties;
  std::vector<std::int64_t> edge_begin, penalty_begin;

  explicit Saved(const Fitted& fitted) {
    TensorWriter writer;
    fitted.save(writer);
    const std::vector<std::byte> bytes = writer.bytes();
    const TensorReader reader(bytes);
    projections = reader.shape("layers.0.weight")[0];
    features = reader.shape("layers.0.weight")[1];
    shift = reader.floats("input.shift");
    scale = reader.floats("input.scale");
    weight = reader.floats("layers.0.weight");
    edges = reader.floats("edges");
    penalties = reader.floats("penalties");
    for (const auto begin : reader.integers("edge_begin")) edge_begin.push_back(begin);
    for (const auto begin : reader.integers("penalty_begin")) penalty_begin.push_back(begin);
  }
  bool uses(std::size_t projection, std::size_t feature) const {
    return weight[projection * features + feature] != 0;
  }
  std::size_t used_by(std::size_t projection) const {
    std::size_t count = 0;
    for (std::size_t j = 0; j < features; ++j) count += uses(projection, j);
    return count;
  }
  double penalty(std::size_t projection, const float* row) const {
    double value = 0;
    for (std::size_t j = 0; j < features; ++j)
      value += static_cast<double>(weight[projection * features + j]) *
               (static_cast<double>(row[j]) - shift[j]) * scale[j];
    const auto first = edges.begin() + edge_begin[projection],
               last = edges.begin() + edge_begin[projection + 1];
    const auto bin = value == *(last - 1) ? last - first - 1 : std::upper_bound(first, last, value) - first;
    return penalties[static_cast<std::size_t>(penalty_begin[projection] + bin)];
  }
};

TEST(Loda, ProjectionsAreSparseRandomAndLeaveConstantsToThemselves) {
  Table training = normal_rows(300, 12, 1);
  for (std::size_t i = 0; i < 300; ++i) training.at(i, 3) = training.at(i, 7) = 4;
  const Saved saved(*fitted("loda", {{"projections", "500"}}, training));
  ASSERT_EQ(saved.projections, 502u);
  double sum = 0, squares = 0;
  std::vector<int> uses(12);
  for (std::size_t p = 0; p < 500; ++p) {
    EXPECT_EQ(saved.used_by(p), 4u) << "the root of ten, rounded up";
    for (std::size_t j = 0; j < 12; ++j) {
      const double w = saved.weight[p * 12 + j];
      uses[j] += saved.uses(p, j);
      sum += w;
      squares += w * w;
    }
  }
  // Of 2,000 weights; five standard errors.
  EXPECT_NEAR(sum / 2000, 0, 5 / std::sqrt(2000));
  EXPECT_NEAR(squares / 2000, 1, 5 * std::sqrt(2.0 / 2000));
  for (std::size_t j = 0; j < 12; ++j) {
    if (j == 3 || j == 7)
      EXPECT_EQ(uses[j], 0);
    else
      EXPECT_NEAR(uses[j], 200, 55) << "feature " << j;
  }
  for (const std::size_t p : {std::size_t{500}, std::size_t{501}}) {
    EXPECT_EQ(saved.used_by(p), 1u);
    EXPECT_TRUE(saved.uses(p, p == 500 ? 3 : 7));
  }
}

TEST(Loda, OfOneFeatureItIsTheHistogram) {
  const Table training = normal_rows(400, 1, 2), queries = normal_rows(50, 1, 3);
  for (const char* bins : {"10", "auto"}) {
    const auto by_itself = scores(*fitted("histogram", {{"bins", bins}}, training), queries);
    const auto projected = scores(*fitted("loda", {{"bins", bins}}, training), queries);
    for (std::size_t i = 0; i < 50; ++i) EXPECT_NEAR(projected[i], by_itself[i], 1e-4) << i;
  }
}

TEST(Loda, TheScoreIsTheMeanPenaltyAndSharedByTheDifferencesOfMeans) {
  const Table training = normal_rows(500, 6, 4);
  Table queries = normal_rows(20, 6, 5);
  for (std::size_t i = 0; i < 20; ++i) queries.at(i, i % 6) += 5;
  const auto model = fitted("loda", {}, training);
  const Saved saved(*model);
  const std::vector<float> found = scores(*model, queries);
  const Table parts = contributions(*model, queries);
  for (std::size_t i = 0; i < 20; ++i) {
    std::vector<double> penalties;
    double score = 0;
    for (std::size_t p = 0; p < saved.projections; ++p) {
      penalties.push_back(saved.penalty(p, queries.rows().row(i)));
      score += penalties.back();  // each is a hundredth of its projection's already
    }
    EXPECT_NEAR(found[i], score, 1e-5);
    std::vector<double> above;
    double positive = 0;
    for (std::size_t j = 0; j < 6; ++j) {
      double users = 0, others = 0, of_users = 0, of_others = 0;
      for (std::size_t p = 0; p < saved.projections; ++p) {
        (saved.uses(p, j) ? users : others) += 1;
        (saved.uses(p, j) ? of_users : of_others) += penalties[p];
      }
      above.push_back(std::max(of_users / users - of_others / others, 0.0));
      positive += above.back();
    }
    for (std::size_t j = 0; j < 6; ++j)
      EXPECT_NEAR(parts.rows().row(i)[j], score * above[j] / positive, 1e-4 * score) << i << " " << j;
  }
}

TEST(Loda, WhereEveryProjectionUsesEveryFeatureTheyShareAlike) {
  const auto model = fitted("loda", {}, normal_rows(200, 2, 6));
  const Table queries(2, {4, 0, 0, -5});
  const std::vector<float> found = scores(*model, queries);
  EXPECT_THAT(found, Each(Ge(1)));
  EXPECT_EQ(contributions(*model, queries).values,
            (std::vector<float>{found[0] / 2, found[0] / 2, found[1] / 2, found[1] / 2}));
}

TEST(Loda, UnitsDoNotMatter) {
  Table metres = normal_rows(300, 3, 7), mixed = metres;
  Table queries = normal_rows(30, 3, 8), of_mixed = queries;
  for (std::size_t i = 0; i < 300; ++i) mixed.at(i, 1) /= 1024;
  for (std::size_t i = 0; i < 30; ++i) of_mixed.at(i, 1) /= 1024;
  EXPECT_EQ(scores(*fitted("loda", {}, metres), queries), scores(*fitted("loda", {}, mixed), of_mixed));
}

}  // namespace
}  // namespace lanner::engine
