// The body of elementary_lanes_avx2.cpp and elementary_lanes_avx512.cpp.
#pragma once

#include "kernels/simd/lanes.hpp"
#include "tests/kernels/arithmetic/elementary_lanes.hpp"
#include "tests/kernels/arithmetic/elementary_values.hpp"

namespace lanner::test {

template <class L, class Choice>
LANNER_INLINE void evaluate_lanes(Choice function, const typename L::Value* x, typename L::Value* y,
                                  std::size_t count) {
  for (std::size_t i = 0; i < count; i += L::width) value_of(function, L::load(x + i)).store(y + i);
}

}  // namespace lanner::test
