// Columns' values as people know them.
#include <cmath>
#include <stdexcept>
#include <string>

#include "engine/features/plan.hpp"
#include "kernels/arithmetic/elementary.hpp"
#include "kernels/arithmetic/scalar.hpp"

namespace lanner::engine {
namespace {

struct Place {
  const Feature& feature;
  const LearnedColumn& learned;
};

Place place_of(const FeaturePlan::Fitted& plan, std::size_t column) {
  for (const Feature& feature : plan.features)
    if (column - feature.column < feature.columns)  // wraps around where it is below
      return {feature, feature.learned[column - feature.column]};
  throw std::out_of_range("features: found column " + std::to_string(column) + ", allowed below " +
                          std::to_string(plan.column_names.size()));
}

}  // namespace

bool FeaturePlan::stands_alone(std::size_t column) const {
  switch (place_of(*fitted_, column).feature.spec.kind) {
    case FeatureKind::one_hot:
    case FeatureKind::rarity:
    case FeatureKind::time_of_day:
    case FeatureKind::time_of_week:
      return false;
    default:
      return true;
  }
}

double FeaturePlan::natural(std::size_t column, float value) const {
  const auto& [feature, learned] = place_of(*fitted_, column);
  double plain = value;
  if (feature.spec.scale != Scale::none) plain = plain * learned.scaling.divisor + learned.scaling.offset;
  if (feature.spec.kind == FeatureKind::log1p) plain = std::copysign(std::expm1(std::fabs(plain)), plain);
  return plain;
}

float FeaturePlan::from_natural(std::size_t column, double value) const {
  const auto& [feature, learned] = place_of(*fitted_, column);
  if (feature.spec.kind == FeatureKind::log1p && std::isfinite(value))
    value = std::copysign(lanner::log1p(absolute(value)), value);
  if (feature.spec.scale != Scale::none) value = (value - learned.scaling.offset) / learned.scaling.divisor;
  return static_cast<float>(value);
}

}  // namespace lanner::engine
