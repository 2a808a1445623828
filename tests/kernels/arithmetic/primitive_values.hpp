// One value of a primitive, on the host or on a device.
#pragma once

#include "kernels/arithmetic/scalar.hpp"
#include "tests/kernels/arithmetic/elementary_gpu.hpp"

namespace lanner::test {

LANNER_FORMULA float and_back(float x) {
  return to_float(to_integer(x));
}
LANNER_FORMULA double and_back(double x) {
  return static_cast<double>(to_integer(x));
}
LANNER_FORMULA float narrowed(float x) {
  return static_cast<float>(to_double(x) * 0.1);
}
LANNER_FORMULA double narrowed(double x) {
  return to_double(static_cast<float>(x));
}

template <class T>
LANNER_FORMULA T value_of(Primitive primitive, T x, T y, T z) {
  switch (primitive) {
    case Primitive::add:
      return x + y;
    case Primitive::subtract:
      return x - y;
    case Primitive::multiply:
      return x * y + z;  // two roundings: nothing may be contracted
    case Primitive::divide:
      return x / y;
    case Primitive::fma:
      return fma(x, y, z);
    case Primitive::square_root:
      return square_root(x);
    case Primitive::round_even:
      return round_even(x);
    case Primitive::minimum:
      return minimum(x, y);
    case Primitive::maximum:
      return maximum(x, y);
    case Primitive::absolute:
      return absolute(x);
    case Primitive::select:
      return select(x < y, y, z);
    case Primitive::bits:
      return from_bits(to_bits(x) ^ to_bits(y));
    case Primitive::integer:
      return and_back(round_even(minimum(maximum(x, T(-0x1p30)), T(0x1p30))));
    case Primitive::narrowed:
      return narrowed(x);
  }
  return x;
}

}  // namespace lanner::test
