// Each kind of feature against a simple computation of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/features/features.hpp"
#include "tests/engine/features/events.hpp"

namespace lanner::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Kinds, NamesGoBackAndForth) {
  EXPECT_EQ(feature_kinds().size(), 11u);
  for (const FeatureKindInfo& kind : feature_kinds()) {
    EXPECT_EQ(name(kind.kind), kind.name);
    EXPECT_EQ(parse_feature_kind(kind.name), kind.kind);
    EXPECT_FALSE(kind.summary.empty());
    EXPECT_TRUE(kind.takes_field || !kind.takes_text);
    EXPECT_TRUE(kind.takes_time || !kind.takes_window);
  }
  EXPECT_EQ(parse_feature_kind("log2"), std::nullopt);
  for (const Scale scale : {Scale::none, Scale::standard, Scale::robust, Scale::minmax})
    EXPECT_EQ(parse_scale(name(scale)), scale);
  EXPECT_EQ(parse_scale("zscore"), std::nullopt);
}

TEST(Kinds, SchemaIsTheFieldsInOrderOfMention) {
  const FeatureSpec specs[] = {
      feature("a", FeatureKind::log1p, "amount"), feature("n", FeatureKind::count, "", second),
      feature("c", FeatureKind::rarity, "country"), feature("b", FeatureKind::identity, "amount"),
      feature("m", FeatureKind::mean, "items", second)};
  const Schema schema = schema_of(specs, "customer", "at", "payment");
  EXPECT_EQ(
      schema,
      (Schema{{{"amount", ColumnKind::number}, {"country", ColumnKind::text}, {"items", ColumnKind::number}},
              "customer",
              "at",
              "payment"}));
}

TEST(Kinds, FieldUsedAsNumberAndAsTextIsAConflict) {
  const FeatureSpec specs[] = {feature("a", FeatureKind::log1p, "code"),
                               feature("r", FeatureKind::rarity, "code")};
  try {
    schema_of(specs, "", "", "");
    FAIL();
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr("r: field 'code'"));
  }
}

TEST(Kinds, IdentityFeaturesAreTheNumbers) {
  const auto specs = identity_features(payment_schema(), Scale::minmax);
  ASSERT_EQ(specs.size(), 2u);
  EXPECT_EQ(specs[1].name, "items");
  EXPECT_EQ(specs[1].field, "items");
  EXPECT_EQ(specs[1].scale, Scale::minmax);
}

TEST(Kinds, Log1pKeepsTheSign) {
  const std::vector<double> values{0, 1, -1, 1e-12, 912.5, -1e300, 1.7e308};
  const auto plan =
      FeaturePlan::fit(numbers({"x"}), {feature("x", FeatureKind::log1p, "x")}, column_of(values));
  const Result result = transform_all(plan, column_of(values));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto expected = static_cast<float>(std::copysign(std::log1p(std::fabs(values[i])), values[i]));
    EXPECT_FLOAT_EQ(result.at(i), expected) << values[i];
    EXPECT_EQ(result.refused[i], 0);
  }
}

TEST(Kinds, OneHotKeepsTheMostFrequentAndTheRestAreOther) {
  auto spec = feature("c", FeatureKind::one_hot, "c");
  spec.categories_max = 2;
  spec.missing = Missing::value;
  const Schema schema{{{"c", ColumnKind::text}}, "", "", ""};
  // b: 3, then d and a tie with 2: the alphabet decides.
  const auto plan = FeaturePlan::fit(schema, {spec}, texts_of({"d", "b", "a", "b", "d", "b", "a", "e", "-"}));
  EXPECT_THAT(plan.column_names(), ElementsAre("c=b", "c=a", "c=(other)"));
  const Result result = transform_all(plan, texts_of({"a", "b", "d", "never seen", "-", ""}));
  EXPECT_THAT(result.values, ElementsAre(0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1));
}

TEST(Kinds, RarityIsTheSurprise) {
  auto spec = feature("c", FeatureKind::rarity, "c");
  spec.missing = Missing::value;
  const Schema schema{{{"c", ColumnKind::text}}, "", "", ""};
  const auto plan = FeaturePlan::fit(schema, {spec}, texts_of({"a", "a", "a", "a", "b", "b", "c", "-", "d"}));
  const Result result = transform_all(plan, texts_of({"a", "b", "c", "never seen", "-"}));
  EXPECT_FLOAT_EQ(result.at(0), static_cast<float>(-std::log2(4.0 / 8)));
  EXPECT_FLOAT_EQ(result.at(1), 2);
  EXPECT_FLOAT_EQ(result.at(2), 3);
  EXPECT_FLOAT_EQ(result.at(3), static_cast<float>(std::log2(9.0)));
  EXPECT_EQ(result.at(4), result.at(3));
}

TEST(Kinds, MissingCategoryIsRefusedUnlessAPolicySaysOtherwise) {
  const Schema schema{{{"c", ColumnKind::text}}, "", "", ""};
  for (const FeatureKind kind : {FeatureKind::one_hot, FeatureKind::rarity}) {
    const auto plan = FeaturePlan::fit(schema, {feature("c", kind, "c")}, texts_of({"a", "b"}));
    const Result result = transform_all(plan, texts_of({"-", "a", "new"}));
    EXPECT_THAT(result.refused, ElementsAre(1, 0, 0));
    ASSERT_EQ(result.reasons.size(), 1u);
    EXPECT_EQ(result.reasons[0].reason, "c: missing");
  }
}

TEST(Kinds, LongCategoriesAreToldApartByTheirBeginning) {
  const Schema schema{{{"c", ColumnKind::text}}, "", "", ""};
  const std::string same(300, 'x');
  const auto plan = FeaturePlan::fit(schema, {feature("c", FeatureKind::one_hot, "c")},
                                     texts_of({same + "1", same + "2", "y"}));
  EXPECT_EQ(plan.width(), 3u);
  EXPECT_THAT(transform_all(plan, texts_of({same + "3"})).values, ElementsAre(1, 0, 0));
}

Records times_of(const std::vector<std::int64_t>& times) {
  Records records;
  records.count = times.size();
  records.time = times;
  return records;
}

TEST(Kinds, TimeOfDayGoesRoundOnce) {
  const std::int64_t hour = 3600 * second, day = 24 * hour;
  const Schema schema{{}, "", "at", ""};
  const std::vector<std::int64_t> times{0,
                                        6 * hour,
                                        12 * hour,
                                        18 * hour,
                                        day,
                                        -6 * hour,
                                        1'700'000'000'123'456'789,
                                        std::numeric_limits<std::int64_t>::min(),
                                        std::numeric_limits<std::int64_t>::max()};
  const auto plan = FeaturePlan::fit(schema, {feature("at", FeatureKind::time_of_day)}, times_of(times));
  EXPECT_THAT(plan.column_names(), ElementsAre("at.sin", "at.cos"));
  const Result result = transform_all(plan, times_of(times));
  EXPECT_THAT(std::vector<float>(result.values.begin(), result.values.begin() + 12),
              ElementsAre(0, 1, 1, 0, 0, -1, -1, 0, 0, 1, -1, 0));
  for (std::size_t i = 0; i < times.size(); ++i) {
    const std::int64_t place = ((times[i] % day) + day) % day;
    const long double angle = 2 * 3.14159265358979323846264338327950288L * place / day;
    EXPECT_NEAR(result.at(i, 0), static_cast<double>(std::sin(angle)), 1.2e-7) << times[i];
    EXPECT_NEAR(result.at(i, 1), static_cast<double>(std::cos(angle)), 1.2e-7) << times[i];
  }
}

TEST(Kinds, TimeOfWeekBeginsOnMonday) {
  const std::int64_t hour = 3600 * second, day = 24 * hour, week = 7 * day;
  const std::int64_t monday = 1'704'067'200 * second;  // 2024-01-01, a Monday
  const Schema schema{{}, "", "at", ""};
  const std::vector<std::int64_t> times{monday,
                                        monday + week / 4,
                                        monday + week / 2,
                                        monday - 5 * week,
                                        monday + 3 * day + 7,
                                        std::numeric_limits<std::int64_t>::min()};
  const auto plan = FeaturePlan::fit(schema, {feature("at", FeatureKind::time_of_week)}, times_of(times));
  const Result result = transform_all(plan, times_of(times));
  EXPECT_THAT(std::vector<float>(result.values.begin(), result.values.begin() + 8),
              ElementsAre(0, 1, 1, 0, 0, -1, 0, 1));
  EXPECT_NEAR(result.at(4, 0), std::sin(2 * M_PI * 3 / 7), 2e-7);
  EXPECT_NEAR(result.at(4, 1), std::cos(2 * M_PI * 3 / 7), 2e-7);
}

// Windows: what a reader of the definition would write, over all events ever taken, in long double.
struct Taken {
  std::string entity;
  std::int64_t time;
  double amount, items;
};
struct Expected {
  double count, rate, mean, deviation, change;
};
Expected look_back(const std::vector<Taken>& taken, const std::string& entity, std::int64_t time,
                   double value, std::int64_t window, double Taken::*field) {
  std::vector<long double> values;
  double events = 1;
  for (const Taken& event : taken) {
    if (event.entity != entity || event.time <= time - window || event.time > time) continue;
    ++events;
    if (!std::isnan(event.*field)) values.push_back(event.*field);
  }
  long double earlier = 0;
  for (const long double v : values) earlier += v;
  Expected result{};
  result.count = events;
  result.rate = events / (static_cast<double>(window) / 1e9);
  result.change =
      values.empty() ? 0 : static_cast<double>(value - earlier / static_cast<long double>(values.size()));
  values.push_back(value);
  const auto n = static_cast<long double>(values.size());
  const long double mean = (earlier + value) / n;
  long double squares = 0;
  for (const long double v : values) squares += (v - mean) * (v - mean);
  result.mean = static_cast<double>(mean);
  result.deviation = static_cast<double>(std::sqrt(squares / n));
  return result;
}

TEST(Kinds, WindowsAgreeWithTheirDefinition) {
  const std::vector<FeatureSpec> specs{
      feature("count", FeatureKind::count, "", 7 * second),
      feature("rate", FeatureKind::rate, "", 40 * second),
      feature("mean", FeatureKind::mean, "amount", 40 * second),
      feature("deviation", FeatureKind::deviation, "items", 40 * second),
      feature("change", FeatureKind::change, "amount", 40 * second),
      feature("mean_items", FeatureKind::mean, "items", 7 * second),
  };
  // In order of time within an entity: then nothing that leaves could have been seen again.
  Records records = payments(3000, 7, 2);
  std::sort(records.time.begin(), records.time.end());
  const auto plan = FeaturePlan::fit(payment_schema(), specs, records);
  const Result result = transform_all(plan, records);

  std::vector<Taken> taken;
  std::size_t refusal = 0, accepted = 0, refused = 0, most = 0;
  for (std::size_t i = 0; i < records.count; ++i) {
    const bool by_records = refusal < records.refused.size() && records.refused[refusal].row == i;
    refusal += by_records;
    const Taken event{std::string(records.entity[i]), records.time[i], records.columns[0].numbers[i],
                      records.columns[1].numbers[i]};
    if (by_records || !std::isfinite(event.amount) || !std::isfinite(event.items)) {
      EXPECT_EQ(result.refused[i], 1) << i;
      for (std::size_t c = 0; c < result.width; ++c) EXPECT_EQ(result.at(i, c), 0);
      ++refused;
      continue;
    }
    ASSERT_EQ(result.refused[i], 0) << i;
    ++accepted;
    const Expected narrow =
        look_back(taken, event.entity, event.time, event.items, 7 * second, &Taken::items);
    const Expected amount =
        look_back(taken, event.entity, event.time, event.amount, 40 * second, &Taken::amount);
    const Expected items =
        look_back(taken, event.entity, event.time, event.items, 40 * second, &Taken::items);
    EXPECT_EQ(result.at(i, 0), narrow.count);
    EXPECT_FLOAT_EQ(result.at(i, 1), static_cast<float>(amount.rate));
    // Sums of amounts of both signs cancel: the error is relative to the largest.
    EXPECT_NEAR(result.at(i, 2), amount.mean, 1e-7 * std::fabs(amount.mean) + 1e-9);
    EXPECT_NEAR(result.at(i, 3), items.deviation, 1e-6);
    EXPECT_NEAR(result.at(i, 4), amount.change, 1e-7 * std::fabs(amount.change) + 1e-9);
    EXPECT_FLOAT_EQ(result.at(i, 5), static_cast<float>(narrow.mean));
    most = std::max(most, static_cast<std::size_t>(amount.count));
    taken.push_back(event);
  }
  EXPECT_GT(accepted, 2000u);
  EXPECT_GT(refused, 100u);
  EXPECT_GT(most, 20u) << "windows should span blocks";
}

TEST(Kinds, LateAndEarlyEventsLookBackFromTheirOwnTime) {
  const auto plan_of = [](const Records& records) {
    return FeaturePlan::fit(
        {{{"x", ColumnKind::number}}, "", "at", ""},
        {feature("n", FeatureKind::count, "", 10 * second), feature("m", FeatureKind::mean, "x", 10 * second),
         feature("d", FeatureKind::change, "x", 10 * second)},
        records);
  };
  Records records = column_of({1, 2, 4, 8, 16, 32, 64});
  const auto at = [](std::int64_t s) { return 1'000'000 * second + s * second; };
  // In order; late; exactly a window later; far in the future; back in the present; the same time again.
  records.time = {at(0), at(5), at(2), at(10), at(500), at(11), at(11)};
  const Result result = transform_all(plan_of(records), records);
  const std::vector<float> n{1, 2, 2, 3, 1, 4, 5};
  const std::vector<float> m{1, 1.5, 2.5, 14.0f / 3, 16, 11.5, 22};
  const std::vector<float> d{0, 1, 3, 5, 0, 32 - 14.0f / 3, 52.5};
  for (std::size_t i = 0; i < n.size(); ++i) {
    EXPECT_EQ(result.at(i, 0), n[i]) << i;
    EXPECT_FLOAT_EQ(result.at(i, 1), m[i]) << i;
    EXPECT_FLOAT_EQ(result.at(i, 2), d[i]) << i;
  }
}

TEST(Kinds, ChangeOfTheFirstEventIsZeroAndConstantsHaveNoDeviation) {
  Records records = column_of(std::vector<double>(100, 0.1));
  for (std::size_t i = 0; i < records.count; ++i)
    records.time.push_back(static_cast<std::int64_t>(i) * second);
  const auto plan = FeaturePlan::fit({{{"x", ColumnKind::number}}, "", "at", ""},
                                     {feature("s", FeatureKind::deviation, "x", 60 * second),
                                      feature("d", FeatureKind::change, "x", 60 * second)},
                                     records);
  const Result result = transform_all(plan, records);
  EXPECT_EQ(result.at(0, 1), 0);
  for (std::size_t i = 0; i < records.count; ++i) {
    EXPECT_LT(result.at(i, 0), 1e-15f);
    EXPECT_LT(std::fabs(result.at(i, 1)), 1e-15f);
  }
}

TEST(Kinds, DeviationSurvivesALargeMean) {
  Records records = column_of({});
  std::vector<double> tail;
  for (int i = 0; i < 200; ++i) {
    records.columns[0].numbers.push_back(1e12 + (i % 2));
    records.time.push_back(i * second);
  }
  records.count = 200;
  const auto plan = FeaturePlan::fit({{{"x", ColumnKind::number}}, "", "at", ""},
                                     {feature("s", FeatureKind::deviation, "x", 100 * second)}, records);
  EXPECT_NEAR(transform_all(plan, records).at(199), 0.5, 1e-6);
}

TEST(Kinds, SumsOfHugeValuesAreRefusedAsNotFinite) {
  Records records = column_of({1, 1.7e308, 1.7e308, -1.7e308, 5});
  records.time = {1, 2, 3, 4, 5};
  auto spec = feature("m", FeatureKind::mean, "x", second);
  spec.scale = Scale::standard;  // float64 until scaled
  const auto plan = FeaturePlan::fit({{{"x", ColumnKind::number}}, "", "at", ""}, {spec}, records);
  const Result result = transform_all(plan, records);
  EXPECT_EQ(result.refused[2], 1);
  ASSERT_FALSE(result.reasons.empty());
  EXPECT_EQ(result.reasons[0].reason, "m: not finite");
}

}  // namespace
}  // namespace lanner::engine
