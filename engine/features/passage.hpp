// A block of rows on its way through a plan: features that need no state a column at a time, then windows in
// recorded order, since only rows that all features accept are taken into the state.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "engine/features/evaluate.hpp"
#include "engine/features/plan.hpp"

namespace lanner::engine {

/// Why a row is out: the records say so, or the plan does.
inline constexpr std::uint8_t by_records = 1, by_plan = 2;

/// A windowed feature of a row with these field values; NaN: missing.
inline double windowed_value(const Feature& feature, const Windows& windows) {
  const Past& past = windows.pasts[feature.look_back];
  const double x = feature.held == Windows::none ? 0 : windows.event[feature.held];
  if (!std::isfinite(x)) return x;
  double result = 0;
  switch (feature.spec.kind) {
    case FeatureKind::count:
      result = static_cast<double>(past.events + 1);
      break;
    case FeatureKind::rate:
      result = static_cast<double>(past.events + 1) / (static_cast<double>(feature.spec.window_ns) / 1e9);
      break;
    case FeatureKind::mean:
      result = (past.sum + x) / static_cast<double>(past.values + 1);
      break;
    case FeatureKind::deviation: {
      Past all = past;
      all.join(1, x, 0);
      result = square_root(all.squares / static_cast<double>(all.values));
      break;
    }
    case FeatureKind::change:
      result = past.values == 0 ? 0 : x - past.sum / static_cast<double>(past.values);
      break;
    default:
      break;
  }
  // Sums of huge values overflow, and two overflows may cancel: not finite, and not missing.
  return std::isnan(result) ? std::numeric_limits<double>::infinity() : result;
}

/// Rows [begin, begin + count), count <= block_rows. `out` has the last word on values:
///   bool accepts(feature, part, value)                   whether the finished value would do
///   void column(feature, part, values, count, state)     takes a column, sets by_plan in state[] where it
///   won't do void cell(feature, row, value)                       takes an acceptable value of a windowed
///   feature void refuse(row, reason)
/// state[]: by_records is set where a row is out from the start.
template <class Out>
void pass_block(const FeaturePlan::Fitted& plan, const Records& records, std::size_t begin, std::size_t count,
                Windows* windows, std::uint8_t* state, Out&& out) {
  for (const Feature& feature : plan.features) {
    if (feature.windowed) continue;
    evaluate(feature, records, begin, count, [&](std::size_t part, const double* values) {
      out.column(feature, part, values, count, state);
    });
  }
  if (windows) windows->pasts.resize(plan.look_backs.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (state[i] & by_records || (state[i] == 0 && !plan.has_windows)) continue;
    const std::size_t row = begin + i;

    const char* obstacle = nullptr;
    std::string_view entity;
    std::int64_t time = 0;
    Windows::View view{};
    if (plan.has_windows) {
      for (std::size_t f = 0; f < plan.held_fields.size(); ++f)
        windows->event[f] = records.number(row, plan.held_fields[f]);
      if (!records.entity.empty()) entity = records.entity[row];
      if (records.time.empty()) {
        obstacle = "missing time";
      } else if (entity.empty() && !plan.schema.entity.empty()) {
        obstacle = "missing entity";
      } else if (entity.size() > Windows::entity_bytes_max) {
        obstacle = "entity longer than 1024 bytes";
      } else {
        time = records.time[row];
        view = windows->look(entity, time);
        for (std::size_t l = 0; l < plan.look_backs.size(); ++l) {
          const LookBack& back = plan.look_backs[l];
          windows->pasts[l] = windows->past(view, time, back.window_ns, back.held, back.moments);
        }
      }
    }
    const auto value_of = [&](const Feature& feature) {
      return obstacle ? missing_value : windowed_value(feature, *windows);
    };
    const auto reason = [&](const Feature& feature, double value) {
      if (feature.windowed && obstacle) return feature.spec.name + ": " + obstacle;
      return feature.spec.name + (std::isnan(value) ? ": missing" : ": not finite");
    };

    std::string refusal;
    for (const Feature& feature : plan.features) {
      if (feature.windowed) {
        const double value = value_of(feature);
        if (!out.accepts(feature, 0, value)) {
          refusal = reason(feature, value);
        } else if (state[i] == 0) {
          out.cell(feature, i, value);
        }
      } else if (state[i] != 0) {
        evaluate(feature, records, row, 1, [&](std::size_t part, const double* values) {
          if (refusal.empty() && !out.accepts(feature, part, values[0])) refusal = reason(feature, values[0]);
        });
      }
      if (!refusal.empty()) break;
    }
    if (!refusal.empty()) {
      state[i] |= by_plan;
      out.refuse(i, std::move(refusal));
    } else if (plan.has_windows && !obstacle) {
      windows->take(view, entity, time, windows->event);
    }
  }
}

}  // namespace lanner::engine
