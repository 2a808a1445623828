// One value of an elementary function, for a number or a register of them, on the host or on a device.
#pragma once

#include "kernels/arithmetic/elementary.hpp"
#include "tests/kernels/arithmetic/elementary_lanes.hpp"

namespace lanner::test {

template <class F>
LANNER_FORMULA F value_of(Function function, F x) {
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
LANNER_FORMULA F value_of(WideFunction function, F x) {
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

}  // namespace lanner::test
