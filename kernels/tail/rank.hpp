// Rank of a score among sorted calibration scores, in a few nanoseconds whatever their number.
//
// Two tables over the order-preserving integer key of a float: the first cuts the range of the calibration
// keys into even pieces, the second cuts each piece as finely as the scores in it are dense. What is left of
// the search is a run of usually one or two scores. (Where the scores are so clustered that the tables don't
// part them, the run is long and is halved first.)
#pragma once

#include <bit>
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
  std::uint32_t begin;  ///< its first cell in the second table
  std::uint32_t shift;
};

inline constexpr std::uint32_t pieces_max = 1024;
inline constexpr std::uint32_t compared_at_once = 4;

struct RankTables {
  const Piece* pieces = nullptr;
  const std::uint32_t* cells =
      nullptr;                      ///< index of the first distinct score whose key is in the cell or beyond
  const float* distinct = nullptr;  ///< ascending, then `longest` + `compared_at_once` infinities
  const std::uint32_t* at_least = nullptr;  ///< [distinct + 1]: scores >= distinct[i]; 0 beyond the last
  std::uint32_t lowest = 0;                 ///< smallest key
  std::uint32_t range = 0;                  ///< largest key - smallest key
  std::uint32_t piece_shift = 0;
  std::uint32_t halvings = 0;  ///< to cut the longest cell down to a short run
  std::uint32_t longest = 0;   ///< most distinct scores in a cell

  /// How many calibration scores are >= s.
  LANNER_FORMULA std::uint32_t count_at_least(float s) const {
    const std::uint32_t key = ordered_key(s);
    // Keys below the smallest are looked up as the smallest: they compare below every score all the same.
    const std::uint32_t offset = key < lowest ? 0 : key - lowest;
    const std::uint32_t inside = offset < range ? offset : range;
    const Piece piece = pieces[inside >> piece_shift];
    const std::uint32_t within = inside & ((1u << piece_shift) - 1);
    std::uint32_t i = cells[piece.begin + (within >> piece.shift)];
    std::uint32_t length = longest;
    for (std::uint32_t step = 0; step < halvings; ++step) {
      const std::uint32_t half = length / 2;
      i += distinct[i + half - 1] < s ? half : 0;
      length -= half;
    }
    while (true) {
      const std::uint32_t smaller =
          static_cast<std::uint32_t>(distinct[i] < s) + static_cast<std::uint32_t>(distinct[i + 1] < s) +
          static_cast<std::uint32_t>(distinct[i + 2] < s) + static_cast<std::uint32_t>(distinct[i + 3] < s);
      i += smaller;
      if (smaller < compared_at_once) return at_least[i];
    }
  }
};

}  // namespace lanner::tail
