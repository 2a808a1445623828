// Rank of a score among sorted calibration scores, in a few nanoseconds whatever their number.
//
// Two tables over the order-preserving integer key of a float: the first cuts the range of the calibration
// keys into even pieces, the second cuts each piece as finely as the scores in it are dense. What is left of
// the search is a run of usually one or two scores. (Where the scores are so clustered that the tables don't
// part them, the run is long and is halved first.)
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/arithmetic/scalar.hpp"

namespace lanner::tail {

/// Ascending in the float's order; -0 and +0 have the same key.
LANNER_FORMULA std::uint32_t ordered_key(float x) {
  const auto bits = static_cast<std::uint32_t>(to_bits(x + 0.0f));
  return bits ^ (static_cast<std::uint32_t>(static_cast<std::int32_t>(bits) >> 31) | 0x80000000u);
}

struct Piece {
  std::uint32_t offset;  ///< cell of a key = offset + ((key - lowest) >> shift), modulo 2^32
  std::uint32_t shift;
};

inline constexpr std::uint32_t pieces_max = 1024;
inline constexpr std::uint32_t compared_at_once = 4;

struct RankTables {
  const Piece* pieces = nullptr;
  const std::uint32_t* cells =
      nullptr;                      ///< index of the first distinct score whose key is in the cell or beyond
  const float* distinct = nullptr;  ///< ascending, then `longest` + `compared_at_once` infinities
  float smallest = 0, largest = 0;  ///< of the distinct scores
  std::uint32_t lowest = 0;         ///< key of the smallest
  std::uint32_t piece_shift = 0;
  std::uint32_t longest = 0;   ///< most distinct scores in a cell
  std::uint32_t halvings = 0;  ///< to cut the longest cell down to a short run

  // In three steps, where the run begins that has the first distinct score >= s (or their end, where none
  // is): all before it are smaller. Backends that overlap many scores' loads take each step for all of them.
  LANNER_FORMULA std::uint32_t run_for(float s) const { return shortened(first_in_cell(key_of(s)), s); }

  LANNER_FORMULA std::uint32_t key_of(float s) const {
    return ordered_key(minimum(maximum(s, smallest), largest)) - lowest;
  }
  LANNER_FORMULA std::uint32_t first_in_cell(std::uint32_t key) const {
    const Piece piece = pieces[key >> piece_shift];
    return cells[piece.offset + (key >> piece.shift)];
  }
  LANNER_FORMULA std::uint32_t shortened(std::uint32_t i, float s) const {
    std::uint32_t length = longest;
    for (std::uint32_t step = 0; step < halvings; ++step) {
      const std::uint32_t half = length / 2;
      i += half & (0u - static_cast<std::uint32_t>(distinct[i + half - 1] < s));
      length -= half;
    }
    return i;
  }
};

}  // namespace lanner::tail
