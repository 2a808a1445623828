// The body of elementary_lanes_avx2.cpp and elementary_lanes_avx512.cpp.
#pragma once

#include "kernels/arithmetic/elementary.hpp"
#include "kernels/simd/lanes.hpp"
#include "tests/kernels/arithmetic/elementary_lanes.hpp"

namespace lanner::test {

template <class F>
LANNER_INLINE F value_of(Function function, F x) {
  switch (function) {
    case Function::exp:
      return exp(x);
    case Function::exp_normal:
      return exp_normal(x);
    case Function::log:
      return log(x);
    case Function::log1p:
      return log1p(x);
    case Function::expm1:
      return expm1(x);
    case Function::tanh:
      return tanh(x);
    case Function::sin:
      return sin(x);
    case Function::cos:
      return cos(x);
  }
  return x;
}

template <class F>
LANNER_INLINE F value_of(WideFunction function, F x) {
  switch (function) {
    case WideFunction::exp:
      return exp(x);
    case WideFunction::log:
      return log(x);
    case WideFunction::log1p:
      return log1p(x);
  }
  return x;
}

template <class L, class Choice>
LANNER_INLINE void evaluate_lanes(Choice function, const typename L::Value* x, typename L::Value* y,
                                  std::size_t count) {
  for (std::size_t i = 0; i < count; i += L::width) value_of(function, L::load(x + i)).store(y + i);
}

}  // namespace lanner::test
