// Runs a kernel of CUDA source on the CPU: each thread of a block is a fiber, and a block's barriers and warp
// operations are where fibers are switched. Made to find faults: any order of threads that a GPU may choose
// can be had by a seed, shared memory begins as NaN, and what a GPU leaves undefined (divergent barriers,
// wrong masks, writes beyond an array) is an error that names the line. Under ThreadSanitizer every CUDA
// thread is a thread, so that a missing barrier is a reported race. simt_emulated.hpp has what kernels see of
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <stdexcept>

namespace lanner::simt {

struct Options {
  unsigned workers = 1;         ///< OS threads that run blocks; under ThreadSanitizer always one
  std::uint64_t seed = 0;       ///< of the order of threads, blocks and async copies; 0: the natural one
  bool poison = true;           ///< shared memory begins as NaN; otherwise as the block before left it
  bool truncating_mma = false;  ///< tensor cores that truncate partial sums, in a seeded order
  std::size_t stack = std::size_t{64} << 10;  ///< bytes a thread, times four under sanitizers
};

/// Options of the launches that `work` makes on this thread.
void with_options(const Options& options, const std::function<void()>& work);
const Options& current_options();

/// A kernel did what CUDA leaves undefined or never ends: what, in which block, and at which lines.
class KernelError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Extent {
  std::uint64_t x = 1, y = 1, z = 1;
  std::uint64_t count() const { return x * y * z; }
};

/// What a GPU (compute capability 8.0 and newer) allows.
inline constexpr unsigned block_threads_max = 1024;
inline constexpr std::size_t static_shared_max = std::size_t{48} << 10;
inline constexpr std::size_t shared_max = std::size_t{227}
                                          << 10;  ///< of a block, static and dynamic; 9.0, 10.0

/// Throws std::invalid_argument where a GPU would refuse the launch.
void check_launch(const Extent& grid, const Extent& block, std::size_t dynamic_shared,
                  const std::source_location& where);

/// Calls `kernel(argument)` once for each thread of each block. Throws std::invalid_argument as check_launch
/// does, KernelError, and what a thread of the kernel throws (the first one; the others' stacks are unwound).
void run_grid(const Extent& grid, const Extent& block, std::size_t dynamic_shared,
              void (*kernel)(const void*), const void* argument, const std::source_location& where);

template <class Kernel>
void run_grid(const Extent& grid, const Extent& block, std::size_t dynamic_shared, const Kernel& kernel,
              const std::source_location& where = std::source_location::current()) {
  run_grid(
      grid, block, dynamic_shared, [](const void* argument) { (*static_cast<const Kernel*>(argument))(); },
      &kernel, where);
}

}  // namespace lanner::simt
