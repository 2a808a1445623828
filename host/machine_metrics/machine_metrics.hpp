// A producer of real events: this machine's own metrics, from /proc, sent over ZeroMQ (docs/wire.md); and a
// disturbance for them to show.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace lanner::host {

struct MachineMetricsOptions {
  std::string to;  ///< the host's lossy ingest endpoint
  std::string stream;
  double every_ms = 100;  ///< 10 (the kernel counts CPU time in such steps) to 3600000
  double seconds = 0;     ///< 0: until SIGINT or SIGTERM
  /// The names under which an event's time (ns) and this machine's name are sent.
  std::string time_field = "at", entity_field = "host";
};

/// A line for the user: what is left out, what was sent.
using Say = std::function<void(const std::string&)>;

/// Sends one event a batch, JSON lines, PUSH. What nobody takes is dropped and counted. Takes over SIGINT and
/// SIGTERM while it runs. Returns 0. Throws std::invalid_argument for options that can't be,
/// std::system_error with no /proc.
int run_machine_metrics(const MachineMetricsOptions&, const Say&);

/// The metrics that this machine has, a line each: name, unit, summary.
std::string describe_machine_metrics();

struct DisturbanceOptions {
  double seconds = 8;                           ///< above 0, at most 600
  std::uint64_t memory_bytes_max = 512u << 20;  ///< and at most a tenth of what is available
  std::uint64_t file_bytes_max = 256u << 20;    ///< and at most a tenth of what is free
  std::filesystem::path folder;                 ///< where the file is; empty: TMPDIR, /var/tmp or /tmp
};

/// Keeps every CPU busy, touches memory, writes and syncs a file, until the time is over or SIGINT or SIGTERM
/// comes. The file has no name from the start, so nothing is left behind even by SIGKILL. Returns 0. Throws
/// std::invalid_argument for options that can't be.
int run_disturbance(const DisturbanceOptions&, const Say&);

}  // namespace lanner::host
