#include "host/pipeline/status.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace lanner::host {
namespace {

using Json = nlohmann::ordered_json;

std::uint64_t count(const Counter& counter) {
  return counter;
}

std::string_view role_name(Role role) {
  return role == Role::active ? "active" : "shadow";
}

Json described(const LaneIdentity& lane) {
  return {{"name", lane.name},
          {"role", role_name(lane.role)},
          {"model_hash", lane.hash},
          {"detector", lane.detector},
          {"decide", lane.rule}};
}

Json series_of(const SeriesLane& lane) {
  const SeriesCounters& state = *lane.counters;
  const std::uint64_t entities = count(state.entities);
  return {{"entities", entities},
          {"warm", count(state.warm)},
          {"warm_up", {{"rows", count(state.warm_up_rows)}, {"rows_wanted", entities * lane.warm_up}}},
          {"evicted", count(state.evicted)}};
}

// null: nothing is watched.
Json drift_of(const Lane& lane) {
  constexpr std::size_t shown_max = 8;
  if (!lane.drift) return nullptr;
  Json distances = Json::object();
  for (const auto& [name, distance] : lane.drift->distances(shown_max)) distances[name] = distance;
  const std::uint64_t event = lane.drift->withdrawn_at();
  Json drift = {{"withdrawn", event != 0}, {"distances", std::move(distances)}};
  if (event != 0) {
    drift["event"] = event;
    drift["cause"] = lane.drift->cause();
  }
  return drift;
}

}  // namespace

std::vector<std::string> drifts(const Routes& routes) {
  std::vector<std::string> texts;
  for (const auto& [name, route] : routes)
    for (const auto& lane : route->lanes)
      if (lane->drift && lane->drift->withdrawn_at() != 0)
        texts.push_back(drift_text(name, lane->name, *lane->drift));
  return texts;
}

void Conditions::set(const std::string& key, std::string text) {
  std::lock_guard lock(mutex_);
  texts_[key] = std::move(text);
}

void Conditions::clear(const std::string& key) {
  std::lock_guard lock(mutex_);
  texts_.erase(key);
}

std::vector<std::string> Conditions::list() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> list;
  for (const auto& [key, text] : texts_) list.push_back(text);
  return list;
}

std::string status_json(const Standing& standing, const Counters& counters, const Routes& routes) {
  Json refused = Json::object();
  for (std::size_t i = 0; i < refusal_kinds; ++i)
    refused[std::string(name(static_cast<Refusal>(i)))] = count(counters.refused[i]);

  Json streams = Json::object();
  for (const auto& [name, route] : routes) {
    Json models = Json::array();
    for (const auto& lane : route->lanes) {
      models.push_back(described(*lane));
      models.back()["drift"] = drift_of(*lane);
    }
    for (const auto& lane : route->series) {
      models.push_back(described(*lane));
      models.back()["drift"] = nullptr;
      models.back()["series"] = series_of(*lane);
    }
    const StreamCounters& stream = *route->counters;
    Json& entry = streams[name];
    entry = {{"models", std::move(models)},
             {"in", count(stream.events_in)},
             {"scored", count(stream.events_scored)},
             {"refused", count(stream.events_refused)},
             {"alerts", count(stream.alerts)}};
    if (route->learning) {
      entry["learning"] = {{"state", route->learning->complete() ? "fitting" : "collecting"},
                           {"rows", count(stream.learned_rows)},
                           {"rows_wanted", route->learning->rows_wanted()},
                           {"failures", count(stream.learn_failures)}};
    }
    if (route->refitting) {
      entry["refit"] = {{"state", route->refitting->fitting() ? "fitting" : "collecting"},
                        {"rows", route->refitting->rows()},
                        {"rows_wanted", route->refitting->config().rows},
                        {"taken_over", count(stream.refits)},
                        {"refused", count(stream.refits_refused)},
                        {"failures", count(stream.refits_failed)},
                        {"last", route->refitting->outcome()}};
    }
  }

  const Json json = {
      {"v", 1},
      {"version", LANNER_VERSION},
      {"uptime_s", standing.uptime_s},
      {"device", standing.device},
      {"ready", standing.ready},
      {"degraded", standing.degraded},
      {"queues",
       {{"slots_to_score", standing.slots_queued},
        {"batches_to_publish", standing.batches_queued},
        {"batches_in_flight",
         standing.batches - std::min<std::uint64_t>(standing.batches, counters.batches_free)},
        {"batches_in_flight_max", standing.batches}}},
      {"events",
       {{"in", count(counters.events_in)},
        {"scored", count(counters.events_scored)},
        {"refused", count(counters.events_refused)},
        {"learning", count(counters.events_learning)},
        {"dropped", count(counters.published_dropped)}}},
      {"alerts", count(counters.alerts)},
      {"batches",
       {{"in", count(counters.batches_in)},
        {"settled", count(counters.batches_settled)},
        {"refused", count(counters.refused_batches)},
        {"repeated", count(counters.batches_repeated)},
        {"bytes", count(counters.bytes_in)}}},
      {"refused", std::move(refused)},
      {"published_dropped", count(counters.published_dropped)},
      {"results", {{"rows", count(counters.results_rows)}, {"failures", count(counters.results_failures)}}},
      {"reloads", {{"done", count(counters.reloads)}, {"refused", count(counters.reloads_refused)}}},
      {"streams", std::move(streams)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace lanner::host
