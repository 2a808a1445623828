// Small kernels that use what simt.hpp has, compiled for each backend. Pointers are memory of the stream's
// device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/device/device.hpp"

namespace lanner::simt_kernels {

enum class Shuffle { index, up, down, by_xor };

struct Kernels {
  /// out [blocks * threads][6]: blockIdx and threadIdx of a grid (2, 3, 2) of blocks (5, 4, 3).
  void (*positions)(Stream&, unsigned* out);

  /// out [64]: what each thread of two warps gets, whose value is 1000 + its number.
  template <class T>
  using ShuffleOf = void (*)(Stream&, Shuffle, unsigned operand, int width, T* out);
  ShuffleOf<int> shuffle_int;
  ShuffleOf<float> shuffle_float;
  ShuffleOf<unsigned long long> shuffle_long;
  ShuffleOf<double> shuffle_double;

  /// out [64][3]: ballot, any and all of a warp's votes, the bits of `votes`; the even and the odd lanes
  /// apart if so said.
  void (*votes)(Stream&, unsigned votes, bool apart, unsigned* out);
  /// out [threads][3]: count, and, or of a block of which the first `yes` threads vote yes.
  void (*block_votes)(Stream&, unsigned threads, unsigned yes, int* out);

  /// Each block of 256 turns its part of `values` round, by way of static (dynamic) shared memory.
  void (*reverse_static)(Stream&, unsigned blocks, float* values);
  /// One block: `count` values, by way of as much dynamic shared memory.
  void (*reverse_dynamic)(Stream&, unsigned count, float* values);
  /// out [2][33 * 32]: a matrix and its transpose made by two arrays of one kernel.
  void (*transpose)(Stream&, float* out);

  /// By 4 * 256 threads i: sums of -i, i, i << 32, i and i / 2; how many i are divisible by 3, counted in
  /// shared memory; the least of 7 - i, the greatest of 7 + i; the or of 1 << i % 20; how many found `claim`
  /// 0 and claimed it with i + 1; the sum of what was found in `slot` by those that put i + 1 there.
  struct Atomics {
    int sum_int;
    unsigned sum_unsigned;
    unsigned long long sum_long;
    float sum_float;
    double sum_double;
    unsigned shared_count;
    int lowest, highest;
    unsigned bits, claim, claimed, slot, exchanged;
  };
  void (*atomics)(Stream&, Atomics* out);
  /// The last block to end sums what all have written, by fences and a counter. partial [blocks], count [1]
  /// zeroed.
  void (*last_block_sums)(Stream&, unsigned blocks, unsigned* partial, unsigned* count, unsigned* total);

  /// out [blocks * 128] = 2 * in, by tiles in two buffers that are filled by asynchronous copies.
  void (*copies)(Stream&, unsigned blocks, const float* in, float* out);

  /// d [16][8] += a [16][16] b [16][8], b stored by columns.
  void (*multiply)(Stream&, const std::uint16_t* a, const std::uint16_t* b, float* d);

  /// out [count]: see intrinsics_expected in the test.
  void (*intrinsics)(Stream&, std::uint64_t* out);
};
inline constexpr std::size_t intrinsics_count = 40;

namespace emulated {
const Kernels& kernels();
}
namespace cuda {
const Kernels& kernels();
}

}  // namespace lanner::simt_kernels
