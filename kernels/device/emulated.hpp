// The emulated backend: a GPU made of this machine's CPU, to develop and test with. It runs the same kernel
// source as cuda (kernels/device/simt.hpp), and is as unforgiving as it can be made: streams do nothing until
// somebody waits, and then in a seeded order; device memory can't be touched by the host and begins as NaN;
// copies are checked for their direction; any call can be made to fail. Orders of magnitude slower than the
// cpu backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/device/device.hpp"

namespace lanner {

struct EmulatedOptions {
  std::uint64_t seed = 0;                           ///< of the order of streams, and of threads in a block
  bool truncating_products = false;                 ///< tensor cores that truncate partial sums
  std::size_t memory_bytes = std::size_t{4} << 30;  ///< address space; only what is used is committed
  unsigned multiprocessors = 2;

  /// What goes wrong at one of the device's calls (allocations, copies, launches, events, waits: every one
  /// counts), the first being 1; 0: none.
  std::uint64_t fail_at = 0;
  enum class Failure {
    error,  ///< that call fails, later ones work
    lost,   ///< and so does every later one: the context is gone
    hang    ///< from there on nothing that was put into a stream is ever done
  };
  Failure failure = Failure::error;
  /// Flips the lowest bit of every 32-bit word that is copied out: results that are seen to come from here.
  bool perturb = false;
};

/// Options from LANNER_EMULATED, "seed=3,fail_at=12,failure=lost,perturb=1,memory=1048576"; defaults where it
/// isn't set. Throws std::invalid_argument for what it doesn't know.
EmulatedOptions emulated_options_from_environment();

std::shared_ptr<Device> make_emulated_device(const EmulatedOptions& = {});

/// Calls made so far.
std::uint64_t emulated_calls(const Device&);

}  // namespace lanner
