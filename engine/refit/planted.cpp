#include "engine/refit/planted.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "engine/features/scaling.hpp"
#include "engine/model/shuffle.hpp"
#include "kernels/mlp/random.hpp"

namespace lanner::engine {
namespace {

constexpr std::size_t one_in = 10;
constexpr double moves[] = {3, 5, 8};
constexpr std::string_view never_seen = "\x1anever seen";

struct Target {
  std::size_t field;
  bool number;
  Scaling usual;  // of a number
};

std::vector<Target> targets_of(const FeaturePlan& plan, const Records& records) {
  std::set<std::string> read;
  for (const FeatureSpec& spec : plan.specs()) read.insert(spec.field);
  std::vector<Target> targets;
  const auto& schema = plan.schema();
  for (std::size_t f = 0; f < schema.fields.size(); ++f) {
    const FieldSpec& field = schema.fields[f];
    if (!read.contains(field.name) || field.name == schema.entity || field.name == schema.time) continue;
    const bool number = field.kind == ColumnKind::number;
    std::vector<double> values;
    for (std::size_t row = 0; number && row < records.count; ++row)
      if (const double value = records.number(row, f); std::isfinite(value)) values.push_back(value);
    if (number && values.empty()) continue;
    targets.push_back({f, number, number ? learn_scaling(Scale::robust, values) : Scaling()});
  }
  return targets;
}

}  // namespace

Planted plant(const FeaturePlan& plan, const Records& into, std::uint64_t seed) {
  const auto& fields = plan.schema().fields;
  const std::vector<Target> targets = targets_of(plan, into);
  Planted planted{{}, std::vector<int>(into.count)};
  if (!targets.empty()) {
    const std::vector<std::size_t> order = shuffled(into.count, seed);
    for (std::size_t i = 0; i < into.count / one_in; ++i) planted.altered[order[i]] = 1;
  }
  mlp::Random random(seed);
  planted.records.columns.resize(fields.size());
  planted.records.refused = into.refused;
  bool one_field = false;
  for (std::size_t row = 0; row < into.count; ++row) {
    planted.records.append_row(into, row, fields);
    if (!planted.altered[row]) continue;
    one_field = !one_field;
    const std::size_t always = random.below(targets.size());
    for (std::size_t t = 0; t < targets.size(); ++t) {
      if (t != always && (one_field || random.below(2) == 0)) continue;
      Column& column = planted.records.columns[targets[t].field];
      if (targets[t].number) {
        const auto [median, spread] = targets[t].usual;
        double& value = column.numbers.back();
        const double move = moves[random.below(std::size(moves))] * spread;
        value = (std::isfinite(value) ? value : median) + (random.below(2) == 0 ? move : -move);
      } else {
        column.texts.replace_back(never_seen);
        column.missing.back() = 0;
      }
    }
  }
  return planted;
}

}  // namespace lanner::engine
