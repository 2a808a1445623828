#include "kernels/device/cpu.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <new>
#include <stdexcept>
#include <thread>
#include <vector>

#include "kernels/arithmetic/environment.hpp"

namespace lanner {
namespace {

// One job at a time; the caller works along, and waits only for workers that have joined it: one that the
// system hasn't woken in time holds up nothing. Workers sleep between jobs, so an idle device costs nothing.
class Threads {
 public:
  explicit Threads(unsigned count) {
    for (unsigned worker = 1; worker < count; ++worker)
      workers_.emplace_back([this, worker] { work(worker); });
  }

  ~Threads() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  void run(std::size_t count, std::size_t grain, RangeTask task) {
    std::lock_guard one_job_at_a_time(callers_);
    const Job job{count, grain, &task};
    {
      std::lock_guard lock(mutex_);
      next_.store(0, std::memory_order_relaxed);
      failure_ = nullptr;
      job_ = job;
      open_ = true;
      ++generation_;
    }
    const std::size_t others = std::min((count - 1) / grain, workers_.size());
    for (std::size_t i = 0; i < others; ++i) wake_.notify_one();
    take_pieces(job, 0);
    std::unique_lock lock(mutex_);
    open_ = false;
    done_.wait(lock, [this] { return joined_ == 0; });
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  struct Job {
    std::size_t count = 0, grain = 1;
    const RangeTask* task = nullptr;
  };

  void work(unsigned worker) {
    FloatEnvironment environment;
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [&] { return stopping_ || (open_ && generation_ != seen); });
      if (stopping_) return;
      seen = generation_;
      ++joined_;
      const Job job = job_;
      lock.unlock();
      take_pieces(job, worker);
      lock.lock();
      if (--joined_ == 0) done_.notify_one();
    }
  }

  void take_pieces(const Job& job, unsigned worker) {
    try {
      while (true) {
        const std::size_t begin = next_.fetch_add(job.grain, std::memory_order_relaxed);
        if (begin >= job.count) return;
        (*job.task)(begin, std::min(job.count, begin + job.grain), worker);
      }
    } catch (...) {
      std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      next_.store(job.count, std::memory_order_relaxed);
    }
  }

  std::mutex callers_, mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> workers_;
  Job job_;
  std::atomic<std::size_t> next_{0};
  std::size_t joined_ = 0;
  std::uint64_t generation_ = 0;
  bool open_ = false, stopping_ = false;
  std::exception_ptr failure_;
};

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(const CpuOptions& options)
      : tier_(options.tier), thread_count_(std::max(1u, options.threads)), threads_(thread_count_) {}

  Backend backend() const override { return Backend::cpu; }
  CpuTier tier() const override { return tier_; }
  unsigned threads() const override { return thread_count_; }
  std::string description() const override {
    return "cpu (" + std::string(name(tier_)) + ", " + std::to_string(thread_count_) +
           (thread_count_ == 1 ? " thread)" : " threads)");
  }

 private:
  static constexpr std::size_t alignment = 64, huge_page = std::size_t{2} << 20, large_bytes = 2 * huge_page;

  void* allocate(MemoryKind, std::size_t bytes) override {
    const std::size_t rounded = (std::max<std::size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
    if (rounded < bytes) throw std::bad_alloc();
    const bool large = rounded >= large_bytes;
    void* memory = large ? std::aligned_alloc(huge_page, (rounded + huge_page - 1) / huge_page * huge_page)
                         : std::aligned_alloc(alignment, rounded);
    if (!memory) throw std::bad_alloc();
    // Reference sets are read at random: on small pages their addresses miss the TLB. Only advice.
    if (large) madvise(memory, rounded, MADV_HUGEPAGE);
    std::memset(memory, 0, rounded);
    return memory;
  }
  void release(MemoryKind, void* memory, std::size_t) noexcept override { std::free(memory); }
  void for_range(std::size_t count, std::size_t grain, RangeTask task) override {
    if (count == 0) return;
    grain = std::max<std::size_t>(grain, 1);
    FloatEnvironment environment;
    if (thread_count_ == 1 || count <= grain) {
      for (std::size_t begin = 0; begin < count; begin += grain)
        task(begin, std::min(count, begin + grain), 0);
      return;
    }
    threads_.run(count, grain, task);
  }

  CpuTier tier_;
  unsigned thread_count_;
  Threads threads_;
};

}  // namespace

std::shared_ptr<Device> make_cpu_device(const CpuOptions& options) {
  const auto available = available_cpu_tiers();
  if (std::find(available.begin(), available.end(), options.tier) == available.end())
    throw std::invalid_argument("this machine has no " + std::string(name(options.tier)));
  return std::make_shared<CpuDevice>(options);
}

}  // namespace lanner
