// Small streams of events to put through feature plans.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engine/features/features.hpp"

namespace lanner::engine {

constexpr double absent = std::numeric_limits<double>::quiet_NaN();
constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr std::int64_t second = 1'000'000'000;

inline FeatureSpec feature(std::string name, FeatureKind kind, std::string field = "",
                           std::int64_t window_ns = 0) {
  FeatureSpec spec;
  spec.name = std::move(name);
  spec.kind = kind;
  spec.field = std::move(field);
  spec.window_ns = window_ns;
  return spec;
}

inline Schema numbers(std::vector<std::string> names) {
  Schema schema;
  for (std::string& name : names) schema.fields.push_back({std::move(name), ColumnKind::number});
  return schema;
}

/// Records of one column of numbers.
inline Records column_of(const std::vector<double>& values) {
  Records records;
  records.count = values.size();
  records.columns.resize(1);
  records.columns[0].numbers = values;
  return records;
}

/// Records of one column of text; "-" is missing.
inline Records texts_of(const std::vector<std::string>& values) {
  Records records;
  records.count = values.size();
  records.columns.resize(1);
  for (const std::string& value : values) {
    records.columns[0].texts.push_back(value == "-" ? "" : value);
    records.columns[0].missing.push_back(value == "-");
  }
  return records;
}

struct Result {
  std::vector<float> values;
  std::vector<std::uint8_t> refused;
  std::vector<RowRefusal> reasons;
  std::size_t width = 0;

  float at(std::size_t row, std::size_t column = 0) const { return values[row * width + column]; }
  bool operator==(const Result& other) const {
    if (values.size() != other.values.size() || refused != other.refused ||
        reasons.size() != other.reasons.size())
      return false;
    for (std::size_t i = 0; i < reasons.size(); ++i) {
      if (reasons[i].row != other.reasons[i].row || reasons[i].reason != other.reasons[i].reason)
        return false;
    }
    return std::memcmp(values.data(), other.values.data(), values.size() * sizeof(float)) == 0;
  }
};

/// Rows [begin, end) appended to `result`.
inline void transform_into(Result& result, const FeaturePlan& plan, const Records& records, std::size_t begin,
                           std::size_t end, FeatureState* state) {
  const std::size_t before = result.refused.size(), width = plan.width();
  result.width = width;
  result.values.resize((before + end - begin) * width, -1.0f);
  result.refused.resize(before + end - begin, 77);
  const MutableRows out{result.values.data() + before * width, end - begin, width, width};
  plan.transform(records, begin, end, state, out, std::span(result.refused).subspan(before), result.reasons);
}

inline Result transform_all(const FeaturePlan& plan, const Records& records, FeatureState* state = nullptr) {
  std::unique_ptr<FeatureState> fresh;
  if (!state) {
    fresh = plan.make_state();
    state = fresh.get();
  }
  Result result;
  transform_into(result, plan, records, 0, records.count, state);
  return result;
}

/// Payments of several customers: late ones, repeated times, missing and infinite amounts, rows refused by
/// the decoder.
inline Schema payment_schema() {
  return {{{"amount", ColumnKind::number}, {"items", ColumnKind::number}, {"country", ColumnKind::text}},
          "customer",
          "at",
          ""};
}
inline Records payments(std::size_t count, std::uint32_t seed, int customers = 5) {
  std::mt19937 random(seed);
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const char* countries[] = {"NL", "DE", "FR", "BE", "a very long name of a country indeed"};
  Records records;
  records.count = count;
  records.columns.resize(3);
  std::int64_t now = 1'700'000'000 * second;
  for (std::size_t i = 0; i < count; ++i) {
    now += pick(4) == 0 ? 0 : pick(3'000) * (second / 1000);
    const std::int64_t time = pick(10) == 0   ? now - pick(20) * second
                              : pick(50) == 0 ? now + pick(30) * second
                                              : now;
    records.time.push_back(time);
    records.entity.push_back("customer-" + std::to_string(pick(customers)));
    double amount = std::ldexp(1 + pick(1000) / 1000.0, pick(40) - 20) * (pick(3) ? 1 : -1);
    if (pick(40) == 0) amount = absent;
    if (pick(60) == 0) amount = infinite;
    records.columns[0].numbers.push_back(amount);
    records.columns[1].numbers.push_back(pick(30) == 0 ? absent : 1e9 + pick(5));
    const int country = pick(6);
    records.columns[2].texts.push_back(country < 5 ? countries[country] : "");
    records.columns[2].missing.push_back(country == 5);
    if (pick(30) == 0) records.refused.push_back({static_cast<std::uint32_t>(i), "time: not a number"});
  }
  return records;
}

/// Every kind, several windows, scales and policies.
inline std::vector<FeatureSpec> payment_features() {
  std::vector<FeatureSpec> specs{
      feature("amount", FeatureKind::log1p, "amount"),
      feature("items", FeatureKind::identity, "items"),
      feature("country", FeatureKind::one_hot, "country"),
      feature("strange", FeatureKind::rarity, "country"),
      feature("day", FeatureKind::time_of_day),
      feature("week", FeatureKind::time_of_week),
      feature("per_minute", FeatureKind::count, "", 60 * second),
      feature("rate", FeatureKind::rate, "", 5 * second),
      feature("usual", FeatureKind::mean, "amount", 60 * second),
      feature("spread", FeatureKind::deviation, "items", 30 * second),
      feature("jump", FeatureKind::change, "amount", 20 * second),
      feature("item_mean", FeatureKind::mean, "items", 30 * second),
  };
  specs[0].scale = Scale::robust;
  specs[1].scale = Scale::standard;
  specs[1].missing = Missing::median;
  specs[2].missing = Missing::value;
  specs[2].categories_max = 3;
  specs[3].missing = Missing::value;
  specs[8].scale = Scale::minmax;
  specs[9].missing = Missing::mean;
  specs[11].missing = Missing::value;
  specs[11].missing_value = -3;
  return specs;
}

}  // namespace lanner::engine
