// The shared arithmetic over arrays in a GPU's memory: elementary_cuda.cu, compiled for each of the two
// kinds.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/device/device.hpp"
#include "tests/kernels/arithmetic/elementary_lanes.hpp"

namespace lanner::test {

/// The primitives of arithmetic/scalar.hpp, and the operations that C++ has itself.
enum class Primitive {
  add,
  subtract,
  multiply,  ///< x y + z in two roundings
  divide,
  fma,
  square_root,
  round_even,
  minimum,
  maximum,
  absolute,
  select,
  bits,     ///< to_bits and from_bits
  integer,  ///< to_integer and back, of values brought within +-2^30
  narrowed  ///< to the other format and back; floats a tenth of them
};
inline constexpr int primitive_count = 14;

// Pointers are to the stream's memory.
namespace cuda {
void evaluate(Stream&, Function, const float* x, float* y, std::size_t count);
void evaluate(Stream&, WideFunction, const double* x, double* y, std::size_t count);
void evaluate(Stream&, Primitive, const float* x, const float* y, const float* z, float* out,
              std::size_t count);
void evaluate(Stream&, Primitive, const double* x, const double* y, const double* z, double* out,
              std::size_t count);
}  // namespace cuda
namespace emulated {
void evaluate(Stream&, Function, const float* x, float* y, std::size_t count);
void evaluate(Stream&, WideFunction, const double* x, double* y, std::size_t count);
void evaluate(Stream&, Primitive, const float* x, const float* y, const float* z, float* out,
              std::size_t count);
void evaluate(Stream&, Primitive, const double* x, const double* y, const double* z, double* out,
              std::size_t count);
}  // namespace emulated

}  // namespace lanner::test
