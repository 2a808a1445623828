#include "kernels/device/fibers.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/device/fiber_block.hpp"

namespace lanner::simt {
namespace {

constinit thread_local const Options* chosen_options = nullptr;

// What one OS thread needs to run blocks. Stacks are worth keeping: they cost a system call or two each.
// Under ThreadSanitizer blocks run by turns in two places, so that nothing orders a block after the one
// before, and a race between them is seen.
struct Worker {
  Block blocks[race_checked ? 2 : 1];
};

class Workers {
 public:
  // Never destroyed: kernels may run while the process ends.
  static Workers& all() {
    static auto& workers = *new Workers;
    return workers;
  }
  std::unique_ptr<Worker> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<Worker>();
    auto worker = std::move(idle_.back());
    idle_.pop_back();
    return worker;
  }
  void give_back(std::unique_ptr<Worker> worker) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(worker));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Worker>> idle_;
};

// The numbers below `count`, each once; by seed, where there are at most 2^31 of them.
class Order {
 public:
  Order(std::uint64_t count, std::uint64_t seed) : count_(count) {
    if (seed == 0 || count < 2 || count > std::uint64_t{1} << 31) return;
    Random random(seed);
    offset_ = random.below(count);
    do {
      step_ = 1 + random.below(count - 1);
    } while (std::gcd(step_, count) != 1);
  }
  std::uint64_t operator[](std::uint64_t i) const { return (i * step_ + offset_) % count_; }

 private:
  std::uint64_t count_, step_ = 1, offset_ = 0;
};

class Grid {
 public:
  explicit Grid(const Launch& launch)
      : launch_(launch), count_(launch.grid.count()), order_(count_, launch.options.seed) {}

  void run() {
    const unsigned workers = race_checked ? 1 : std::max(1u, launch_.options.workers);
    const auto helpers = static_cast<unsigned>(std::min<std::uint64_t>(workers, count_)) - 1;
    std::vector<std::jthread> threads;
    threads.reserve(helpers);
    for (unsigned i = 0; i < helpers; ++i) threads.emplace_back([this] { work(); });
    work();
    threads.clear();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void work() {
    const FloatEnvironment environment;
    auto worker = Workers::all().take();
    Fiber here;
    try {
      for (Block& block : worker->blocks) block.begin_launch(launch_);
      for (std::uint64_t i; !failed_.load(std::memory_order_relaxed) && (i = taken_++) < count_;)
        worker->blocks[i % std::size(worker->blocks)].run(order_[i], here);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      failed_ = true;
    }
    for (Block& block : worker->blocks) block.end_launch();
    Workers::all().give_back(std::move(worker));
  }

  const Launch& launch_;
  const std::uint64_t count_;
  const Order order_;
  std::atomic<std::uint64_t> taken_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::exception_ptr failure_;
};

}  // namespace

const Options& current_options() {
  static constexpr Options defaults;
  return chosen_options ? *chosen_options : defaults;
}

void with_options(const Options& options, const std::function<void()>& work) {
  struct Restore {
    const Options* before = chosen_options;
    ~Restore() { chosen_options = before; }
  } const restore;
  chosen_options = &options;
  work();
}

void check_launch(const Extent& grid, const Extent& block, std::size_t dynamic_shared,
                  const std::source_location& where) {
  const auto refuse = [&](const char* what, std::uint64_t found, const std::string& allowed) {
    throw std::invalid_argument(std::string(where.file_name()) + ":" + std::to_string(where.line()) + ": " +
                                what + ": found " + std::to_string(found) + ", allowed: " + allowed);
  };
  const auto check = [&](const char* what, std::uint64_t found, std::uint64_t most) {
    if (found < 1 || found > most) refuse(what, found, "1 to " + std::to_string(most));
  };
  check("grid.x", grid.x, 0x7FFFFFFF);
  check("grid.y", grid.y, 65535);
  check("grid.z", grid.z, 65535);
  check("block.x", block.x, 1024);
  check("block.y", block.y, 1024);
  check("block.z", block.z, 64);
  check("threads of a block", block.count(), block_threads_max);
  if (dynamic_shared > shared_max)
    refuse("bytes of shared memory", dynamic_shared, "up to " + std::to_string(shared_max));
}

void run_grid(const Extent& grid, const Extent& block, std::size_t dynamic_shared,
              void (*kernel)(const void*), const void* argument, const std::source_location& where) {
  check_launch(grid, block, dynamic_shared, where);
  const Hidden hidden;
  const Launch launch{grid, block, dynamic_shared, kernel, argument, where, current_options()};
  Grid(launch).run();
}

Votes barrier(bool vote, const Where& where) {
  const Hidden hidden;
  return running_block().barrier(vote, where);
}
void sync_warp(unsigned mask, const Where& where) {
  const Hidden hidden;
  running_block().sync_warp(mask, where);
}
std::uint64_t shuffle(WarpOperation kind, unsigned mask, std::uint64_t value, unsigned operand, int width,
                      const Where& where) {
  const Hidden hidden;
  return running_block().shuffle(kind, mask, value, operand, static_cast<unsigned>(width), where);
}
unsigned ballot(unsigned mask, bool vote, const Where& where) {
  const Hidden hidden;
  return running_block().ballot(mask, vote, where);
}
void multiply_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const Where& where) {
  const Hidden hidden;
  running_block().multiply_bf16(d, a, b, where);
}
void* shared_array(const SharedSite& site) {
  const Hidden hidden;
  return running_block().shared().array(site);
}
void* dynamic_shared() {
  const Hidden hidden;
  return running_block().shared().dynamic();
}
void before_atomic() {
  const Hidden hidden;
  running_block().before_atomic();
}
bool begin_async_copy(void* to, const void* from, const Where& where) {
  const Hidden hidden;
  return running_block().begin_async_copy(to, from, where);
}
void commit_async_copies() {
  const Hidden hidden;
  running_block().commit_async_copies();
}
bool next_async_copy(unsigned pending, AsyncCopy& copy) {
  const Hidden hidden;
  return running_block().next_async_copy(pending, copy);
}

// ThreadSanitizer doesn't follow fences: to it, one orders what is before it with what is after every later
// one.
void fence() {
  static char order;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  acquire(order);
  release(order);
}

}  // namespace lanner::simt
