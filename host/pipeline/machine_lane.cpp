#include "host/pipeline/machine_lane.hpp"

#include <numeric>
#include <string_view>
#include <utility>

#include "engine/calibrate/calibrate.hpp"
#include "kernels/arithmetic/environment.hpp"

namespace lanner::host {
namespace {

LaneIdentity identity_of(const StreamConfig& stream, std::string name, Role role,
                         const engine::SeriesModel& model) {
  const ScoresHeader header(stream.name, name, model.hash(), lanner::name(Backend::cpu));
  LaneIdentity identity{.name = std::move(name),
                        .role = role,
                        .detector = std::string(engine::multivariate_name),
                        .hash = model.hash(),
                        .rule = engine::describe(stream.decide),
                        .features = {},
                        .raw_field = {},
                        .base = 0,
                        .header = header,
                        .gpu_header = header};
  for (const engine::FieldSpec& metric : model.schema().fields) identity.features.push_back(metric.name);
  identity.raw_field.resize(identity.features.size());
  std::iota(identity.raw_field.begin(), identity.raw_field.end(), 0);
  return identity;
}

}  // namespace

MachineLane::MachineLane(const StreamConfig& config, std::string lane_name, Role lane_role,
                         std::shared_ptr<const engine::SeriesModel> model, Device& cpu,
                         const SeriesLane* before)
    : SeriesLane(identity_of(config, std::move(lane_name), lane_role, *model), config,
                 config.limits.entities_max, model->learned()->warm_up()),
      least_p_value(model->calibration() ? engine::least_p_value(*model->calibration()) : 0) {
  const auto* last = dynamic_cast<const MachineLane*>(before);
  if (last && last->hash == hash) {
    state = last->state;
    counters = last->counters;
  } else {
    state = std::make_shared<MachineLaneState>(cpu, std::move(model));
  }
  rule_at_work =
      last && last->rule == rule ? last->rule_at_work : std::make_shared<engine::Decider>(config.decide);
}

void MachineLane::restore(std::span<const std::byte> bytes) const {
  state->scorer.machines().restore(bytes);
  show(state->scorer.machines());
}

void MachineLane::score(Stream&, std::span<const BatchPart> parts, std::span<const std::uint8_t> refused,
                        std::size_t result) const {
  const FloatEnvironment environment;
  MachineLaneState& known = *state;
  const std::size_t metrics = features.size();
  known.values.resize(refused.size() * metrics);
  known.rows.clear();
  std::size_t at = 0;
  for (const auto& [batch, begin, count] : parts) {
    for (std::size_t row = begin; row < begin + count; ++row) {
      if (refused[at++]) continue;
      double* const values = &known.values[known.rows.size() * metrics];
      for (std::size_t j = 0; j < metrics; ++j) values[j] = batch->records.number(row, j);
      known.rows.push_back({entity_of(batch->records, row), values});
    }
  }
  known.scores.resize(known.rows.size());
  known.p_values.resize(known.rows.size());
  known.unguaranteed.resize(known.rows.size());
  known.scorer.push_rows(known.rows, entities_max, known.scores, known.p_values, known.unguaranteed);
  std::size_t pushed = 0;
  at = 0;
  for (const auto& [batch, begin, count] : parts) {
    Scores& out = batch->scores[result];
    const std::size_t first_pushed = pushed;
    for (std::size_t row = begin; row < begin + count; ++row) {
      if (refused[at + row - begin]) {
        put_refused(out, row);
        continue;
      }
      out.score[row] = known.scores[pushed];
      out.p_value[row] = known.p_values[pushed];
      out.extrapolated[row] = known.unguaranteed[pushed++];
    }
    const std::span<const std::int64_t> time = batch->records.time;
    rule_at_work->decide(std::span(out.p_value).subspan(begin, count),
                         std::span(out.extrapolated).subspan(begin, count), refused.subspan(at, count),
                         time.empty() ? time : time.subspan(begin, count),
                         std::span(out.threshold).subspan(begin, count),
                         std::span(out.flag).subspan(begin, count), least_p_value);
    if (role == Role::active) {
      std::size_t place = first_pushed;
      for (std::size_t row = begin; row < begin + count; ++row) {
        if (refused[at + row - begin]) continue;
        if (out.flag[row] & engine::flag_anomalous) explain(*batch, result, row, place);
        ++place;
      }
    }
    at += count;
  }
  show(known.scorer.machines());
}

void MachineLane::explain(Batch& batch, std::size_t result, std::size_t row, std::size_t pushed) const {
  MachineLaneState& known = *state;
  known.parts.resize(features.size());
  known.scorer.machines().contributions(pushed, known.parts);
  batch.flagged.push_back({static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(result),
                           batch.flagged_contributions.size()});
  for (std::size_t j = 0; j < known.parts.size(); ++j) {
    batch.flagged_values.push_back(static_cast<float>(batch.records.number(row, j)));
    batch.flagged_contributions.push_back(static_cast<float>(known.parts[j]));
  }
}

}  // namespace lanner::host
