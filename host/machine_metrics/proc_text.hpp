// What Linux tells about itself in /proc, as text in and numbers out.
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <string_view>

namespace lanner::host::machine {

/// The files that are read, in the order of Texts.
enum class ProcFile {
  stat,
  loadavg,
  meminfo,
  vmstat,
  diskstats,
  net_dev,
  cpu_pressure,
  io_pressure,
  memory_pressure
};
inline constexpr std::array<std::string_view, 9> proc_paths{"stat",         "loadavg",     "meminfo",
                                                            "vmstat",       "diskstats",   "net/dev",
                                                            "pressure/cpu", "pressure/io", "pressure/memory"};

/// How a metric follows from what is read.
enum class Measure {
  level,       ///< as read
  per_second,  ///< growth per second
  share,       ///< growth as a share of all CPUs' time
};

struct Metric {
  std::string_view name, unit, summary;
  ProcFile file;
  Measure measure;
};

/// Every metric there may be; a machine may lack some.
std::span<const Metric> metrics();
inline constexpr std::size_t metric_count = 26;

/// One reading: what the files say, before growth is taken. NaN where a file or a line is missing.
struct Reading {
  std::array<double, metric_count> values;
  double cpu_time = std::numeric_limits<double>::quiet_NaN();  ///< of all CPUs, in any state

  Reading() { values.fill(std::numeric_limits<double>::quiet_NaN()); }
};

/// The texts of the files; empty where one can't be read. Disks are counted whole: no partitions, loop
/// devices, RAM disks or devices made of other devices. Network interfaces are summed over, loopback
/// included.
using Texts = std::array<std::string, proc_paths.size()>;
Reading read_texts(const Texts&);

/// The metrics between two readings `seconds` apart; NaN where either lacks what it takes, or a counter went
/// back.
std::array<double, metric_count> measure(const Reading& before, const Reading& after, double seconds);

}  // namespace lanner::host::machine
