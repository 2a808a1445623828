// The shared arithmetic on GPUs, for elementary_gpu_test.cpp: a thread takes 32 values, its block's threads
// side by side.
#include "kernels/device/simt.hpp"
#include "tests/kernels/arithmetic/elementary_gpu.hpp"
#include "tests/kernels/arithmetic/elementary_values.hpp"
#include "tests/kernels/arithmetic/primitive_values.hpp"

namespace lanner::test::LANNER_GPU {
namespace {

constexpr unsigned threads = 64, values_each = 32, values_a_block = threads * values_each;

template <class Visit>
__device__ __forceinline__ void each_value(std::size_t count, Visit visit) {
  std::size_t i = std::size_t{blockIdx.x} * values_a_block + threadIdx.x;
#pragma unroll 1
  for (unsigned n = 0; n < values_each && i < count; ++n, i += threads) visit(i);
}

template <class Choice, class T>
__global__ void functions(Choice function, const T* x, T* y, std::size_t count) {
  each_value(count, [&](std::size_t i) { y[i] = value_of(function, x[i]); });
}
template <class T>
__global__ void primitives(Primitive primitive, const T* x, const T* y, const T* z, T* out,
                           std::size_t count) {
  each_value(count, [&](std::size_t i) { out[i] = value_of(primitive, x[i], y[i], z[i]); });
}

dim3 blocks(std::size_t count) {
  return dim3(static_cast<unsigned>((count + values_a_block - 1) / values_a_block));
}

}  // namespace

void evaluate(Stream& stream, Function function, const float* x, float* y, std::size_t count) {
  launch(stream, functions<Function, float>, blocks(count), dim3(threads), 0, function, x, y, count);
}
void evaluate(Stream& stream, WideFunction function, const double* x, double* y, std::size_t count) {
  launch(stream, functions<WideFunction, double>, blocks(count), dim3(threads), 0, function, x, y, count);
}
void evaluate(Stream& stream, Primitive primitive, const float* x, const float* y, const float* z, float* out,
              std::size_t count) {
  launch(stream, primitives<float>, blocks(count), dim3(threads), 0, primitive, x, y, z, out, count);
}
void evaluate(Stream& stream, Primitive primitive, const double* x, const double* y, const double* z,
              double* out, std::size_t count) {
  launch(stream, primitives<double>, blocks(count), dim3(threads), 0, primitive, x, y, z, out, count);
}

}  // namespace lanner::test::LANNER_GPU
