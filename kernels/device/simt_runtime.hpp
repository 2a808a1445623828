// What a kernel that runs on fibers asks of the runtime; simt_emulated.hpp gives it CUDA's names. All of it
// is for a thread of a running kernel, and throws std::logic_error elsewhere, KernelError where a GPU's
// behaviour is undefined.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>

#include "kernels/device/fibers.hpp"

namespace lanner::simt {

using Where = std::source_location;

enum class WarpOperation : std::uint8_t { sync, shuffle, shuffle_up, shuffle_down, shuffle_xor, ballot, mma };

/// How many, and how many of them said yes.
struct Votes {
  unsigned voters, yes;
};

/// Waits until each thread of the block that hasn't ended is at this barrier. Orders memory.
Votes barrier(bool vote, const Where& where);

/// Waits for the lanes of `mask` that haven't ended. Orders memory.
void sync_warp(unsigned mask, const Where& where);
/// The value of another lane, by the rule of the operation (PTX ISA, shfl.sync); undefined, here NaN, where
/// that lane doesn't take part. Orders no memory, as on a GPU.
std::uint64_t shuffle(WarpOperation kind, unsigned mask, std::uint64_t value, unsigned operand, int width,
                      const Where& where);
unsigned ballot(unsigned mask, bool vote, const Where& where);
void multiply_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const Where& where);

/// Where a shared array is declared.
struct SharedSite {
  const char* name;
  std::size_t bytes, alignment;
  const char* file;
  unsigned line;
};
void* shared_array(const SharedSite& site);
void* dynamic_shared();

/// Of 16 bytes. It happens at once (by chance, where threads are in a seeded order) or when it is waited for.
struct AsyncCopy {
  void* to;
  const void* from;
  unsigned group;
};
/// Whether it is to happen at once.
bool begin_async_copy(void* to, const void* from, const Where& where);
void commit_async_copies();
/// The next copy to be made so that all groups but the last `pending` are there; false: none is left.
bool next_async_copy(unsigned pending, AsyncCopy& copy);

void fence();

/// Before an atomic operation: others may run first, by chance where threads are in a seeded order.
void before_atomic();

}  // namespace lanner::simt
