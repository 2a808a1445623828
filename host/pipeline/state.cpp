#include "host/pipeline/state.hpp"

#include <cstdint>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <zlib.h>

#include "host/results/file.hpp"

namespace lanner::host {
namespace {

// Mark, CRC-32 of the body, body: entries of stream, model, hash, rule, windows, numbers of the decision
// rule and of the drift watch, each as its length and its bytes. An entry of series has them for windows.
constexpr std::string_view mark = "LANNERS2";
constexpr std::size_t body_begin = mark.size() + sizeof(std::uint32_t);

std::uint32_t checksum(std::string_view bytes) {
  return static_cast<std::uint32_t>(::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

template <class T>
std::string_view bytes_of(const std::vector<T>& items) {
  return {reinterpret_cast<const char*>(items.data()), items.size() * sizeof(T)};
}

void put(std::string& out, std::string_view bytes) {
  const std::uint64_t size = bytes.size();
  out.append(reinterpret_cast<const char*>(&size), sizeof size);
  out.append(bytes);
}

std::string_view take(std::string_view& from) {
  std::uint64_t size = 0;
  if (from.size() < sizeof size) throw std::invalid_argument("cut short");
  std::memcpy(&size, from.data(), sizeof size);
  from.remove_prefix(sizeof size);
  if (from.size() < size) throw std::invalid_argument("cut short");
  const std::string_view bytes = from.substr(0, size);
  from.remove_prefix(size);
  return bytes;
}

struct Entry {
  std::string_view stream, model, hash, rule, windows, decider, drift;
};

std::vector<Entry> entries_of(std::string_view bytes) {
  std::uint32_t sum = 0;
  if (!bytes.starts_with(mark) || bytes.size() < body_begin)
    throw std::invalid_argument("it is none of this version");
  std::memcpy(&sum, bytes.data() + mark.size(), sizeof sum);
  std::string_view body = bytes.substr(body_begin);
  if (checksum(body) != sum) throw std::invalid_argument("it is damaged");
  std::vector<Entry> entries;
  while (!body.empty()) {
    Entry& entry = entries.emplace_back();
    for (std::string_view* part : {&entry.stream, &entry.model, &entry.hash, &entry.rule, &entry.windows,
                                   &entry.decider, &entry.drift})
      *part = take(body);
  }
  return entries;
}

bool in_memory_only(const Route& route) {
  return route.series.empty() && route.config.models.empty() &&
         (!route.config.learn || route.config.learn->save.empty());
}

/// Whether a guarantee still holds goes with decisions.
bool has_decisions(const Lane& lane) {
  return lane.drift || !lane.decider->state().empty();
}

bool has_state(const Lane& lane) {
  return lane.state || has_decisions(lane);
}

/// Of a lane with state.
std::string_view parts_of(const Lane& lane) {
  if (!lane.state) return "decisions";
  return has_decisions(lane) ? "windows and decisions" : "windows";
}

bool has_decisions(const SeriesLane& lane) {
  return lane.decider() && !lane.decider()->state().empty();
}

std::string_view parts_of(const SeriesLane& lane) {
  return has_decisions(lane) ? "series and decisions" : "series";
}

std::vector<double> numbers_of(std::string_view bytes) {
  std::vector<double> numbers(bytes.size() / sizeof(double));
  if (!numbers.empty()) std::memcpy(numbers.data(), bytes.data(), numbers.size() * sizeof(double));
  return numbers;
}

template <class Receive>
void each_with_state(const Routes& routes, Receive&& receive) {
  for (const auto& [name, route] : routes) {
    for (const auto& lane : route->lanes)
      if (has_state(*lane)) receive(*route, *lane);
    for (const auto& lane : route->series) receive(*route, *lane);
  }
}

Restored anew(const Route& route, const LaneIdentity& lane, std::string_view what, std::string_view reason) {
  return {fmt::format("stream {}: {}: {} start anew: {}", route.stream, lane.name, what, reason), false};
}

Restored goes_on(const Route& route, const LaneIdentity& lane, std::string_view what) {
  return {fmt::format("stream {}: {}: {} go on from the last clean stop", route.stream, lane.name, what),
          true};
}

Restored other_rule(const Route& route, const LaneIdentity& lane, const Entry& entry) {
  return anew(route, lane, "decisions", fmt::format("the last run's rule was {}", entry.rule));
}

std::span<const std::byte> raw(std::string_view bytes) {
  return std::as_bytes(std::span(bytes));
}

Restored restore_lane(const Route& route, const SeriesLane& lane, const Entry& entry) {
  if (entry.hash != lane.hash)
    return anew(route, lane, parts_of(lane),
                lane.decider() ? "the last run's model of this name was another"
                               : "the last run's settings were others");
  std::string_view what = "series";
  try {
    lane.restore(raw(entry.windows));
    what = "decisions";
    if (has_decisions(lane)) {
      if (entry.rule != lane.rule) return other_rule(route, lane, entry);
      lane.decider()->restore(numbers_of(entry.decider));
    }
  } catch (const std::invalid_argument& error) {
    return anew(route, lane, what, error.what());
  }
  return goes_on(route, lane, parts_of(lane));
}

Restored restore_lane(const Route& route, const Lane& lane, const Entry& entry) {
  if (entry.hash != lane.hash)
    return anew(route, lane, parts_of(lane), "the last run's model of this name was another");
  std::string_view what = "windows";
  try {
    if (lane.state) lane.state->restore(raw(entry.windows));
    what = "decisions";
    // Where the watch was off, or was for another run's version of it, there are no numbers.
    if (lane.drift && !entry.drift.empty()) lane.drift->restore(numbers_of(entry.drift));
    if (!lane.decider->state().empty()) {
      if (entry.rule != lane.rule) return other_rule(route, lane, entry);
      lane.decider->restore(numbers_of(entry.decider));
    }
  } catch (const std::invalid_argument& error) {
    return anew(route, lane, what, error.what());
  }
  return goes_on(route, lane, parts_of(lane));
}

void put_parts(std::string& out, const Lane& lane) {
  put(out, lane.rule);
  put(out, bytes_of(lane.state ? lane.state->snapshot() : std::vector<std::byte>()));
  put(out, bytes_of(lane.decider->state()));
  put(out, bytes_of(lane.drift ? lane.drift->state() : std::vector<double>()));
}

void put_parts(std::string& out, const SeriesLane& lane) {
  const bool decides = has_decisions(lane);
  put(out, decides ? std::string_view(lane.rule) : std::string_view());
  put(out, bytes_of(lane.snapshot()));
  put(out, bytes_of(decides ? lane.decider()->state() : std::vector<double>()));
  put(out, {});
}

}  // namespace

std::string state_of(const Routes& routes) {
  std::string out(body_begin, '\0');
  each_with_state(routes, [&](const Route& route, const auto& lane) {
    if (in_memory_only(route)) return;
    put(out, route.stream);
    put(out, lane.name);
    put(out, lane.hash);
    put_parts(out, lane);
  });
  if (out.size() == body_begin) return {};
  const std::uint32_t sum = checksum(std::string_view(out).substr(body_begin));
  std::memcpy(out.data(), mark.data(), mark.size());
  std::memcpy(out.data() + mark.size(), &sum, sizeof sum);
  return out;
}

std::vector<Restored> restore_state(std::string_view bytes, const Routes& routes) {
  std::vector<Entry> entries;
  try {
    entries = entries_of(bytes);
  } catch (const std::invalid_argument& error) {
    return begin_anew(fmt::format("the last run's state can't be read: {}", error.what()), routes);
  }
  std::vector<Restored> all;
  each_with_state(routes, [&](const Route& route, const auto& lane) {
    for (const Entry& entry : entries) {
      if (entry.stream == route.stream && entry.model == lane.name)
        return all.push_back(restore_lane(route, lane, entry));
    }
    all.push_back(anew(route, lane, parts_of(lane), "the last run had no such model"));
  });
  return all;
}

std::vector<Restored> begin_anew(std::string_view reason, const Routes& routes) {
  std::vector<Restored> all;
  each_with_state(routes, [&](const Route& route, const auto& lane) {
    all.push_back(anew(route, lane, parts_of(lane), reason));
  });
  return all;
}

StateFile::StateFile(const std::filesystem::path& directory)
    : directory_(directory), path_(directory / "state") {}

std::optional<std::string> StateFile::take() const {
  if (!std::filesystem::exists(path_)) return std::nullopt;
  std::string bytes;
  try {
    bytes = read_whole(path_);
  } catch (const std::system_error& error) {
    spdlog::warn("state: {}", error.what());
  }
  std::filesystem::remove(path_);
  sync_directory(directory_);
  return bytes;
}

void StateFile::keep(std::string_view bytes) const {
  if (bytes.empty()) return;
  const DirectoryLock lock(directory_);
  const std::filesystem::path fresh = path_.string() + ".new";
  try {
    DurableFile file(fresh, DurableFile::Open::truncate);
    file.append(bytes);
    file.sync();
    file.close();
    std::filesystem::rename(fresh, path_);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(fresh, ignored);
    throw;
  }
  sync_directory(directory_);
}

}  // namespace lanner::host
