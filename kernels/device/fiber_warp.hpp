// Where the lanes of a warp meet: those of one mask at one operation.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/device/simt_runtime.hpp"

namespace lanner::simt {

inline constexpr unsigned warp_lanes = 32;

/// SplitMix64: small, and good enough to shuffle with.
class Random {
 public:
  explicit Random(std::uint64_t seed = 0) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t x = state_ += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  }
  /// In [0, n).
  unsigned below(std::size_t n) {
    return static_cast<unsigned>((next() >> 32) * static_cast<std::uint32_t>(n) >> 32);
  }

 private:
  std::uint64_t state_;
};

/// The operands and the result of mma.sync.m16n8k16 (PTX ISA, "Matrix Fragments for mma.m16n8k16").
struct MatrixProduct {
  std::array<std::array<unsigned, 4>, warp_lanes> a;
  std::array<std::array<unsigned, 2>, warp_lanes> b;
  std::array<std::array<float, 4>, warp_lanes> d;

  /// d += a * b: float32 sums in the order of k.
  void in_order();
  /// As unkind as tensor cores may be. The 17 terms of an output come in a seeded order, and are summed in
  /// groups of 1, 4, 8 or 16: the terms of a group and the sum so far are truncated toward zero to 24 bits
  /// below the exponent of the largest of them, added, and the sum is truncated toward zero to float32.
  /// Products are exact. The error is at most 32 * 2^-23 * (|d| + sum of |a * b|), where nothing overflows or
  /// is denormal.
  void truncating(Random& random);
};

struct Meeting {
  unsigned mask = 0, arrived = 0;
  WarpOperation operation = WarpOperation::sync;
  Where where;
  // Lanes that are done may be at their next operation before others have read this one's result: two slots
  // in turn.
  unsigned turn = 0;
  std::array<unsigned, 2> present{}, unread{}, votes{};
  std::array<std::array<std::uint64_t, warp_lanes>, 2> values{};
  std::array<std::unique_ptr<MatrixProduct>, 2> product;
  char order = 0;  // ThreadSanitizer's name for what sync_warp orders

  bool idle() const { return arrived == 0 && unread[0] == 0 && unread[1] == 0; }
};

struct Warp {
  unsigned alive = 0;
  std::vector<std::unique_ptr<Meeting>> meetings;

  Meeting& meeting(unsigned mask);
};

const char* name(WarpOperation);

}  // namespace lanner::simt
