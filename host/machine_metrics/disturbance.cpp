#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "host/machine_metrics/machine_metrics.hpp"
#include "host/machine_metrics/sampler.hpp"
#include "host/machine_metrics/stop_signal.hpp"

namespace lanner::host {
namespace {

using Clock = std::chrono::steady_clock;

unsigned own_cpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
  return std::max(1u, std::thread::hardware_concurrency());
}

std::uint64_t tenth_of_available_memory() {
  machine::Sampler sampler;
  const auto values = sampler.sample();
  for (std::size_t m = 0; m < machine::metric_count; ++m) {
    if (machine::metrics()[m].name == "memory_available" && values[m] > 0)
      return static_cast<std::uint64_t>(values[m] / 10);
  }
  return 0;
}

/// A file with no name, so that it goes with the process however that ends.
class UnnamedFile {
 public:
  explicit UnnamedFile(const std::filesystem::path& folder) {
    std::string name = (folder / "lanner-disturbance-XXXXXX").string();
    file_ = mkostemp(name.data(), O_CLOEXEC);
    if (file_ < 0) throw std::system_error(errno, std::generic_category(), folder.string());
    unlink(name.c_str());
  }
  ~UnnamedFile() { close(file_); }
  UnnamedFile(const UnnamedFile&) = delete;
  UnnamedFile& operator=(const UnnamedFile&) = delete;

  std::uint64_t tenth_of_free() const {
    struct statvfs at {};
    return fstatvfs(file_, &at) == 0 ? std::uint64_t{at.f_bavail} * at.f_frsize / 10 : 0;
  }
  bool write_at(std::uint64_t place, const std::vector<char>& bytes) {
    return pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(place)) ==
               static_cast<ssize_t>(bytes.size()) &&
           fsync(file_) == 0;
  }

 private:
  int file_;
};

std::filesystem::path folder_of(const DisturbanceOptions& options) {
  if (!options.folder.empty()) return options.folder;
  if (const char* named = getenv("TMPDIR"); named && *named) return named;
  // /tmp is often memory; /var/tmp is a disk.
  return access("/var/tmp", W_OK) == 0 ? "/var/tmp" : "/tmp";
}

void keep_busy(const std::atomic<bool>& over) {
  volatile std::uint64_t x = 1;
  while (!over.load(std::memory_order_relaxed)) {
    for (int i = 0; i < 10'000; ++i) x = x * 6364136223846793005u + 1442695040888963407u;
  }
}

/// Maps, touches and gives back, over and over: memory and page faults both show.
void touch_memory(std::uint64_t bytes, const std::atomic<bool>& over) {
  constexpr std::uint64_t page = 4096;
  while (bytes >= page && !over) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    for (std::uint64_t at = 0; at < bytes && !over; at += page) static_cast<volatile char*>(memory)[at] = 1;
    for (int tenth = 0; tenth < 10 && !over; ++tenth)
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    munmap(memory, bytes);
  }
}

void write_disk(UnnamedFile& file, std::uint64_t bytes_max, const std::atomic<bool>& over) {
  const std::vector<char> chunk(1u << 20, 'x');
  if (bytes_max < chunk.size()) return;
  for (std::uint64_t place = 0; !over;
       place = place + 2 * chunk.size() <= bytes_max ? place + chunk.size() : 0) {
    if (!file.write_at(place, chunk)) return;
  }
}

}  // namespace

int run_disturbance(const DisturbanceOptions& options, const Say& say) {
  if (!(options.seconds > 0 && options.seconds <= 600))
    throw std::invalid_argument("--seconds: found " + std::to_string(options.seconds) +
                                ", allowed above 0 and at most 600");
  const machine::StopSignal signals;
  UnnamedFile file(folder_of(options));
  const std::uint64_t memory_bytes = std::min(options.memory_bytes_max, tenth_of_available_memory());
  const std::uint64_t file_bytes = std::min(options.file_bytes_max, file.tenth_of_free());
  const unsigned cpus = own_cpus();
  std::ostringstream duration;
  duration << options.seconds;
  say("disturbing for " + duration.str() + " s: " + std::to_string(cpus) + " busy CPUs, " +
      std::to_string(memory_bytes >> 20) + " MiB of memory, " + std::to_string(file_bytes >> 20) +
      " MiB written and synced in " + folder_of(options).string());

  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  const auto end = [&] {
    over = true;
    for (std::thread& thread : threads) thread.join();
  };
  try {
    for (unsigned c = 0; c < cpus; ++c) threads.emplace_back([&over] { keep_busy(over); });
    threads.emplace_back([memory_bytes, &over] { touch_memory(memory_bytes, over); });
    threads.emplace_back([&file, file_bytes, &over] { write_disk(file, file_bytes, over); });
  } catch (...) {
    end();
    throw;
  }
  const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                        std::chrono::duration<double>(options.seconds));
  while (!machine::StopSignal::came() && Clock::now() < until)
    std::this_thread::sleep_for(
        std::min<Clock::duration>(until - Clock::now(), std::chrono::milliseconds(50)));
  end();
  say("the disturbance is over and cleaned up");
  return 0;
}

}  // namespace lanner::host
