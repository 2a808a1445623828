#include "engine/features/plan.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>

#include "kernels/arithmetic/elementary.hpp"

namespace lanner::engine {
namespace {

constexpr std::size_t features_max = 65'536;
constexpr std::size_t columns_max = 1'000'000;
constexpr std::size_t categories_limit = 10'000;
constexpr std::size_t entities_limit = 100'000'000;
constexpr std::size_t events_limit = 1u << 24;
constexpr std::size_t events_total_limit = 1'000'000'000;

[[noreturn]] void refuse(const std::string& what) {
  throw std::invalid_argument(what);
}

std::string quoted(const std::string& text) {
  return "'" + text + "'";
}

std::size_t field_place(const Schema& schema, const FeatureSpec& spec, ColumnKind kind) {
  for (std::size_t i = 0; i < schema.fields.size(); ++i) {
    if (schema.fields[i].name != spec.field) continue;
    if (schema.fields[i].kind != kind) {
      refuse(spec.name + ": " + std::string(name(spec.kind)) + " takes a field of " +
             (kind == ColumnKind::text ? "text" : "numbers") + ", and " + quoted(spec.field) + " is not one");
    }
    return i;
  }
  refuse(spec.name + ": the schema has no field " + quoted(spec.field));
}

void check_limits(const FeatureLimits& limits) {
  const auto within = [](const char* key, std::size_t value, std::size_t most) {
    if (value < 1 || value > most) {
      refuse(std::string(key) + ": found " + std::to_string(value) + ", allowed 1 to " +
             std::to_string(most));
    }
  };
  within("entities_max", limits.entities_max, entities_limit);
  within("events_max", limits.events_max, events_limit);
  within("events_total_max", limits.events_total_max, events_total_limit);
  if (limits.events_total_max < limits.events_max) refuse("events_total_max: must be at least events_max");
}

void check_spec(const FeatureSpec& spec) {
  if (spec.name.empty()) refuse("a feature with no name");
  if (!valid_utf8(spec.name) || !valid_utf8(spec.field)) refuse("a feature's name or field is not UTF-8");
  const FeatureKindInfo& kind = info(spec.kind);
  if (kind.takes_field && spec.field.empty())
    refuse(spec.name + ": " + std::string(kind.name) + " needs a field");
  if (!kind.takes_field && !spec.field.empty())
    refuse(spec.name + ": " + std::string(kind.name) + " takes no field");
  if (kind.takes_window && spec.window_ns <= 0) refuse(spec.name + ": the window must be longer than zero");
  if (!kind.takes_window && spec.window_ns != 0)
    refuse(spec.name + ": " + std::string(kind.name) + " takes no window");
  if (!std::isfinite(spec.missing_value)) refuse(spec.name + ": the value for missing ones must be finite");
  if (spec.kind == FeatureKind::one_hot &&
      (spec.categories_max < 1 || spec.categories_max > categories_limit)) {
    refuse(spec.name + ": categories_max: found " + std::to_string(spec.categories_max) + ", allowed 1 to " +
           std::to_string(categories_limit));
  }
}

/// Text fit to be shown and put into JSON: a byte that is no UTF-8 becomes U+FFFD.
std::string presentable(const std::string& text) {
  if (valid_utf8(text)) return text;
  std::string result;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x80) {
      result += c;
    } else {
      result += "\xEF\xBF\xBD";
    }
  }
  return result;
}

}  // namespace

Categories::Categories(Counts counts, std::uint64_t rows) : counts_(std::move(counts)), rows_(rows) {
  rarities_.clear();
  const auto rarity = [](std::uint64_t all, std::uint64_t some) {
    return lanner::log(static_cast<double>(all) / static_cast<double>(some)) * 0x1.71547652b82fep+0;
  };
  for (std::uint32_t i = 0; i < counts_.size(); ++i) {
    rarities_.push_back(rarity(rows_, counts_[i].second));
    index_.emplace(counts_[i].first, i);
  }
  rarities_.push_back(rarity(rows_ + 1, 1));
}

std::uint32_t Categories::find(std::string_view category) const {
  const auto found = index_.find(category.substr(0, bytes_max));
  return found == index_.end() ? unseen : found->second;
}

FeaturePlan::Fitted::Fitted(const Schema& schema_, std::vector<FeatureSpec> specs_,
                            const FeatureLimits& limits)
    : schema(schema_), specs(std::move(specs_)) {
  if (specs.empty()) refuse("no features");
  if (specs.size() > features_max) refuse("more than " + std::to_string(features_max) + " features");
  if (schema.fields.size() > features_max) refuse("more than " + std::to_string(features_max) + " fields");
  check_limits(limits);
  std::set<std::string_view> names;
  for (const FieldSpec& field : schema.fields) {
    if (!valid_utf8(field.name)) refuse("a field's name is not UTF-8");
    if (!names.insert(field.name).second) refuse("field " + quoted(field.name) + " is declared twice");
  }
  for (const std::string& special : {schema.entity, schema.time, schema.id}) {
    if (!valid_utf8(special)) refuse("the name of the entity, time or id is not UTF-8");
  }
  windows.limits = limits;
  names.clear();
  identity = schema.fields.size() == specs.size();
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const FeatureSpec& spec = specs[i];
    check_spec(spec);
    if (!names.insert(spec.name).second) refuse(spec.name + ": two features have this name");
    const FeatureKindInfo& kind = info(spec.kind);
    Feature feature;
    feature.spec = spec;
    feature.windowed = kind.takes_window;
    if (kind.takes_field)
      feature.field = field_place(schema, spec, kind.takes_text ? ColumnKind::text : ColumnKind::number);
    if (feature.windowed) {
      windows.longest_ns = std::max(windows.longest_ns, spec.window_ns);
      if (kind.takes_field) {
        const auto held = std::find(windows.fields.begin(), windows.fields.end(), spec.field);
        feature.held = static_cast<std::uint32_t>(held - windows.fields.begin());
        if (held == windows.fields.end()) {
          windows.fields.push_back(spec.field);
          held_fields.push_back(feature.field);
        }
      }
    }
    has_windows |= feature.windowed;
    needs_time |= kind.takes_time;
    identity = identity && spec.kind == FeatureKind::identity && spec.scale == Scale::none &&
               spec.missing == Missing::refuse && feature.field == i;
    features.push_back(std::move(feature));
  }
  lay_look_backs();
  lay_columns();
}

void FeaturePlan::Fitted::lay_look_backs() {
  // Features that read a field go first: a count over the same window comes with their aggregate.
  for (const bool reads_field : {true, false}) {
    for (Feature& feature : features) {
      if (!feature.windowed || reads_field != (feature.held != Windows::none)) continue;
      const auto found = std::find_if(look_backs.begin(), look_backs.end(), [&](const LookBack& l) {
        return l.window_ns == feature.spec.window_ns && (!reads_field || l.held == feature.held);
      });
      feature.look_back = static_cast<std::uint32_t>(found - look_backs.begin());
      if (found == look_backs.end()) look_backs.push_back({feature.spec.window_ns, feature.held, false});
      look_backs[feature.look_back].moments |= feature.spec.kind == FeatureKind::deviation;
    }
  }
}

void FeaturePlan::Fitted::lay_columns() {
  column_names.clear();
  std::size_t column = 0;
  for (Feature& feature : features) {
    const std::string& name = feature.spec.name;
    feature.column = column;
    switch (feature.spec.kind) {
      case FeatureKind::one_hot:
        for (const auto& [category, count] : feature.categories.counts())
          column_names.push_back(name + "=" + presentable(category));
        column_names.push_back(name + "=(other)");
        break;
      case FeatureKind::time_of_day:
      case FeatureKind::time_of_week:
        column_names.push_back(name + ".sin");
        column_names.push_back(name + ".cos");
        break;
      default:
        column_names.push_back(name);
    }
    if (column_names.size() > columns_max) refuse("more than " + std::to_string(columns_max) + " columns");
    feature.columns = column_names.size() - column;
    feature.learned.resize(feature.columns);
    for (LearnedColumn& learned : feature.learned) {
      if (feature.spec.missing == Missing::value) learned.stand_in = feature.spec.missing_value;
    }
    column = column_names.size();
  }
}

const Schema& FeaturePlan::schema() const {
  return fitted_->schema;
}
const FeatureLimits& FeaturePlan::limits() const {
  return fitted_->windows.limits;
}
std::span<const FeatureSpec> FeaturePlan::specs() const {
  return fitted_->specs;
}
std::size_t FeaturePlan::width() const {
  return fitted_->column_names.size();
}
std::span<const std::string> FeaturePlan::column_names() const {
  return fitted_->column_names;
}
bool FeaturePlan::is_identity() const {
  return fitted_->identity;
}
bool FeaturePlan::has_windows() const {
  return fitted_->has_windows;
}
std::unique_ptr<FeatureState> FeaturePlan::make_state() const {
  return std::make_unique<Windows>(fitted_->windows);
}

}  // namespace lanner::engine
