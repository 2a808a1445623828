// Every detector: what is said to be normal is, and no smaller change would do.
#include "engine/explain/explainer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include "kernels/arithmetic/environment.hpp"
#include "tests/engine/model/models.hpp"

namespace lanner::engine {
namespace {

using testing::Random;
using testing::Table;

constexpr std::size_t width = 5;

// Two features that go together, one of a scale of its own, two of noise.
Table usual(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  Table table(width);
  for (std::size_t i = 0; i < count; ++i) {
    const double shared = random.normal();
    for (const double value : {shared, shared + 0.3 * random.normal(), 500 + 40 * random.normal(),
                               random.normal(), random.uniform()})
      table.values.push_back(static_cast<float>(value));
  }
  return table;
}

/// Usual rows with one feature far out.
Table planted(std::size_t count) {
  Table table = usual(count, 77);
  for (std::size_t i = 0; i < count; ++i) {
    const double unit = i % width == 2 ? 40 : 1, side = i % 2 ? 1 : -1;
    table.at(i, i % width) += static_cast<float>(side * (9 + static_cast<double>(i % 3) * 4) * unit);
  }
  return table;
}

std::span<const float> row_of(const Table& table, std::size_t i) {
  return std::span(table.values).subspan(i * table.width, table.width);
}

float quantile(std::vector<float> scores, double share) {
  std::sort(scores.begin(), scores.end());
  return scores[static_cast<std::size_t>(share * static_cast<double>(scores.size() - 1))];
}

class Explained : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    model_ = testing::fit(usual(600, 3), testing::options_of(GetParam(), {{"scale", "robust"}}));
    explainer_ = std::make_unique<Explainer>(model_, *device_);
    most_ = quantile(scores(scaled(usual(400, 4))), 0.9);
  }
  /// As the model's plan makes them.
  Table scaled(const Table& rows) const {
    Table out(width);
    out.values.resize(rows.values.size());
    std::vector<std::uint8_t> refused(rows.count());
    std::vector<RowRefusal> reasons;
    model_->features().transform(testing::records_of(rows), 0, rows.count(), nullptr,
                                 {out.values.data(), rows.count(), width, width}, refused, reasons);
    return out;
  }
  std::vector<float> scores(const Table& rows) const { return testing::score(model_, rows.rows()).scores; }
  double spread(std::size_t column) const { return static_cast<double>(model_->examples()->spread[column]); }

  FloatEnvironment environment_;
  std::shared_ptr<Device> device_ = Device::cpu();
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Explainer> explainer_;
  float most_ = 0;
};

TEST_P(Explained, TheNearestNormalRowIsNormalAndTheNearest) {
  const Rows kept = model_->fitted().reference_rows();
  const std::vector<float>& examples = model_->examples()->rows;
  const Rows compared = kept.count > 0 ? kept : Rows{examples.data(), examples.size() / width, width, width};
  EXPECT_EQ(kept.count > 0, examples.empty()) << "rows are kept once";
  Table all(width);
  all.append(compared);
  const std::vector<float> all_scores = scores(all);
  const Table rows = scaled(planted(6));
  for (std::size_t i = 0; i < rows.count(); ++i) {
    const auto found = explainer_->nearest_normal(row_of(rows, i), most_);
    double nearest = std::numeric_limits<double>::infinity();
    for (std::size_t r = 0; r < compared.count; ++r) {
      double squared = 0;
      for (std::size_t j = 0; j < width; ++j)
        squared += std::pow((rows.rows().row(i)[j] - compared.row(r)[j]) / spread(j), 2);
      if (all_scores[r] <= most_) nearest = std::min(nearest, std::sqrt(squared));
    }
    ASSERT_TRUE(found) << i;
    EXPECT_LE(found->score, most_);
    EXPECT_EQ(scores(Table(width, found->row))[0], found->score);
    EXPECT_NEAR(found->distance, nearest, 1e-5 * nearest);
  }
}

TEST_P(Explained, TheChangedRowIsNormalAndASmallerChangeIsNot) {
  const Table rows = scaled(planted(20));
  const std::vector<float> before = scores(rows);
  std::size_t flagged = 0, found = 0, missed = 0;
  for (std::size_t i = 0; i < rows.count(); ++i) {
    const auto change = explainer_->counterfactual(row_of(rows, i), most_);
    if (before[i] <= most_) {
      EXPECT_FALSE(change) << "nothing is to be changed";
      continue;
    }
    ++flagged;
    if (!change) continue;
    ++found;
    Table changed(width, {row_of(rows, i).begin(), row_of(rows, i).end()});
    changed.at(0, change->column) = change->to;
    EXPECT_EQ(scores(changed)[0], change->score) << i;
    EXPECT_LE(change->score, most_) << i;
    EXPECT_NEAR(change->size,
                std::fabs(change->to - rows.rows().row(i)[change->column]) / spread(change->column),
                1e-6 * change->size);
    EXPECT_EQ(model_->features().from_natural(change->column, change->value), change->to);

    Table smaller = changed;
    smaller.at(0, change->column) +=
        static_cast<float>(1e-5 * (rows.rows().row(i)[change->column] - change->to));
    EXPECT_GT(scores(smaller)[0], most_) << i;
    // Smaller changes of any feature, on both sides.
    Table all(width);
    for (std::size_t j = 0; j < width; ++j)
      for (const double side : {-1, 1})
        for (int part = 1; part < 400; ++part) {
          all.append(rows.rows().slice(i, i + 1));
          all.at(all.count() - 1, j) += static_cast<float>(side * part / 400 * change->size * spread(j));
        }
    const std::vector<float> after = scores(all);
    missed += *std::min_element(after.begin(), after.end()) <= most_;
  }
  EXPECT_GE(flagged, 10u);
  EXPECT_GE(10 * found, 8 * flagged) << "one feature was changed, so one can be changed back";
  // Trees cut the values into ranges that can be narrower than the steps of the search.
  const bool has_trees = GetParam() == "isolation_forest" || GetParam() == "half_space_trees" ||
                         GetParam() == "extended_isolation_forest" || GetParam() == "random_cut_forest" ||
                         GetParam() == "ensemble";
  EXPECT_LE(missed, has_trees ? found / 10 : 0);
}

INSTANTIATE_TEST_SUITE_P(Catalogue, Explained, ::testing::ValuesIn(testing::detector_names()),
                         [](const auto& info) { return info.param; });

TEST(Explainer, NoSingleFeatureCanWhereTwoAreFarOut) {
  const FloatEnvironment environment;
  const auto device = Device::cpu();
  const auto model = testing::fit(usual(600, 3), testing::options_of("nearest_neighbours", {{"k", "10"}}));
  Explainer explainer(model, *device);
  Table row = usual(1, 5);
  row.at(0, 3) = 30;
  row.at(0, 4) = 30;
  EXPECT_FALSE(explainer.counterfactual(row_of(row, 0), 5));
  row.at(0, 4) = 0.5;
  EXPECT_TRUE(explainer.counterfactual(row_of(row, 0), 25));
}

TEST(Explainer, ValuesAreThoseOfTheFieldsAndGiveTheRowAgain) {
  const FloatEnvironment environment;
  const auto device = Device::cpu();
  Random random(8);
  Records records;
  records.count = 800;
  records.columns.resize(3);
  for (std::size_t i = 0; i < records.count; ++i) {
    records.columns[0].numbers.push_back(1e6 + 1000 * random.normal());
    records.columns[1].numbers.push_back(std::exp(3 + random.normal()));
    records.columns[2].texts.push_back(i % 3 ? "a" : "b");
    records.columns[2].missing.push_back(0);
  }
  const Schema schema{{{"level"}, {"amount"}, {"kind", ColumnKind::text}}, "", "", ""};
  FitOptions options = testing::options_of("mahalanobis", {{"scale", "standard"}});
  FeatureSpec level, amount, kind;
  level.name = level.field = "level";
  amount.name = amount.field = "amount";
  amount.kind = FeatureKind::log1p;
  kind.name = kind.field = "kind";
  kind.kind = FeatureKind::one_hot;
  options.features = {level, amount, kind};
  const auto model = Model::fit(*device, schema, records, options);
  Explainer explainer(model, *device);
  const float most = model->calibration()->scores.back();

  Records strange;
  strange.count = 2;
  strange.columns.resize(3);
  for (std::size_t i = 0; i < 2; ++i) strange.columns[2].texts.push_back("a");
  strange.columns[2].missing = {0, 0};
  strange.columns[0].numbers = {1e6 + 20'000, 1e6};
  strange.columns[1].numbers = {20, 9e7};
  for (std::size_t i = 0; i < 2; ++i) {
    const std::size_t at = model->features().width();
    std::vector<float> rows(2 * at);
    std::vector<std::uint8_t> refused(2);
    std::vector<RowRefusal> reasons;
    const auto transform = [&] {
      model->features().transform(strange, 0, 2, nullptr, {rows.data(), 2, at, at}, refused, reasons);
      return testing::score(model, {rows.data(), 2, at, at}).scores[i];
    };
    EXPECT_GT(transform(), most);
    const auto change = explainer.counterfactual(std::span(rows).subspan(i * at, at), most);
    ASSERT_TRUE(change);
    EXPECT_EQ(change->column, i);
    strange.columns[i].numbers[i] = change->value;
    const float score = transform();
    EXPECT_EQ(score, change->score);
    EXPECT_LE(score, most);
    EXPECT_EQ(rows[i * at + i], change->to);
  }
  EXPECT_LT(strange.columns[0].numbers[0], 1e6 + 20'000);
  EXPECT_GT(strange.columns[0].numbers[0], 1e6);
  EXPECT_LT(strange.columns[1].numbers[1], 9e7);
  EXPECT_TRUE(model->features().stands_alone(1));
  EXPECT_FALSE(model->features().stands_alone(2)) << "one of a category's columns";
}

TEST(Explainer, AnExplanationNeedsExamplesAndARowOfTheModelsWidth) {
  const FloatEnvironment environment;
  const auto device = Device::cpu();
  const auto model = testing::fit(usual(200, 3), testing::options_of("histogram", {}));
  std::vector<std::byte> earlier = model->bytes();
  const std::string_view name = "\"examples.spread\":";
  const auto same = [](std::byte byte, char letter) { return byte == static_cast<std::byte>(letter); };
  const auto at = std::search(earlier.begin(), earlier.end(), name.begin(), name.end(), same);
  ASSERT_NE(at, earlier.end());
  *(at + 1) = std::byte{'E'};
  EXPECT_THROW(Explainer(Model::from_bytes(earlier), *device), std::invalid_argument);
  Explainer explainer(model, *device);
  const std::vector<float> narrow(width - 1);
  EXPECT_THROW(explainer.nearest_normal(narrow, 1), std::invalid_argument);
  EXPECT_THROW(explainer.counterfactual(narrow, 1), std::invalid_argument);
}

}  // namespace
}  // namespace lanner::engine
