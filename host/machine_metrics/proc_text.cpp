#include "host/machine_metrics/proc_text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

namespace lanner::host::machine {
namespace {

// Places in the table below.
enum Place : std::size_t {
  cpu_user,
  cpu_system,
  cpu_iowait,
  cpu_idle,
  context_switches,
  interrupts,
  forks,
  runnable,
  blocked,
  load,
  memory_available,
  memory_dirty,
  memory_cached,
  page_faults,
  major_faults,
  disk_read_bytes,
  disk_write_bytes,
  disk_reads,
  disk_writes,
  network_received_bytes,
  network_sent_bytes,
  network_received_packets,
  network_sent_packets,
  cpu_pressure,
  io_pressure,
  memory_pressure,
};

constexpr std::array<Metric, metric_count> table{{
    {"cpu_user", "share of all CPUs", "running programs, nice ones included", ProcFile::stat, Measure::share},
    {"cpu_system", "share of all CPUs", "in the kernel, interrupts included", ProcFile::stat, Measure::share},
    {"cpu_iowait", "share of all CPUs", "idle, waiting for a disk", ProcFile::stat, Measure::share},
    {"cpu_idle", "share of all CPUs", "idle", ProcFile::stat, Measure::share},
    {"context_switches", "1/s", "context switches", ProcFile::stat, Measure::per_second},
    {"interrupts", "1/s", "interrupts", ProcFile::stat, Measure::per_second},
    {"forks", "1/s", "processes and threads started", ProcFile::stat, Measure::per_second},
    {"runnable", "processes", "running or ready to run", ProcFile::stat, Measure::level},
    {"blocked", "processes", "waiting for a disk", ProcFile::stat, Measure::level},
    {"load", "processes", "load average over a minute", ProcFile::loadavg, Measure::level},
    {"memory_available", "bytes", "memory that programs could still get", ProcFile::meminfo, Measure::level},
    {"memory_dirty", "bytes", "written, and not yet on a disk", ProcFile::meminfo, Measure::level},
    {"memory_cached", "bytes", "file contents held in memory", ProcFile::meminfo, Measure::level},
    {"page_faults", "1/s", "page faults", ProcFile::vmstat, Measure::per_second},
    {"major_faults", "1/s", "page faults that took a disk", ProcFile::vmstat, Measure::per_second},
    {"disk_read_bytes", "bytes/s", "read from disks", ProcFile::diskstats, Measure::per_second},
    {"disk_write_bytes", "bytes/s", "written to disks", ProcFile::diskstats, Measure::per_second},
    {"disk_reads", "1/s", "reads from disks", ProcFile::diskstats, Measure::per_second},
    {"disk_writes", "1/s", "writes to disks", ProcFile::diskstats, Measure::per_second},
    {"network_received_bytes", "bytes/s", "received, all interfaces", ProcFile::net_dev, Measure::per_second},
    {"network_sent_bytes", "bytes/s", "sent, all interfaces", ProcFile::net_dev, Measure::per_second},
    {"network_received_packets", "1/s", "packets received, all interfaces", ProcFile::net_dev,
     Measure::per_second},
    {"network_sent_packets", "1/s", "packets sent, all interfaces", ProcFile::net_dev, Measure::per_second},
    {"cpu_pressure", "share of the time", "some task waited for a CPU", ProcFile::cpu_pressure,
     Measure::per_second},
    {"io_pressure", "share of the time", "some task waited for a disk", ProcFile::io_pressure,
     Measure::per_second},
    {"memory_pressure", "share of the time", "some task waited for memory", ProcFile::memory_pressure,
     Measure::per_second},
}};
static_assert(memory_pressure + 1 == metric_count);

constexpr double nothing = std::numeric_limits<double>::quiet_NaN();

bool blank(char c) {
  return c == ' ' || c == '\t';
}

/// Takes the next word off the line; empty at its end.
std::string_view word_of(std::string_view& line) {
  std::size_t begin = 0;
  while (begin < line.size() && blank(line[begin])) ++begin;
  std::size_t end = begin;
  while (end < line.size() && !blank(line[end])) ++end;
  const std::string_view word = line.substr(begin, end - begin);
  line.remove_prefix(end);
  return word;
}

double number_of(std::string_view word) {
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  return error == std::errc() && end == word.data() + word.size() && std::isfinite(value) ? value : nothing;
}
double next_number(std::string_view& line) {
  return number_of(word_of(line));
}

/// The numbers that the line begins with, at most N; NaN where it ends.
template <std::size_t N>
std::array<double, N> numbers_of(std::string_view line) {
  std::array<double, N> numbers;
  for (double& number : numbers) number = next_number(line);
  return numbers;
}

template <class Take>
void each_line(std::string_view text, Take&& take) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    take(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

double or_zero(double value) {
  return std::isnan(value) ? 0 : value;
}

void read_stat(std::string_view text, Reading& reading) {
  auto& v = reading.values;
  each_line(text, [&](std::string_view line) {
    const std::string_view key = word_of(line);
    if (key == "cpu") {
      // user nice system idle iowait irq softirq steal; guest time is in user already. Old kernels end
      // earlier.
      const auto n = numbers_of<8>(line);
      v[cpu_user] = n[0] + n[1];
      v[cpu_system] = n[2] + or_zero(n[5]) + or_zero(n[6]);
      v[cpu_idle] = n[3];
      v[cpu_iowait] = n[4];
      reading.cpu_time = 0;
      for (const double time : n) reading.cpu_time += or_zero(time);
    } else if (key == "ctxt") {
      v[context_switches] = next_number(line);
    } else if (key == "intr") {
      v[interrupts] = next_number(line);
    } else if (key == "processes") {
      v[forks] = next_number(line);
    } else if (key == "procs_running") {
      v[runnable] = next_number(line);
    } else if (key == "procs_blocked") {
      v[blocked] = next_number(line);
    }
  });
}

void read_meminfo(std::string_view text, Reading& reading) {
  each_line(text, [&](std::string_view line) {
    const std::string_view key = word_of(line);
    const Place place = key == "MemAvailable:" ? memory_available
                        : key == "Dirty:"      ? memory_dirty
                        : key == "Cached:"     ? memory_cached
                                               : Place{metric_count};
    if (place < metric_count) reading.values[place] = next_number(line) * 1024;
  });
}

void read_vmstat(std::string_view text, Reading& reading) {
  each_line(text, [&](std::string_view line) {
    const std::string_view key = word_of(line);
    if (key == "pgfault") reading.values[page_faults] = next_number(line);
    if (key == "pgmajfault") reading.values[major_faults] = next_number(line);
  });
}

bool is_whole_disk(std::string_view name, const std::vector<std::string_view>& disks) {
  for (const std::string_view made : {"loop", "ram", "zram", "dm-", "md", "sr", "fd"}) {
    if (name.starts_with(made)) return false;
  }
  // sda1 of sda, nvme0n1p1 of nvme0n1: a disk is listed before its partitions.
  for (const std::string_view disk : disks) {
    if (!name.starts_with(disk) || name.size() == disk.size()) continue;
    std::string_view rest = name.substr(disk.size());
    if (rest.front() == 'p') rest.remove_prefix(1);
    if (!rest.empty() && rest.find_first_not_of("0123456789") == std::string_view::npos) return false;
  }
  return true;
}

void read_diskstats(std::string_view text, Reading& reading) {
  constexpr double sector_bytes = 512;
  std::vector<std::string_view> disks;
  double reads = 0, sectors_read = 0, writes = 0, sectors_written = 0;
  each_line(text, [&](std::string_view line) {
    word_of(line);
    word_of(line);
    const std::string_view name = word_of(line);
    // reads, merged, sectors, ms; writes, merged, sectors.
    const auto n = numbers_of<7>(line);
    if (name.empty() || std::isnan(n[6]) || !is_whole_disk(name, disks)) return;
    disks.push_back(name);
    reads += n[0];
    sectors_read += n[2];
    writes += n[4];
    sectors_written += n[6];
  });
  if (disks.empty()) return;
  reading.values[disk_reads] = reads;
  reading.values[disk_read_bytes] = sectors_read * sector_bytes;
  reading.values[disk_writes] = writes;
  reading.values[disk_write_bytes] = sectors_written * sector_bytes;
}

void read_net_dev(std::string_view text, Reading& reading) {
  bool any = false;
  double received = 0, packets_received = 0, sent = 0, packets_sent = 0;
  each_line(text, [&](std::string_view line) {
    const std::size_t colon = line.find(':');  // the number may follow it without a blank
    if (colon == std::string_view::npos) return;
    const auto n = numbers_of<10>(line.substr(colon + 1));
    if (std::isnan(n[9])) return;
    any = true;
    received += n[0];
    packets_received += n[1];
    sent += n[8];
    packets_sent += n[9];
  });
  if (!any) return;
  reading.values[network_received_bytes] = received;
  reading.values[network_received_packets] = packets_received;
  reading.values[network_sent_bytes] = sent;
  reading.values[network_sent_packets] = packets_sent;
}

/// Seconds in which some task waited.
double stalled_of(std::string_view text) {
  double seconds = nothing;
  each_line(text, [&](std::string_view line) {
    if (word_of(line) != "some") return;
    for (std::string_view word = word_of(line); !word.empty(); word = word_of(line)) {
      if (word.starts_with("total=")) seconds = number_of(word.substr(6)) * 1e-6;
    }
  });
  return seconds;
}

}  // namespace

std::span<const Metric> metrics() {
  return table;
}

Reading read_texts(const Texts& texts) {
  const auto text = [&](ProcFile file) { return std::string_view(texts[static_cast<std::size_t>(file)]); };
  Reading reading;
  read_stat(text(ProcFile::stat), reading);
  std::string_view loads = text(ProcFile::loadavg);
  reading.values[load] = next_number(loads);
  read_meminfo(text(ProcFile::meminfo), reading);
  read_vmstat(text(ProcFile::vmstat), reading);
  read_diskstats(text(ProcFile::diskstats), reading);
  read_net_dev(text(ProcFile::net_dev), reading);
  reading.values[cpu_pressure] = stalled_of(text(ProcFile::cpu_pressure));
  reading.values[io_pressure] = stalled_of(text(ProcFile::io_pressure));
  reading.values[memory_pressure] = stalled_of(text(ProcFile::memory_pressure));
  return reading;
}

std::array<double, metric_count> measure(const Reading& before, const Reading& after, double seconds) {
  std::array<double, metric_count> result;
  for (std::size_t m = 0; m < metric_count; ++m) {
    const double growth = after.values[m] - before.values[m];
    const double over = table[m].measure == Measure::share ? after.cpu_time - before.cpu_time : seconds;
    switch (table[m].measure) {
      case Measure::level:
        result[m] = after.values[m];
        break;
      // A counter goes back when a disk or an interface goes.
      case Measure::per_second:
        result[m] = growth >= 0 && over > 0 ? growth / over : nothing;
        break;
      // Idle time may go back by a tick.
      case Measure::share:
        result[m] = over > 0 && !std::isnan(growth) ? std::max(growth, 0.0) / over : nothing;
        break;
    }
  }
  return result;
}

}  // namespace lanner::host::machine
