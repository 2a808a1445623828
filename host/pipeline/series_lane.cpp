#include "host/pipeline/series_lane.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace lanner::host {
namespace {

// As long as a window's may be.
constexpr std::size_t entity_bytes_max = 1024;

}  // namespace

SeriesLane::SeriesLane(LaneIdentity identity, const StreamConfig& config, std::size_t most,
                       std::size_t warm_up_rows)
    : LaneIdentity(std::move(identity)),
      stream(config.name),
      has_entity(!config.schema.entity.empty()),
      entities_max(most),
      warm_up(warm_up_rows) {}

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
    const char* why = nullptr;
    if (has_entity && entity.empty()) {
      why = "missing entity";
    } else if (entity.size() > entity_bytes_max) {
      why = "entity longer than 1024 bytes";
    } else {
      why = obstacle(records, row);
    }
    if (!why) continue;
    is_refused = 1;
    reasons.push_back({static_cast<std::uint32_t>(row), fmt::format("{}: {}", name, why)});
  }
}

void SeriesLane::say_news(std::size_t entities, std::size_t warm, std::uint64_t evicted) const {
  if (counters->warm == 0 && warm > 0)
    spdlog::info("stream {}: {}: warm: {} of {} series", stream, name, warm, entities);
  if (counters->evicted == 0 && evicted > 0)
    spdlog::warn("stream {}: {}: more than entities_max, {}: series unseen longest make way, and begin anew",
                 stream, name, entities_max);
  counters->entities.set(entities);
  counters->warm.set(warm);
  counters->evicted.set(evicted);
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

std::size_t place_of(const std::string& field, const engine::Schema& schema) {
  const auto found =
      std::ranges::find_if(schema.fields, [&](const engine::FieldSpec& spec) { return spec.name == field; });
  return static_cast<std::size_t>(found - schema.fields.begin());
}

}  // namespace lanner::host
