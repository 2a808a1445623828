#include "host/pipeline/field_lane.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

#include "engine/calibrate/decide.hpp"
#include "engine/model_file/tensors.hpp"
#include "engine/series/series_settings.hpp"
#include "kernels/arithmetic/environment.hpp"
#include "kernels/device/device.hpp"

namespace lanner::host {
namespace {

// There is no model to be told by: the settings are all that was given, and this says of what.
std::string hash_of(const std::string& value, const engine::Settings& settings) {
  std::string text = "lanner series 1\nvalue=" + value + "\n";
  for (const auto& [name, setting] : settings.values()) text += name + "=" + setting + "\n";
  return engine::sha256(std::as_bytes(std::span(text)));
}

LaneIdentity identity_of(const StreamConfig& stream, const std::string& value) {
  const engine::SeriesParameters parameters = engine::series_parameters(stream.series->settings);
  const std::string hash = hash_of(value, stream.series->settings);
  const ScoresHeader header(stream.name, value, hash, lanner::name(Backend::cpu));
  LaneIdentity identity{.name = value,
                        .role = Role::active,
                        .detector = "series",
                        .hash = hash,
                        .rule = fmt::format("a score of {}, and {} more after each alarm",
                                            parameters.threshold, parameters.fatigue),
                        .features = {},
                        .raw_field = std::vector<int>(engine::series_channels,
                                                      static_cast<int>(place_of(value, stream.schema))),
                        .base = 0,
                        .header = header,
                        .gpu_header = header};
  for (const std::string_view channel : {"point", "shape", "stretch", "season"})
    identity.features.push_back(fmt::format("{}.{}", value, channel));
  return identity;
}

// Both sides of a comparison that was made on scores: rounding must not turn it around.
double threshold_of(const engine::SeriesScore& row, double p_value) {
  const double threshold = engine::tail_probability(row.threshold);
  return row.alarm ? std::max(threshold, p_value) : std::min(threshold, std::nextafter(p_value, 0.0));
}

}  // namespace

FieldLane::FieldLane(const StreamConfig& config, const std::string& value, const SeriesLane* before)
    : SeriesLane(identity_of(config, value), config, config.series->entities_max,
                 engine::series_parameters(config.series->settings).warm_up),
      field(place_of(value, config.schema)),
      skips_missing(config.series->skips_missing) {
  // The hash is of the field and the settings.
  if (const auto* same = before && before->hash == hash ? dynamic_cast<const FieldLane*>(before) : nullptr) {
    state = same->state;
    counters = same->counters;
  } else {
    state = std::make_shared<FieldState>(engine::series_parameters(config.series->settings));
  }
}

const char* FieldLane::obstacle(const engine::Records& records, std::size_t row) const {
  const double number = records.number(row, field);
  if (engine::is_value(number)) return nullptr;
  if (std::isnan(number)) return skips_missing ? nullptr : "missing";
  return std::isinf(number) ? "not finite" : "beyond 1e150";
}

void FieldLane::restore(std::span<const std::byte> bytes) const {
  state->series.restore(bytes);
  show(state->series);
}

void FieldLane::score(Stream& cpu, std::span<const BatchPart> parts, std::span<const std::uint8_t> refused,
                      std::size_t result) const {
  const FloatEnvironment environment;
  FieldState& known = *state;
  known.rows.clear();
  std::size_t at = 0;
  for (const auto& [batch, begin, count] : parts) {
    const engine::Records& records = batch->records;
    for (std::size_t row = begin; row < begin + count; ++row) {
      if (refused[at++]) continue;
      known.rows.push_back({entity_of(records, row), records.time.empty() ? 0 : records.time[row],
                            records.number(row, field)});
    }
  }
  known.scores.resize(known.rows.size());
  known.series.push_rows(cpu, known.rows, entities_max, known.scores);
  auto next = known.scores.begin();
  at = 0;
  for (const auto& [batch, begin, count] : parts) {
    for (std::size_t row = begin; row < begin + count; ++row) {
      if (refused[at++]) {
        put_refused(batch->scores[result], row);
      } else {
        put(*batch, result, row, *next++);
      }
    }
  }
  show(known.series);
}

void FieldLane::put(Batch& batch, std::size_t result, std::size_t row,
                    const engine::SeriesScore& scored) const {
  Scores& out = batch.scores[result];
  const bool is_scored = !scored.missing && !scored.warming_up;
  out.score[row] = static_cast<float>(scored.score);
  out.p_value[row] = is_scored ? engine::tail_probability(scored.score) : 1;
  out.threshold[row] = is_scored ? threshold_of(scored, out.p_value[row]) : 0;
  out.extrapolated[row] = is_scored ? 1 : 0;
  out.flag[row] = is_scored ? engine::flag_extrapolated : std::uint8_t{0};
  if (!scored.alarm) return;
  out.flag[row] |= engine::flag_anomalous;
  batch.flagged.push_back({static_cast<std::uint32_t>(row), static_cast<std::uint32_t>(result),
                           batch.flagged_contributions.size(), scored.expected});
  const double largest_share = state->series.parameters().largest_share;
  const auto value = static_cast<float>(batch.records.number(row, field));
  for (const double part : engine::channel_contributions(scored.surprises, largest_share)) {
    batch.flagged_values.push_back(value);
    batch.flagged_contributions.push_back(static_cast<float>(part));
  }
}

}  // namespace lanner::host
