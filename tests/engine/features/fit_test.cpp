// What is learned, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/features/features.hpp"
#include "tests/engine/features/events.hpp"

namespace lanner::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

FeatureSpec scaled(Scale scale, Missing missing = Missing::refuse) {
  auto spec = feature("x", FeatureKind::identity, "x");
  spec.scale = scale;
  spec.missing = missing;
  return spec;
}

FeaturePlan fitted(FeatureSpec spec, const std::vector<double>& values) {
  return FeaturePlan::fit(numbers({"x"}), {std::move(spec)}, column_of(values));
}

TEST(Scales, MinmaxIsScikitLearnsMinMaxScaler) {
  // MinMaxScaler().fit([[-1.5], [2.25], [0.5], [10]]).transform([[-1.5], [10], [2.25], [20], [-3]]),
  // scikit-learn 1.2.
  const auto plan = fitted(scaled(Scale::minmax), {-1.5, 2.25, 0.5, 10});
  const Result result = transform_all(plan, column_of({-1.5, 10, 2.25, 20, -3}));
  const std::vector<double> expected{0, 1, 0.32608695652173914, 1.8695652173913044, -0.13043478260869565};
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_FLOAT_EQ(result.at(i), static_cast<float>(expected[i]));
}

TEST(Scales, StandardIsMeanAndPopulationDeviation) {
  const auto plan = fitted(scaled(Scale::standard), {1, 2, 3, 4});
  const Result result = transform_all(plan, column_of({2.5, 2.5 + std::sqrt(1.25), 0}));
  EXPECT_FLOAT_EQ(result.at(0), 0);
  EXPECT_FLOAT_EQ(result.at(1), 1);
  EXPECT_FLOAT_EQ(result.at(2), static_cast<float>(-2.5 / std::sqrt(1.25)));
}

TEST(Scales, RobustIsMedianAndInterpolatedQuartiles) {
  // numpy: median 3.5, quartiles 2.25 and 4.75.
  const auto plan = fitted(scaled(Scale::robust), {6, 1, 5, 2, 4, 3});
  const Result result = transform_all(plan, column_of({3.5, 3.5 + 2.5 / 1.349, 100}));
  EXPECT_FLOAT_EQ(result.at(0), 0);
  EXPECT_FLOAT_EQ(result.at(1), 1);
  EXPECT_FLOAT_EQ(result.at(2), static_cast<float>(96.5 * 1.349 / 2.5));
}

TEST(Scales, RobustFallsBackToTheDeviationWhereTheQuartilesMeet) {
  const auto plan = fitted(scaled(Scale::robust), {0, 0, 0, 0, 0, 0, 0, 0, 0, 10});
  EXPECT_FLOAT_EQ(transform_all(plan, column_of({6})).at(0), 2);  // deviation 3
}

TEST(Scales, ConstantColumnsKeepUnseenValuesVisible) {
  for (const Scale scale : {Scale::standard, Scale::robust, Scale::minmax}) {
    const Result large = transform_all(fitted(scaled(scale), {-200, -200, -200}), column_of({-200, 0, -100}));
    EXPECT_THAT(large.values, ElementsAre(0, 1, 0.5));
    const Result small = transform_all(fitted(scaled(scale), {0.25, 0.25}), column_of({0.25, 3.25}));
    EXPECT_THAT(small.values, ElementsAre(0, 3));
  }
}

TEST(Scales, LearnedFromValuesThatAreThere) {
  const auto plan = fitted(scaled(Scale::minmax, Missing::median), {absent, 0, absent, 10, 2, absent});
  // The median is 2 and stands in before scaling.
  EXPECT_THAT(transform_all(plan, column_of({absent, 5})).values, ElementsAre(0.2f, 0.5f));
}

TEST(Scales, ExtremeValuesGiveFiniteScales) {
  for (const Scale scale : {Scale::standard, Scale::robust, Scale::minmax}) {
    for (const double size : {1e308, 1e200, 1e-200, 1e-310}) {
      std::vector<double> values;
      for (int i = 0; i < 9; ++i) values.push_back(size / 4 * (1 + i % 3));
      const Result result = transform_all(fitted(scaled(scale), values), column_of(values));
      for (std::size_t i = 0; i < values.size(); ++i) {
        EXPECT_EQ(result.refused[i], 0) << size;
        EXPECT_LE(std::fabs(result.at(i)), 3) << size;
      }
      EXPECT_NE(result.at(0), result.at(1)) << size;
    }
  }
}

TEST(Missing_, StandsInAsThePolicySays) {
  const std::vector<double> values{1, absent, 2, 9, absent};
  EXPECT_FLOAT_EQ(transform_all(fitted(scaled(Scale::none, Missing::mean), values), column_of(values)).at(1),
                  4);
  EXPECT_FLOAT_EQ(
      transform_all(fitted(scaled(Scale::none, Missing::median), values), column_of(values)).at(1), 2);
  auto spec = scaled(Scale::none, Missing::value);
  spec.missing_value = -7;
  EXPECT_FLOAT_EQ(transform_all(fitted(spec, values), column_of(values)).at(1), -7);
}

TEST(Missing_, RefusesTheRowByItsFeature) {
  const Schema schema = numbers({"a", "b"});
  Records records;
  records.count = 5;
  records.columns.resize(2);
  records.columns[0].numbers = {1, absent, 1, 1, 1e39};
  records.columns[1].numbers = {1, 1, -infinite, absent, 1};
  auto tolerant = feature("second", FeatureKind::identity, "b");
  tolerant.missing = Missing::value;
  const auto plan =
      FeaturePlan::fit(schema, {feature("first", FeatureKind::identity, "a"), tolerant}, records);
  const Result result = transform_all(plan, records);
  EXPECT_THAT(result.refused, ElementsAre(0, 1, 1, 0, 1));
  ASSERT_EQ(result.reasons.size(), 3u);
  EXPECT_EQ(result.reasons[0].row, 1u);
  EXPECT_EQ(result.reasons[0].reason, "first: missing");
  EXPECT_EQ(result.reasons[1].row, 2u);
  EXPECT_EQ(result.reasons[1].reason, "second: not finite");
  EXPECT_EQ(result.reasons[2].row, 4u);
  EXPECT_EQ(result.reasons[2].reason, "first: not finite");
  for (const std::size_t row : {1u, 2u, 4u}) {
    EXPECT_EQ(result.at(row, 0), 0);
    EXPECT_EQ(result.at(row, 1), 0);
  }
  EXPECT_EQ(result.at(3, 1), 0);
}

TEST(Fit, TransformOfTheTrainingRowsIsTheScaledRows) {
  // The rows that a plan with no scales gives, scaled by hand, are what the plan with scales gives.
  const Records records = payments(1500, 3);
  auto specs = payment_features();
  for (FeatureSpec& spec : specs) spec.scale = Scale::none;
  const Result raw = transform_all(FeaturePlan::fit(payment_schema(), specs, records), records);
  for (FeatureSpec& spec : specs) spec.scale = Scale::minmax;
  const Result scaled = transform_all(FeaturePlan::fit(payment_schema(), specs, records), records);
  ASSERT_EQ(raw.refused, scaled.refused);
  for (std::size_t c = 0; c < raw.width; ++c) {
    float low = infinite, high = -infinite;
    for (std::size_t i = 0; i < records.count; ++i) {
      if (raw.refused[i]) continue;
      low = std::min(low, scaled.at(i, c));
      high = std::max(high, scaled.at(i, c));
    }
    // Stand-ins lie within the column's range but for the stated -3 of item_mean.
    if (c + 1 < raw.width) {
      EXPECT_EQ(low, 0) << c;
    }
    EXPECT_LE(high, 1) << c;
  }
}

TEST(Fit, RefusesWhatDoesNotFit) {
  const Schema schema = payment_schema();
  const Records records = payments(50, 1);
  const auto says = [&](std::vector<FeatureSpec> specs, const std::string& what, const Records& rows,
                        FeatureLimits limits = {}) {
    try {
      FeaturePlan::fit(schema, std::move(specs), rows, limits);
      ADD_FAILURE() << "accepted: " << what;
    } catch (const std::invalid_argument& error) {
      EXPECT_THAT(error.what(), HasSubstr(what));
    }
  };
  const auto good = feature("a", FeatureKind::identity, "amount");
  says({}, "no features", records);
  says({feature("", FeatureKind::identity, "amount")}, "no name", records);
  says({good, good}, "two features", records);
  says({feature("a", FeatureKind::identity, "amuont")}, "no field 'amuont'", records);
  says({feature("a", FeatureKind::identity, "country")}, "takes a field of numbers", records);
  says({feature("a", FeatureKind::rarity, "amount")}, "takes a field of text", records);
  says({feature("a", FeatureKind::identity)}, "needs a field", records);
  says({feature("a", FeatureKind::count, "amount", second)}, "takes no field", records);
  says({feature("a", FeatureKind::count)}, "window", records);
  says({feature("a", FeatureKind::mean, "amount", -5)}, "window", records);
  says({feature("a", FeatureKind::identity, "amount", 5)}, "takes no window", records);
  auto bad = good;
  bad.missing_value = infinite;
  says({bad}, "finite", records);
  bad = feature("a", FeatureKind::one_hot, "country");
  bad.categories_max = 0;
  says({bad}, "categories_max", records);
  says({good}, "entities_max", records, {.entities_max = 0});
  says({good}, "events_total_max", records, {.events_max = 10, .events_total_max = 9});

  Records empty;
  empty.columns.resize(3);
  says({good}, "no rows", empty);
  Records untimed = records;
  untimed.time.clear();
  says({good, feature("d", FeatureKind::time_of_day)}, "d: time_of_day needs times", untimed);
  says({good, feature("n", FeatureKind::count, "", second)}, "needs times", untimed);
  Records nobody = records;
  nobody.entity.clear();
  says({feature("n", FeatureKind::count, "", second)}, "customer", nobody);
  Records narrow = records;
  narrow.columns.pop_back();
  says({good}, "columns", narrow);
  Records ragged = records;
  ragged.columns[1].numbers.pop_back();
  says({good}, "'items'", ragged);

  Records hollow = records;
  for (double& v : hollow.columns[0].numbers) v = absent;
  auto learned = good;
  learned.missing = Missing::mean;
  says({learned}, "a: no training row has a value", hollow);
  // With nothing to learn there is nothing to refuse.
  EXPECT_NO_THROW(FeaturePlan::fit(schema, {good}, hollow));
}

TEST(Fit, RefusedRowsTeachNothing) {
  Records records = column_of({1, 2, 3, 1000});
  records.refused.push_back({3, "because"});
  const auto plan = FeaturePlan::fit(numbers({"x"}), {scaled(Scale::minmax)}, records);
  EXPECT_FLOAT_EQ(transform_all(plan, column_of({3})).at(0), 1);

  // Nor does a row that another feature refuses.
  Schema schema{{{"x", ColumnKind::number}, {"c", ColumnKind::text}}, "", "", ""};
  Records both = texts_of({"a", "b", "b", "b"});
  both.columns.insert(both.columns.begin(), Column{});
  both.columns[0].numbers = {1, infinite, infinite, 2};
  const auto joined = FeaturePlan::fit(
      schema, {feature("x", FeatureKind::identity, "x"), feature("c", FeatureKind::one_hot, "c")}, both);
  EXPECT_THAT(joined.column_names(), ElementsAre("x", "c=a", "c=b", "c=(other)"))
      << "a and b tie, so the alphabet decides";
}

TEST(Transform, RefusesShapesThatAreNotThePlans) {
  const Records records = payments(20, 1);
  const auto plan = FeaturePlan::fit(payment_schema(), payment_features(), records);
  const auto other =
      FeaturePlan::fit(payment_schema(), {feature("n", FeatureKind::count, "", second)}, records);
  std::vector<float> values(20 * plan.width());
  std::vector<std::uint8_t> refused(20);
  std::vector<RowRefusal> reasons;
  const MutableRows out{values.data(), 20, plan.width(), plan.width()};
  const auto state = plan.make_state();
  EXPECT_THROW(plan.transform(records, 0, 21, state.get(), out, refused, reasons), std::invalid_argument);
  EXPECT_THROW(plan.transform(records, 0, 20, nullptr, out, refused, reasons), std::invalid_argument);
  EXPECT_THROW(plan.transform(records, 0, 20, other.make_state().get(), out, refused, reasons),
               std::invalid_argument);
  EXPECT_THROW(plan.transform(records, 0, 20, state.get(), out, std::span(refused).first(19), reasons),
               std::invalid_argument);
  MutableRows narrow = out;
  narrow.width -= 1;
  EXPECT_THROW(plan.transform(records, 0, 20, state.get(), narrow, refused, reasons), std::invalid_argument);
  EXPECT_NO_THROW(plan.transform(records, 0, 20, state.get(), out, refused, reasons));
  EXPECT_NO_THROW(plan.transform(records, 20, 20, state.get(), out, refused, reasons));
}

TEST(Transform, WritesOnlyTheRowsWidth) {
  const auto plan = FeaturePlan::fit(numbers({"x"}), {scaled(Scale::standard)}, column_of({1, 2, absent}));
  std::vector<float> values(3 * 8, 55);
  std::vector<std::uint8_t> refused(3);
  std::vector<RowRefusal> reasons;
  plan.transform(column_of({1, absent, 2}), 0, 3, nullptr, {values.data(), 3, 1, 8}, refused, reasons);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i % 8 != 0) {
      EXPECT_EQ(values[i], 55);
    }
  }
}

TEST(Identity, DenseRowsAreCopiedAndChecked) {
  for (const std::size_t width : {1u, 3u, 16u, 5000u}) {
    std::vector<std::string> names;
    for (std::size_t c = 0; c < width; ++c) names.push_back("f" + std::to_string(c));
    const Schema schema = numbers(names);
    const std::size_t count = 300;
    std::vector<float> floats(count * width);
    std::vector<double> doubles(count * width);
    for (std::size_t i = 0; i < floats.size(); ++i)
      doubles[i] = floats[i] = static_cast<float>(i) * 0.37f - 100;
    const std::size_t bad[] = {0, 7, 255, 299};
    for (const std::size_t row : bad) {
      const std::size_t at = row * width + row % width;
      floats[at] = row == 7 ? static_cast<float>(infinite) : static_cast<float>(absent);
      doubles[at] = row == 7 ? 1e39 : absent;
    }
    Records records;
    records.count = count;
    records.refused = {{7, "elsewhere"}, {8, "elsewhere"}};
    records.dense = {floats.data(), nullptr, width};
    const auto plan = FeaturePlan::fit(schema, identity_features(schema, Scale::none), records);
    ASSERT_TRUE(plan.is_identity());
    EXPECT_FALSE(plan.has_windows());
    for (const bool single : {true, false}) {
      records.dense = single ? Dense{floats.data(), nullptr, width} : Dense{nullptr, doubles.data(), width};
      for (const std::size_t padding : {0u, 5u}) {
        const std::size_t begin = 5, end = 300, stride = width + padding;
        std::vector<float> out((end - begin) * stride, 55);
        std::vector<std::uint8_t> refused(end - begin, 77);
        std::vector<RowRefusal> reasons;
        plan.transform(records, begin, end, nullptr, {out.data(), end - begin, width, stride}, refused,
                       reasons);
        ASSERT_EQ(reasons.size(), 2u);
        EXPECT_EQ(reasons[0].row, 255u);
        EXPECT_EQ(reasons[0].reason, "f" + std::to_string(255 % width) + ": missing");
        EXPECT_EQ(reasons[1].row, 299u);
        for (std::size_t row = begin; row < end; ++row) {
          const bool out_of = row == 7 || row == 8 || row == 255 || row == 299;
          ASSERT_EQ(refused[row - begin], out_of) << row;
          for (std::size_t c = 0; c < width; ++c)
            ASSERT_EQ(out[(row - begin) * stride + c], out_of ? 0 : floats[row * width + c])
                << row << ' ' << c;
        }
      }
    }
    records.refused.clear();
    records.dense = {nullptr, doubles.data(), width};
    EXPECT_EQ(transform_all(plan, records).reasons[1].reason,
              "f" + std::to_string(7 % width) + ": not finite");
  }
}

TEST(Identity, DenseFloatsAreViewedWhereNoneIsRefused) {
  const Schema schema = numbers({"a", "b"});
  std::vector<float> floats{1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<double> doubles(floats.begin(), floats.end());
  Records records;
  records.count = 4;
  records.dense.floats = floats.data();
  records.dense.width = 2;
  const auto plan = FeaturePlan::fit(schema, identity_features(schema, Scale::none), records);
  const auto rows = plan.viewed(records, 1, 4);
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->data, floats.data() + 2);
  EXPECT_EQ(rows->count, 3u);
  EXPECT_EQ(rows->width, 2u);
  EXPECT_EQ(rows->stride, 2u);
  EXPECT_THROW(plan.viewed(records, 2, 5), std::invalid_argument);

  floats[1] = static_cast<float>(infinite);
  EXPECT_TRUE(plan.viewed(records, 1, 4));
  EXPECT_FALSE(plan.viewed(records, 0, 4));
  floats[1] = 2;
  const auto scaled = FeaturePlan::fit(schema, identity_features(schema, Scale::standard), records);
  EXPECT_FALSE(scaled.viewed(records, 0, 4));
  records.refused = {{3, "elsewhere"}};
  EXPECT_FALSE(plan.viewed(records, 0, 4));
  records.refused.clear();
  records.dense = {nullptr, doubles.data(), 2};
  EXPECT_FALSE(plan.viewed(records, 0, 4));
  records.dense.width = 1;
  EXPECT_THROW(plan.viewed(records, 0, 4), std::invalid_argument);
}

TEST(Identity, DenseAndColumnsAgree) {
  const Schema schema = numbers({"a", "b"});
  const std::vector<double> dense{1, 2.5, absent, 4, 5, infinite, 7, 8e40, 9, 1e-45};
  Records rows, columns;
  rows.count = columns.count = 5;
  rows.dense.doubles = dense.data();
  rows.dense.width = 2;
  columns.columns.resize(2);
  for (std::size_t i = 0; i < dense.size(); ++i) columns.columns[i % 2].numbers.push_back(dense[i]);
  for (const Scale scale : {Scale::none, Scale::standard}) {
    const auto plan = FeaturePlan::fit(schema, identity_features(schema, scale), rows);
    EXPECT_EQ(plan.is_identity(), scale == Scale::none);
    EXPECT_EQ(transform_all(plan, rows), transform_all(plan, columns));
  }
}

TEST(Identity, IsOnlyTheFieldsInTheirOrder) {
  const Schema schema = numbers({"a", "b"});
  Records records;
  records.count = 1;
  records.columns.resize(2);
  records.columns[0].numbers = records.columns[1].numbers = {1};
  const auto a = feature("a", FeatureKind::identity, "a"), b = feature("b", FeatureKind::identity, "b");
  EXPECT_TRUE(FeaturePlan::fit(schema, {a, b}, records).is_identity());
  EXPECT_FALSE(FeaturePlan::fit(schema, {b, a}, records).is_identity());
  EXPECT_FALSE(FeaturePlan::fit(schema, {a}, records).is_identity());
  auto tolerant = b;
  tolerant.missing = Missing::value;
  EXPECT_FALSE(FeaturePlan::fit(schema, {a, tolerant}, records).is_identity());
  auto logarithm = b;
  logarithm.kind = FeatureKind::log1p;
  EXPECT_FALSE(FeaturePlan::fit(schema, {a, logarithm}, records).is_identity());
}

}  // namespace
}  // namespace lanner::engine
