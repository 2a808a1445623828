// One step of a walk and the score of a sum, for every backend. Lengths are whole ticks here.
#pragma once

#include <cstdint>

#include "kernels/arithmetic/elementary.hpp"

namespace lanner::forest {

/// A leaf's threshold is infinity and its left child itself, so that a row that is there stays.
struct Node {
  float threshold;
  std::uint32_t link;  ///< left << feature_bits | feature
};

LANNER_FORMULA std::uint32_t feature_of(Node node, unsigned feature_bits) {
  return node.link & ((1u << feature_bits) - 1);
}
LANNER_FORMULA std::uint32_t next_of(Node node, unsigned feature_bits, float x) {
  return (node.link >> feature_bits) + (x > node.threshold ? 1u : 0u);
}

/// length: the sum of lengths less that of unseen values; rate: that of a tick.
template <class F>
LANNER_FORMULA F isolation_of(F length, F rate) {
  return exp(F(0) - rate * maximum(length, F(0)));
}

}  // namespace lanner::forest
