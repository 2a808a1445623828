#include "host/config/quantity.hpp"

#include <charconv>
#include <cmath>

namespace lanner::host {
namespace {

// The leading number, and what follows it without spaces between.
bool split(std::string_view text, double& number, std::string_view& unit) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number) || number < 0) return false;
  unit = text.substr(static_cast<std::size_t>(end - text.data()));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  return true;
}

}  // namespace

bool parse_whole(std::string_view text, std::uint64_t& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

bool parse_number(std::string_view text, double& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc() && end == text.data() + text.size() && !text.empty() && std::isfinite(into);
}

std::optional<std::int64_t> parse_duration_ns(std::string_view text) {
  double number = 0;
  std::string_view unit;
  if (!split(text, number, unit)) return std::nullopt;
  double ns = 0;
  if (unit == "ns")
    ns = 1;
  else if (unit == "us")
    ns = 1e3;
  else if (unit == "ms")
    ns = 1e6;
  else if (unit == "s")
    ns = 1e9;
  else if (unit == "m" || unit == "min")
    ns = 60e9;
  else if (unit == "h")
    ns = 3600e9;
  else if (unit == "d")
    ns = 86400e9;
  else
    return std::nullopt;
  if (number * ns > 9.0e18) return std::nullopt;
  return static_cast<std::int64_t>(std::llround(number * ns));
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  double number = 0;
  std::string_view unit;
  if (!split(text, number, unit)) return std::nullopt;
  double factor = 0;
  if (unit.empty() || unit == "B")
    factor = 1;
  else if (unit == "KiB")
    factor = 1024;
  else if (unit == "MiB")
    factor = 1024.0 * 1024;
  else if (unit == "GiB")
    factor = 1024.0 * 1024 * 1024;
  else
    return std::nullopt;
  const double bytes = number * factor;
  if (bytes > 9.0e15 || bytes != std::floor(bytes)) return std::nullopt;
  return static_cast<std::uint64_t>(bytes);
}

std::optional<std::vector<int>> parse_cores(std::string_view text) {
  constexpr std::uint64_t cores_max = 1024;
  std::vector<int> cores;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const std::size_t dash = part.find('-');
    std::uint64_t first = 0, last = 0;
    if (!parse_whole(part.substr(0, dash), first)) return std::nullopt;
    last = first;
    if (dash != std::string_view::npos && !parse_whole(part.substr(dash + 1), last)) return std::nullopt;
    if (first > last || last >= cores_max) return std::nullopt;
    if (!cores.empty() && static_cast<int>(first) <= cores.back()) return std::nullopt;
    for (std::uint64_t core = first; core <= last; ++core) cores.push_back(static_cast<int>(core));
    if (comma == std::string_view::npos) return cores;
    text.remove_prefix(comma + 1);
  }
}

std::optional<std::pair<std::string, std::uint16_t>> parse_host_port(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  std::uint64_t number = 0;
  if (port == "*") {
    number = 0;
  } else if (!parse_whole(port, number) || number > 65535) {
    return std::nullopt;
  }
  if (host.starts_with('[')) {
    if (!host.ends_with(']') || host.size() < 3) return std::nullopt;
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;
  }
  return std::make_pair(std::string(host), static_cast<std::uint16_t>(number));
}

}  // namespace lanner::host
