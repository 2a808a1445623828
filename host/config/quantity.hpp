// Quantities as people write them: numbers, durations, sizes, addresses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lanner::host {

bool parse_whole(std::string_view, std::uint64_t& into);
/// Finite, the whole text.
bool parse_number(std::string_view, double& into);
/// "500ms", "30s", "5m", "1h", "7d", with decimals ("1.5h"); nullopt for anything else, negatives and
/// overflow.
std::optional<std::int64_t> parse_duration_ns(std::string_view);
/// "65536", "64 KiB", "16MiB", "1 GiB".
std::optional<std::uint64_t> parse_bytes(std::string_view);
/// "0", "2-5,8": core numbers below 1024, ascending, each once.
std::optional<std::vector<int>> parse_cores(std::string_view);
/// "127.0.0.1:8080", "[::1]:8080", "*:0": host and port.
std::optional<std::pair<std::string, std::uint16_t>> parse_host_port(std::string_view);

}  // namespace lanner::host
