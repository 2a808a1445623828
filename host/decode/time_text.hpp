// Times as people write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace lanner::host {

/// ISO 8601 / RFC 3339: "2026-09-21T12:53:19.25Z", a space for the T, no zone (UTC), or an offset (+02:00);
/// or a date alone (its midnight). Nanoseconds since the Unix epoch; digits beyond nanoseconds are dropped.
/// Nothing for any other text, an impossible date, a leap second, or a time outside what int64 nanoseconds
/// hold (years 1677 to 2262).
std::optional<std::int64_t> parse_time(std::string_view text);

/// Seconds since the epoch (negative: before it) and 0 to 999,999,999 nanoseconds after that second, as
/// nanoseconds; nothing where int64 does not hold them.
std::optional<std::int64_t> to_nanoseconds(std::int64_t seconds, std::int64_t nanoseconds);

}  // namespace lanner::host
