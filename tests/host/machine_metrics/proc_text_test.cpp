// The parsers, on texts as kernels write them and as they don't.
#include "host/machine_metrics/proc_text.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include "host/machine_metrics/sampler.hpp"

namespace lanner::host::machine {
namespace {

std::size_t place_of(std::string_view name) {
  for (std::size_t m = 0; m < metric_count; ++m) {
    if (metrics()[m].name == name) return m;
  }
  ADD_FAILURE() << name;
  return 0;
}
double in(const std::array<double, metric_count>& values, std::string_view name) {
  return values[place_of(name)];
}

Texts earlier_texts() {
  Texts texts;
  const auto set = [&](ProcFile file, std::string text) {
    texts[static_cast<std::size_t>(file)] = std::move(text);
  };
  set(ProcFile::stat,
      "cpu  100 20 30 400 50 6 7 8 0 0\ncpu0 50 10 15 200 25 3 3 4 0 0\nintr 1000 1 2 3\nctxt 5000\nbtime "
      "1795346068\n"
      "processes 300\nprocs_running 3\nprocs_blocked 1\nsoftirq 9 9 9\n");
  set(ProcFile::loadavg, "1.25 0.50 0.25 2/345 6789\n");
  set(ProcFile::meminfo,
      "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    9000000 kB\nCached:        "
      "  4000000 kB\n"
      "SwapCached:            5 kB\nDirty:               120 kB\n");
  set(ProcFile::vmstat, "nr_free_pages 1\npgfault 70000\npgmajfault 40\npgfault_extra 3\n");
  set(ProcFile::diskstats,
      "   7       0 loop0 9 9 9 9 9 9 9 9 9 9 9\n"
      "   8       0 sda 100 0 2000 10 200 0 4000 20 0 30 30 0 0 0 0 0 0\n"
      "   8       1 sda1 90 0 1900 10 190 0 3900 20 0 30 30\n"
      " 259       0 nvme0n1 10 0 80 1 20 0 160 2 0 3 3\n"
      " 259       1 nvme0n1p1 9 0 70 1 19 0 150 2 0 3 3\n"
      " 253       0 dm-0 99 0 999 1 99 0 999 2 0 3 3\n"
      " 253       1 zram0 99 0 999 1 99 0 999 2 0 3 3\n");
  set(ProcFile::net_dev,
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo "
      "colls carrier "
      "compressed\n"
      "    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     "
      "0       0 0\n"
      "  eth0:100000 200 0 0 0 0 0 0 5000 60 0 0 0 0 0 0\n");
  set(ProcFile::cpu_pressure,
      "some avg10=1.00 avg60=1.00 avg300=1.00 total=2000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 "
      "total=7\n");
  set(ProcFile::io_pressure, "some avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n");
  set(ProcFile::memory_pressure, "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
  return texts;
}

Texts later_texts() {
  Texts texts = earlier_texts();
  const auto set = [&](ProcFile file, std::string text) {
    texts[static_cast<std::size_t>(file)] = std::move(text);
  };
  // 20 of cpu time: 8 user and nice, 5 system with interrupts, 2 waiting, 3 idle, 2 stolen.
  set(ProcFile::stat,
      "cpu  106 22 33 403 52 7 8 10 0 0\nintr 1500 1\nctxt 5100\nprocesses 310\nprocs_running "
      "4\nprocs_blocked 0\n");
  set(ProcFile::loadavg, "1.50 0.50 0.25 2/345 6789\n");
  set(ProcFile::vmstat, "pgfault 70200\npgmajfault 41\n");
  set(ProcFile::diskstats,
      "   8       0 sda 110 0 2100 10 202 0 4100 20 0 30 30\n   8       1 sda1 95 0 1999 10 190 0 3900 20 0 "
      "30 30\n"
      " 259       0 nvme0n1 11 0 88 1 20 0 160 2 0 3 3\n");
  set(ProcFile::net_dev,
      "    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     "
      "0       0 0\n"
      "  eth0:101000 210 0 0 0 0 0 0 5500 65 0 0 0 0 0 0\n");
  set(ProcFile::cpu_pressure, "some avg10=1.00 avg60=1.00 avg300=1.00 total=2150000\n");
  return texts;
}

TEST(ProcText, GrowthBecomesSharesAndRates) {
  const auto values = measure(read_texts(earlier_texts()), read_texts(later_texts()), 0.5);
  EXPECT_DOUBLE_EQ(in(values, "cpu_user"), 8.0 / 20);
  EXPECT_DOUBLE_EQ(in(values, "cpu_system"), 5.0 / 20);
  EXPECT_DOUBLE_EQ(in(values, "cpu_iowait"), 2.0 / 20);
  EXPECT_DOUBLE_EQ(in(values, "cpu_idle"), 3.0 / 20);
  EXPECT_DOUBLE_EQ(in(values, "interrupts"), 1000);
  EXPECT_DOUBLE_EQ(in(values, "context_switches"), 200);
  EXPECT_DOUBLE_EQ(in(values, "forks"), 20);
  EXPECT_DOUBLE_EQ(in(values, "runnable"), 4);
  EXPECT_DOUBLE_EQ(in(values, "blocked"), 0);
  EXPECT_DOUBLE_EQ(in(values, "load"), 1.5);
  EXPECT_DOUBLE_EQ(in(values, "memory_available"), 9000000.0 * 1024);
  EXPECT_DOUBLE_EQ(in(values, "memory_dirty"), 120.0 * 1024);
  EXPECT_DOUBLE_EQ(in(values, "memory_cached"), 4000000.0 * 1024);
  EXPECT_DOUBLE_EQ(in(values, "page_faults"), 400);
  EXPECT_DOUBLE_EQ(in(values, "major_faults"), 2);
  EXPECT_DOUBLE_EQ(in(values, "disk_reads"), 22);
  EXPECT_DOUBLE_EQ(in(values, "disk_read_bytes"), 108 * 512 / 0.5);
  EXPECT_DOUBLE_EQ(in(values, "disk_writes"), 4);
  EXPECT_DOUBLE_EQ(in(values, "disk_write_bytes"), 100 * 512 / 0.5);
  EXPECT_DOUBLE_EQ(in(values, "network_received_bytes"), 2000);
  EXPECT_DOUBLE_EQ(in(values, "network_received_packets"), 20);
  EXPECT_DOUBLE_EQ(in(values, "network_sent_bytes"), 1000);
  EXPECT_DOUBLE_EQ(in(values, "network_sent_packets"), 10);
  EXPECT_NEAR(in(values, "cpu_pressure"), 0.3, 1e-12);
  EXPECT_DOUBLE_EQ(in(values, "io_pressure"), 0);
  EXPECT_DOUBLE_EQ(in(values, "memory_pressure"), 0);
}

TEST(ProcText, WhatIsMissingIsMissingAlone) {
  for (std::size_t file = 0; file < proc_paths.size(); ++file) {
    Texts texts = earlier_texts();
    texts[file].clear();
    const Reading reading = read_texts(texts);
    for (std::size_t m = 0; m < metric_count; ++m)
      EXPECT_EQ(std::isnan(reading.values[m]), static_cast<std::size_t>(metrics()[m].file) == file)
          << metrics()[m].name;
  }
}

TEST(ProcText, CountersThatGoBackAreMissingAndIdleTimeIsNot) {
  Texts later = later_texts();
  later[static_cast<std::size_t>(ProcFile::diskstats)] = "   8       0 sda 1 0 1 1 1 0 1 1 0 1 1\n";
  later[static_cast<std::size_t>(ProcFile::stat)] = "cpu  140 20 30 399 50 6 7 8 0 0\n";
  const auto values = measure(read_texts(earlier_texts()), read_texts(later), 1);
  EXPECT_TRUE(std::isnan(in(values, "disk_reads")));
  EXPECT_EQ(in(values, "cpu_idle"), 0);
  EXPECT_TRUE(std::isnan(in(values, "forks")));
  const auto still = measure(read_texts(later), read_texts(later), 0);
  EXPECT_TRUE(std::isnan(in(still, "cpu_user")));
  EXPECT_TRUE(std::isnan(in(still, "page_faults")));
  EXPECT_EQ(in(still, "load"), 1.5);
}

TEST(ProcText, OldKernelsTellLess) {
  Texts texts;
  texts[static_cast<std::size_t>(ProcFile::stat)] = "cpu 1 2 3 4\n";
  texts[static_cast<std::size_t>(ProcFile::diskstats)] = "   8       1 sda1 1 2 3 4\n";
  const Reading reading = read_texts(texts);
  EXPECT_EQ(reading.cpu_time, 10);
  EXPECT_TRUE(std::isnan(reading.values[place_of("cpu_iowait")]));
  EXPECT_TRUE(std::isnan(reading.values[place_of("disk_reads")]));
}

TEST(ProcText, AnyTextIsRead) {
  std::mt19937 random(5);
  const Texts good = earlier_texts();
  for (int attempt = 0; attempt < 3000; ++attempt) {
    Texts texts = good;
    for (std::string& text : texts) {
      for (unsigned n = random() % 6; n-- > 0 && !text.empty();) {
        const std::size_t at = random() % text.size();
        if (random() % 3 == 0) {
          text.resize(at);
        } else {
          text[at] = static_cast<char>(random());
        }
      }
    }
    const auto values = measure(read_texts(good), read_texts(texts), 0.1);
    for (const double value : values) EXPECT_FALSE(std::isinf(value));
  }
}

TEST(Metrics, NamesAreDistinctAndDescribed) {
  std::set<std::string_view> names;
  for (const Metric& metric : metrics()) {
    EXPECT_TRUE(names.insert(metric.name).second) << metric.name;
    EXPECT_FALSE(metric.unit.empty() || metric.summary.empty());
  }
  EXPECT_EQ(names.size(), metric_count);
}

TEST(Sampler, ReadsThisMachine) {
  if (access("/proc/stat", R_OK) != 0) GTEST_SKIP() << "no /proc here";
  Sampler sampler;
  ASSERT_EQ(sampler.available().size() + sampler.absent().size(), metric_count);
  volatile double sink = 0;
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
  while (std::chrono::steady_clock::now() < until) sink = sink + 1;
  const auto values = sampler.sample();
  double shares = 0;
  for (const char* name : {"cpu_user", "cpu_system", "cpu_iowait", "cpu_idle"}) {
    EXPECT_GE(in(values, name), 0);
    shares += in(values, name);
  }
  EXPECT_LE(shares, 1.1);
  EXPECT_GT(in(values, "cpu_user"), 0) << "this very loop";
  EXPECT_GE(in(values, "runnable"), 1);
  EXPECT_GT(in(values, "memory_available"), 1 << 20);
}

TEST(Sampler, AMachineWithLessLeavesItOut) {
  const auto folder = std::filesystem::path(testing::TempDir()) / ("proc" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  EXPECT_THROW(Sampler{folder}, std::system_error);
  std::ofstream(folder / "loadavg") << "0.5 0.5 0.5 1/2 3\n";
  Sampler sampler(folder);
  EXPECT_EQ(sampler.available(), std::vector<std::size_t>{place_of("load")});
  EXPECT_EQ(sampler.absent().size(), metric_count - 1);
  std::ofstream(folder / "loadavg") << "2.5 0.5 0.5 1/2 3\n";
  EXPECT_EQ(in(sampler.sample(), "load"), 2.5);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace lanner::host::machine
