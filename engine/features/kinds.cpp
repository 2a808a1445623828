#include <algorithm>
#include <array>
#include <map>
#include <stdexcept>

#include "engine/features/plan.hpp"

namespace lanner::engine {
namespace {

constexpr std::array<FeatureKindInfo, 11> kinds{{
    {FeatureKind::identity, "identity", "the field's value", true, false, false, false},
    {FeatureKind::log1p, "log1p", "sign(x) log(1 + |x|)", true, false, false, false},
    {FeatureKind::one_hot, "one_hot", "a column for each frequent category, and one for all others", true,
     true, false, false},
    {FeatureKind::rarity, "rarity", "-log2 of the category's share among the training rows", true, true,
     false, false},
    {FeatureKind::time_of_day, "time_of_day", "sin and cos of the time's place in the UTC day", false, false,
     false, true},
    {FeatureKind::time_of_week, "time_of_week",
     "sin and cos of the time's place in the UTC week, from Monday", false, false, false, true},
    {FeatureKind::count, "count", "events of the entity in the window, this one included", false, false, true,
     true},
    {FeatureKind::rate, "rate", "events of the entity in the window, this one included, per second", false,
     false, true, true},
    {FeatureKind::mean, "mean", "mean of the field over the entity's events in the window, this one included",
     true, false, true, true},
    {FeatureKind::deviation, "deviation",
     "population standard deviation of the field over the entity's events in the window, this one included",
     true, false, true, true},
    {FeatureKind::change, "change",
     "the field's value less its mean over the entity's earlier events in the window; 0 if there are none",
     true, false, true, true},
}};

constexpr std::array<std::string_view, 4> scales{"none", "standard", "robust", "minmax"};

}  // namespace

std::span<const FeatureKindInfo> feature_kinds() {
  return kinds;
}

const FeatureKindInfo& info(FeatureKind kind) {
  return *std::find_if(kinds.begin(), kinds.end(), [&](const FeatureKindInfo& i) { return i.kind == kind; });
}

bool takes_category(FeatureKind kind) {
  return info(kind).takes_text;
}

std::string_view name(FeatureKind kind) {
  return info(kind).name;
}

std::optional<FeatureKind> parse_feature_kind(std::string_view text) {
  for (const FeatureKindInfo& kind : kinds) {
    if (kind.name == text) return kind.kind;
  }
  return std::nullopt;
}

std::string_view name(Scale scale) {
  return scales[static_cast<std::size_t>(scale)];
}

std::optional<Scale> parse_scale(std::string_view text) {
  const auto found = std::find(scales.begin(), scales.end(), text);
  if (found == scales.end()) return std::nullopt;
  return static_cast<Scale>(found - scales.begin());
}

Schema schema_of(std::span<const FeatureSpec> specs, std::string entity, std::string time, std::string id) {
  Schema schema;
  schema.entity = std::move(entity);
  schema.time = std::move(time);
  schema.id = std::move(id);
  std::map<std::string_view, ColumnKind> known;
  for (const FeatureSpec& spec : specs) {
    const FeatureKindInfo& kind = info(spec.kind);
    if (!kind.takes_field) continue;
    const ColumnKind column = kind.takes_text ? ColumnKind::text : ColumnKind::number;
    const auto [at, added] = known.try_emplace(spec.field, column);
    if (added) {
      schema.fields.push_back({spec.field, column});
    } else if (at->second != column) {
      throw std::invalid_argument(spec.name + ": field '" + spec.field +
                                  "' is used both as a number and as text");
    }
  }
  return schema;
}

std::vector<FeatureSpec> identity_features(const Schema& schema, Scale scale) {
  std::vector<FeatureSpec> specs;
  for (const FieldSpec& field : schema.fields) {
    if (field.kind != ColumnKind::number) continue;
    FeatureSpec spec;
    spec.name = spec.field = field.name;
    spec.scale = scale;
    specs.push_back(std::move(spec));
  }
  return specs;
}

}  // namespace lanner::engine
