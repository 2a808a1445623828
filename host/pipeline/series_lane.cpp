#include "host/pipeline/series_lane.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "engine/calibrate/decide.hpp"
#include "engine/model_file/tensors.hpp"
#include "engine/series/series_settings.hpp"
#include "kernels/arithmetic/environment.hpp"
#include "kernels/device/device.hpp"

namespace lanner::host {
namespace {

// As long as a window's may be.
constexpr std::size_t entity_bytes_max = 1024;

// There is no model to be told by: the settings are all that was given, and this says of what.
std::string hash_of(const std::string& value, const engine::Settings& settings) {
  std::string text = "lanner series 1\nvalue=" + value + "\n";
  for (const auto& [name, setting] : settings.values()) text += name + "=" + setting + "\n";
  return engine::sha256(std::as_bytes(std::span(text)));
}

std::size_t place_of(const std::string& value, const engine::Schema& schema) {
  const auto found = std::ranges::find_if(
      schema.fields, [&](const engine::FieldSpec& field) { return field.name == value; });
  return static_cast<std::size_t>(found - schema.fields.begin());
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

std::string_view entity_of(const engine::Records& records, std::size_t row) {
  return records.entity.empty() ? std::string_view() : records.entity[row];
}

void put_refused(Scores& out, std::size_t row) {
  out.score[row] = std::numeric_limits<float>::quiet_NaN();
  out.p_value[row] = 1;
  out.threshold[row] = 0;
  out.extrapolated[row] = 0;
  out.flag[row] = engine::flag_refused;
}

// Both sides of a comparison that was made on scores: rounding must not turn it around.
double threshold_of(const engine::SeriesScore& row, double p_value) {
  const double threshold = engine::tail_probability(row.threshold);
  return row.alarm ? std::max(threshold, p_value) : std::min(threshold, std::nextafter(p_value, 0.0));
}

}  // namespace

void SeriesState::show() {
  entities.set(series.entities());
  warm.set(series.warm());
  warm_up_rows.set(series.warm_up_rows());
  evicted.set(series.evicted());
}

SeriesLane::SeriesLane(const StreamConfig& config, const std::string& value, const SeriesLane* before)
    : LaneIdentity(identity_of(config, value)),
      stream(config.name),
      field(place_of(value, config.schema)),
      has_entity(!config.schema.entity.empty()),
      skips_missing(config.series->skips_missing),
      entities_max(config.series->entities_max),
      state(before && before->hash == hash
                ? before->state
                : std::make_shared<SeriesState>(engine::series_parameters(config.series->settings))) {}

void SeriesLane::refuse(const engine::Records& records, std::size_t begin, std::size_t end,
                        std::span<std::uint8_t> refused, std::vector<engine::RowRefusal>& reasons) const {
  std::ranges::fill(refused, std::uint8_t{0});
  auto by_decoding = std::ranges::lower_bound(records.refused, begin, {}, &engine::RowRefusal::row);
  for (std::size_t row = begin; row < end; ++row) {
    std::uint8_t& is_refused = refused[row - begin];
    if (by_decoding != records.refused.end() && by_decoding->row == row) {
      is_refused = 1;
      ++by_decoding;
      continue;
    }
    const std::string_view entity = entity_of(records, row);
    const double number = records.number(row, field);
    const char* obstacle = nullptr;
    if (has_entity && entity.empty()) {
      obstacle = "missing entity";
    } else if (entity.size() > entity_bytes_max) {
      obstacle = "entity longer than 1024 bytes";
    } else if (std::isnan(number)) {
      obstacle = skips_missing ? nullptr : "missing";
    } else if (!engine::is_value(number)) {
      obstacle = std::isinf(number) ? "not finite" : "beyond 1e150";
    }
    if (!obstacle) continue;
    is_refused = 1;
    reasons.push_back({static_cast<std::uint32_t>(row), fmt::format("{}: {}", name, obstacle)});
  }
}

void SeriesLane::score(Stream& cpu, std::span<const BatchPart> parts, std::span<const std::uint8_t> refused,
                       std::size_t result) const {
  const FloatEnvironment environment;
  SeriesState& known = *state;
  const std::size_t warm_before = known.series.warm();
  const std::uint64_t evicted_before = known.series.evicted();
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
  if (warm_before == 0 && known.series.warm() > 0)
    spdlog::info("stream {}: {}: warm: {} of {} series", stream, name, known.series.warm(),
                 known.series.entities());
  if (evicted_before == 0 && known.series.evicted() > 0)
    spdlog::warn("stream {}: {}: more than entities_max, {}: series unseen longest make way, and begin anew",
                 stream, name, entities_max);
  known.show();
}

void SeriesLane::put(Batch& batch, std::size_t result, std::size_t row,
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
