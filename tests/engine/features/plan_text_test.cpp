// Plans as text: there and back, and nothing that wasn't ours.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/features/features.hpp"
#include "tests/engine/features/events.hpp"

namespace lanner::engine {
namespace {

FeaturePlan rich_plan() {
  return FeaturePlan::fit(payment_schema(), payment_features(), payments(800, 4));
}

TEST(PlanText, ComesBackTheSame) {
  const auto plan = rich_plan();
  const std::string text = plan.to_json();
  const auto back = FeaturePlan::from_json(text);
  EXPECT_EQ(back.to_json(), text);
  EXPECT_EQ(back.schema(), plan.schema());
  EXPECT_TRUE(std::equal(back.specs().begin(), back.specs().end(), plan.specs().begin(), plan.specs().end()));
  EXPECT_TRUE(std::equal(back.column_names().begin(), back.column_names().end(), plan.column_names().begin(),
                         plan.column_names().end()));
  const Records records = payments(2000, 99, 9);
  EXPECT_EQ(transform_all(back, records), transform_all(plan, records));
  const auto state = plan.make_state();
  transform_all(plan, records, state.get());
  EXPECT_NO_THROW(back.make_state()->restore(state->snapshot()));
}

TEST(PlanText, CategoriesMayBeAnyBytes) {
  const Schema schema{{{"c", ColumnKind::text}}, "", "", ""};
  const std::string nul("a\0b", 3), wild("\xff\xfe\x80"), cut("caf\xc3");
  const std::vector<std::string> values{nul, wild, cut, "\"quoted\"\n", "\xed\xa0\x80", "naïve"};
  const auto plan = FeaturePlan::fit(schema, {feature("c", FeatureKind::one_hot, "c")}, texts_of(values));
  const auto back = FeaturePlan::from_json(plan.to_json());
  EXPECT_EQ(transform_all(back, texts_of(values)), transform_all(plan, texts_of(values)));
  for (const std::string& value : values) {
    const Result result = transform_all(back, texts_of({value}));
    EXPECT_EQ(result.at(0, 6), 0) << "told apart from the others: " << value;
  }
  for (const std::string& name : back.column_names()) EXPECT_EQ(name.find('\xff'), std::string::npos);
}

TEST(PlanText, HostileTextIsRefused) {
  const std::string deep(200'000, '[');
  for (const std::string& text : {std::string(), std::string("null"), std::string("{}"), std::string("[]"),
                                  std::string("3"), std::string("{\"version\":1}"), std::string("\xff\xff"),
                                  deep, "{\"version\":" + deep, std::string("{\"version\":1e999}")})
    EXPECT_THROW(FeaturePlan::from_json(text), std::invalid_argument) << text.substr(0, 40);
}

TEST(PlanText, AnyChangeIsRefusedOrIsAPlanItself) {
  const std::string good = rich_plan().to_json();
  std::mt19937 random(17);
  int refused = 0;
  for (int attempt = 0; attempt < 3000; ++attempt) {
    std::string text = good;
    const std::size_t at = random() % text.size();
    switch (random() % 4) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, 1 + random() % 20);
        break;
      case 2:
        text.insert(at, text.substr(random() % text.size(), random() % 20));
        break;
      default:
        text.resize(at);
    }
    if (text == good) continue;
    try {
      const auto plan = FeaturePlan::from_json(text);
      EXPECT_EQ(plan.to_json(), text);
      transform_all(plan, payments(10, 1));
    } catch (const std::invalid_argument&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1500);
}

TEST(PlanText, NamedFaults) {
  const auto refused = [](const std::string& from, const std::string& to) {
    std::string text = rich_plan().to_json();
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    EXPECT_THROW(FeaturePlan::from_json(text), std::invalid_argument) << from << " -> " << to;
  };
  refused("\"version\":1", "\"version\":2");
  refused("\"version\":1", "\"version\": 1");
  refused("\"version\":1", "\"extra\":0,\"version\":1");
  refused("\"kind\":\"one_hot\"", "\"kind\":\"two_hot\"");
  refused("\"field\":\"country\"", "\"field\":\"amount\"");
  refused("\"field\":\"country\"", "\"field\":\"nowhere\"");
  refused("\"missing\":\"mean\"", "\"missing\":\"mode\"");
  refused("\"scale\":\"minmax\"", "\"scale\":\"none\"");
  refused("\"categories_max\":3,", "\"categories_max\":2,");
  refused("\"window_ns\":60000000000", "\"window_ns\":-60000000000");
  refused("\"events_max\":4096", "\"events_max\":0");
  refused("\"entities_max\":100000", "\"entities_max\":-1");
  refused("\"missing_value\":-3.0", "\"missing_value\":1e400");
}

}  // namespace
}  // namespace lanner::engine
