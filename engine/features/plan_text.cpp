#include "engine/features/plan_text.hpp"

#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "engine/features/plan.hpp"
#include "kernels/arithmetic/environment.hpp"

namespace lanner::engine {
namespace {

using Json = nlohmann::json;

constexpr int version = 1;
constexpr int depth_max = 8;
constexpr std::string_view missing_words[] = {"refuse", "mean", "median", "value"};

[[noreturn]] void refuse(const std::string& what) {
  throw std::invalid_argument("feature plan: " + what);
}

/// A category may be any bytes; JSON strings may not.
Json text_to_json(const std::string& text) {
  if (valid_utf8(text)) return text;
  Json bytes = Json::array();
  for (const char c : text) bytes.push_back(static_cast<unsigned>(static_cast<unsigned char>(c)));
  return bytes;
}

std::string text_from_json(const Json& json) {
  if (json.is_string()) return json.get<std::string>();
  std::string text;
  for (const Json& byte : json) {
    const auto value = byte.get<std::uint64_t>();
    if (value > 255) refuse("a byte above 255");
    text.push_back(static_cast<char>(value));
  }
  return text;
}

double finite(const Json& json) {
  const auto value = json.get<double>();
  if (!std::isfinite(value)) refuse("a number that isn't finite");
  return value;
}

std::uint64_t whole(const Json& json) {
  if (!json.is_number_unsigned()) refuse("found " + json.dump().substr(0, 40) + ", allowed a whole number");
  return json.get<std::uint64_t>();
}

Json feature_to_json(const Feature& feature) {
  const FeatureSpec& spec = feature.spec;
  Json json = {{"name", spec.name},
               {"kind", name(spec.kind)},
               {"field", spec.field},
               {"window_ns", spec.window_ns},
               {"scale", name(spec.scale)},
               {"missing", missing_words[static_cast<std::size_t>(spec.missing)]},
               {"missing_value", spec.missing_value},
               {"categories_max", spec.categories_max},
               {"columns", Json::array()}};
  for (const LearnedColumn& learned : feature.learned)
    json["columns"].push_back({learned.scaling.offset, learned.scaling.divisor, learned.stand_in});
  if (takes_category(spec.kind)) {
    json["rows"] = feature.categories.rows();
    json["categories"] = Json::array();
    for (const auto& [category, count] : feature.categories.counts())
      json["categories"].push_back({text_to_json(category), count});
  }
  return json;
}

FeatureSpec spec_from_json(const Json& json) {
  FeatureSpec spec;
  spec.name = json.at("name").get<std::string>();
  const auto kind = parse_feature_kind(json.at("kind").get<std::string>());
  const auto scale = parse_scale(json.at("scale").get<std::string>());
  if (!kind || !scale) refuse(spec.name + ": a kind or scale that there isn't");
  spec.kind = *kind;
  spec.scale = *scale;
  spec.field = json.at("field").get<std::string>();
  spec.window_ns = json.at("window_ns").get<std::int64_t>();
  const auto missing = json.at("missing").get<std::string>();
  std::size_t word = 0;
  while (word < std::size(missing_words) && missing_words[word] != missing) ++word;
  if (word == std::size(missing_words)) refuse(spec.name + ": a policy for missing values that there isn't");
  spec.missing = static_cast<Missing>(word);
  spec.missing_value = finite(json.at("missing_value"));
  spec.categories_max = whole(json.at("categories_max"));
  return spec;
}

Categories categories_from_json(const Json& json) {
  Categories::Counts counts;
  const std::uint64_t rows = whole(json.at("rows"));
  std::uint64_t counted = 0;
  for (const Json& item : json.at("categories")) {
    std::string category = text_from_json(item.at(0));
    const std::uint64_t count = whole(item.at(1));
    if (category.size() > Categories::bytes_max || count < 1 || count > rows - counted)
      refuse("categories that don't add up");
    counted += count;
    if (!counts.empty() &&
        (counts.back().second < count || (counts.back().second == count && counts.back().first >= category)))
      refuse("categories out of order");
    counts.emplace_back(std::move(category), count);
  }
  if (rows >= (std::uint64_t{1} << 53)) refuse("too many rows");
  return {std::move(counts), rows};
}

}  // namespace

std::string FeaturePlan::to_json() const {
  const Fitted& plan = *fitted_;
  Json json = {{"version", version},
               {"entity", plan.schema.entity},
               {"time", plan.schema.time},
               {"id", plan.schema.id},
               {"fields", Json::array()},
               {"features", Json::array()},
               {"limits",
                {{"entities_max", plan.windows.limits.entities_max},
                 {"events_max", plan.windows.limits.events_max},
                 {"events_total_max", plan.windows.limits.events_total_max}}}};
  for (const FieldSpec& field : plan.schema.fields)
    json["fields"].push_back({field.name, field.kind == ColumnKind::text ? "text" : "number"});
  for (const Feature& feature : plan.features) json["features"].push_back(feature_to_json(feature));
  return json.dump();
}

FeaturePlan FeaturePlan::from_json(std::string_view text) {
  const FloatEnvironment environment;
  if (text.size() > plan_text_bytes_max) refuse("too long");
  const auto shallow = [](int depth, Json::parse_event_t, const Json&) {
    if (depth > depth_max) refuse("nested too deep");
    return true;
  };
  FeaturePlan plan;
  try {
    const Json json = Json::parse(text, shallow);
    if (whole(json.at("version")) != version) refuse("a version that this program does not know");
    Schema schema;
    schema.entity = json.at("entity").get<std::string>();
    schema.time = json.at("time").get<std::string>();
    schema.id = json.at("id").get<std::string>();
    for (const Json& field : json.at("fields")) {
      schema.fields.push_back({field.at(0).get<std::string>(), field.at(1).get<std::string>() == "text"
                                                                   ? ColumnKind::text
                                                                   : ColumnKind::number});
    }
    std::vector<FeatureSpec> specs;
    for (const Json& feature : json.at("features")) specs.push_back(spec_from_json(feature));
    const Json& limits = json.at("limits");
    auto fitted = std::make_shared<Fitted>(
        schema, std::move(specs),
        FeatureLimits{whole(limits.at("entities_max")), whole(limits.at("events_max")),
                      whole(limits.at("events_total_max"))});
    for (std::size_t f = 0; f < fitted->features.size(); ++f) {
      Feature& feature = fitted->features[f];
      if (takes_category(feature.spec.kind))
        feature.categories = categories_from_json(json.at("features")[f]);
      if (feature.spec.kind == FeatureKind::one_hot &&
          feature.categories.counts().size() > feature.spec.categories_max)
        refuse(feature.spec.name + ": more categories than categories_max");
    }
    fitted->lay_columns();
    for (std::size_t f = 0; f < fitted->features.size(); ++f) {
      Feature& feature = fitted->features[f];
      const Json& columns = json.at("features")[f].at("columns");
      if (columns.size() != feature.columns) refuse(feature.spec.name + ": as many columns as it can't have");
      for (std::size_t c = 0; c < feature.columns; ++c) {
        LearnedColumn& learned = feature.learned[c];
        learned = {{finite(columns[c].at(0)), finite(columns[c].at(1))}, finite(columns[c].at(2))};
        if (!(learned.scaling.divisor > 0)) refuse(feature.spec.name + ": a divisor that isn't positive");
        if (feature.spec.scale == Scale::none && learned.scaling != Scaling{})
          refuse(feature.spec.name + ": a scale that was not asked for");
      }
    }
    plan.fitted_ = std::move(fitted);
  } catch (const Json::exception& error) {
    refuse(error.what());
  }
  // Text that means a plan but isn't what would be written for it was not written by us.
  if (plan.to_json() != text) refuse("not as it would be written");
  return plan;
}

}  // namespace lanner::engine
