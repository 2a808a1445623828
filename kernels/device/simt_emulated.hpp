// simt.hpp for the C++ compiler: CUDA's names, for a kernel whose threads are fibers. Types, limits and
// overloads are CUDA's; where it has none for a type there is none here, so that what compiles here compiles
// there.
#pragma once

#include <math.h>  // kernels say fmaf, sqrtf, floor ...

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#include "kernels/device/device.hpp"
#include "kernels/device/fibers.hpp"
#include "kernels/device/simt_runtime.hpp"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

// There is no __shared__: a static variable would be shared by blocks too. The site's address is the array's
// name: one for all threads, another one in each instantiation of a template.
#define SHARED_ARRAY(type, name, n)                                                                       \
  static constexpr ::lanner::simt::SharedSite lanner_shared_##name{#name, sizeof(type[n]), alignof(type), \
                                                                   __FILE__, __LINE__};                   \
  type(&name)[n] = *static_cast<type(*)[n]>(::lanner::simt::shared_array(lanner_shared_##name))
#define DYNAMIC_SHARED(type, name) type* const name = static_cast<type*>(::lanner::simt::dynamic_shared())

namespace lanner::simt {

template <class T>
concept Shuffled = std::is_arithmetic_v<T> &&(sizeof(T) == 4 || sizeof(T) == 8);
template <Shuffled T>
T shuffled(WarpOperation kind, unsigned mask, T value, unsigned operand, int width, const Where& where) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  return std::bit_cast<T>(
      static_cast<Bits>(shuffle(kind, mask, std::bit_cast<Bits>(value), operand, width, where)));
}

template <class T, class... Allowed>
concept OneOf = (std::is_same_v<T, Allowed> || ...);
template <class T>
concept Word = OneOf<T, int, unsigned, unsigned long long>;

template <class T, class Change>
T atomic_change(T* at, const Change& change) {
  const std::atomic_ref<T> value(*at);
  T old = value.load(std::memory_order_relaxed);
  while (!value.compare_exchange_weak(old, change(old), std::memory_order_relaxed)) {
  }
  return old;
}

/// Of a whole number: beyond the type's range the type's last one; 0 for NaN where CUDA says so.
template <class Integer, class Real>
Integer saturated(Real x) {
  if (x != x)
    return sizeof(Real) == sizeof(float) && sizeof(Integer) <= 4
               ? Integer{0}
               : static_cast<Integer>(std::uint64_t{1} << (8 * sizeof(Integer) - 1));
  constexpr Real beyond =
      static_cast<Real>(2) * static_cast<Real>(std::numeric_limits<Integer>::max() / 2 + 1);
  if (x >= beyond) return std::numeric_limits<Integer>::max();
  if (x <= static_cast<Real>(std::numeric_limits<Integer>::min())) return std::numeric_limits<Integer>::min();
  return static_cast<Integer>(x);
}

}  // namespace lanner::simt

// Inline namespaces here and below: the other half of the program has functions of the same names and types.
inline namespace emulated_cuda {

// -- Types and built-in variables

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
extern constinit thread_local uint3 threadIdx, blockIdx;
extern constinit thread_local dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

#define LANNER_VECTOR_2(type, item, bytes)  \
  struct __align__(bytes) type {            \
    item x, y;                              \
  };                                        \
  inline type make_##type(item x, item y) { \
    return {x, y};                          \
  }
#define LANNER_VECTOR_3(type, item)                 \
  struct type {                                     \
    item x, y, z;                                   \
  };                                                \
  inline type make_##type(item x, item y, item z) { \
    return {x, y, z};                               \
  }
#define LANNER_VECTOR_4(type, item)                         \
  struct __align__(16) type {                               \
    item x, y, z, w;                                        \
  };                                                        \
  inline type make_##type(item x, item y, item z, item w) { \
    return {x, y, z, w};                                    \
  }
LANNER_VECTOR_2(float2, float, 8)
LANNER_VECTOR_2(int2, int, 8)
LANNER_VECTOR_2(uint2, unsigned, 8)
LANNER_VECTOR_2(double2, double, 16)
LANNER_VECTOR_2(ulonglong2, unsigned long long, 16)
LANNER_VECTOR_3(float3, float)
LANNER_VECTOR_4(float4, float)
LANNER_VECTOR_4(int4, int)
LANNER_VECTOR_4(uint4, unsigned)
#undef LANNER_VECTOR_2
#undef LANNER_VECTOR_3
#undef LANNER_VECTOR_4
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) {
  return {x, y, z};
}

// -- Barriers and fences

inline void __syncthreads(const lanner::simt::Where& where = lanner::simt::Where::current()) {
  lanner::simt::barrier(false, where);
}
inline int __syncthreads_count(int vote, const lanner::simt::Where& where = lanner::simt::Where::current()) {
  return static_cast<int>(lanner::simt::barrier(vote != 0, where).yes);
}
inline int __syncthreads_and(int vote, const lanner::simt::Where& where = lanner::simt::Where::current()) {
  const auto votes = lanner::simt::barrier(vote != 0, where);
  return votes.yes == votes.voters;
}
inline int __syncthreads_or(int vote, const lanner::simt::Where& where = lanner::simt::Where::current()) {
  return lanner::simt::barrier(vote != 0, where).yes > 0;
}
inline void __syncwarp(unsigned mask = ~0u,
                       const lanner::simt::Where& where = lanner::simt::Where::current()) {
  lanner::simt::sync_warp(mask, where);
}
inline void __threadfence() {
  lanner::simt::fence();
}
inline void __threadfence_block() {
  lanner::simt::fence();
}

// -- Shuffles and votes: they order no memory

template <lanner::simt::Shuffled T>
T __shfl_sync(unsigned mask, T value, int lane, int width = warpSize,
              const lanner::simt::Where& where = lanner::simt::Where::current()) {
  return lanner::simt::shuffled(lanner::simt::WarpOperation::shuffle, mask, value,
                                static_cast<unsigned>(lane), width, where);
}
template <lanner::simt::Shuffled T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = warpSize,
                 const lanner::simt::Where& where = lanner::simt::Where::current()) {
  return lanner::simt::shuffled(lanner::simt::WarpOperation::shuffle_up, mask, value, by, width, where);
}
template <lanner::simt::Shuffled T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = warpSize,
                   const lanner::simt::Where& where = lanner::simt::Where::current()) {
  return lanner::simt::shuffled(lanner::simt::WarpOperation::shuffle_down, mask, value, by, width, where);
}
template <lanner::simt::Shuffled T>
T __shfl_xor_sync(unsigned mask, T value, int by, int width = warpSize,
                  const lanner::simt::Where& where = lanner::simt::Where::current()) {
  return lanner::simt::shuffled(lanner::simt::WarpOperation::shuffle_xor, mask, value,
                                static_cast<unsigned>(by), width, where);
}
inline unsigned __ballot_sync(unsigned mask, int vote,
                              const lanner::simt::Where& where = lanner::simt::Where::current()) {
  return lanner::simt::ballot(mask, vote != 0, where);
}
inline int __any_sync(unsigned mask, int vote,
                      const lanner::simt::Where& where = lanner::simt::Where::current()) {
  return lanner::simt::ballot(mask, vote != 0, where) != 0;
}
inline int __all_sync(unsigned mask, int vote,
                      const lanner::simt::Where& where = lanner::simt::Where::current()) {
  return lanner::simt::ballot(mask, vote == 0, where) == 0;
}

// -- Atomics, on global and shared memory: they order no memory

template <class T>
requires(lanner::simt::Word<T> || lanner::simt::OneOf<T, float, double>) T
    atomicAdd(T* at, std::type_identity_t<T> by) {
  lanner::simt::before_atomic();
  return std::atomic_ref<T>(*at).fetch_add(by, std::memory_order_relaxed);
}
template <lanner::simt::OneOf<int, unsigned> T>
T atomicSub(T* at, std::type_identity_t<T> by) {
  lanner::simt::before_atomic();
  return std::atomic_ref<T>(*at).fetch_sub(by, std::memory_order_relaxed);
}
template <class T>
requires(lanner::simt::Word<T> || lanner::simt::OneOf<T, float>) T
    atomicExch(T* at, std::type_identity_t<T> value) {
  lanner::simt::before_atomic();
  return std::atomic_ref<T>(*at).exchange(value, std::memory_order_relaxed);
}
template <lanner::simt::Word T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  lanner::simt::before_atomic();
  std::atomic_ref<T>(*at).compare_exchange_strong(expected, value, std::memory_order_relaxed);
  return expected;
}
template <class T>
requires(lanner::simt::Word<T> || lanner::simt::OneOf<T, long long>) T
    atomicMin(T* at, std::type_identity_t<T> value) {
  lanner::simt::before_atomic();
  return lanner::simt::atomic_change(at, [value](T old) { return value < old ? value : old; });
}
template <class T>
requires(lanner::simt::Word<T> || lanner::simt::OneOf<T, long long>) T
    atomicMax(T* at, std::type_identity_t<T> value) {
  lanner::simt::before_atomic();
  return lanner::simt::atomic_change(at, [value](T old) { return old < value ? value : old; });
}
template <lanner::simt::Word T>
T atomicOr(T* at, std::type_identity_t<T> value) {
  lanner::simt::before_atomic();
  return std::atomic_ref<T>(*at).fetch_or(value, std::memory_order_relaxed);
}
template <lanner::simt::Word T>
T atomicAnd(T* at, std::type_identity_t<T> value) {
  lanner::simt::before_atomic();
  return std::atomic_ref<T>(*at).fetch_and(value, std::memory_order_relaxed);
}
template <lanner::simt::Word T>
T atomicXor(T* at, std::type_identity_t<T> value) {
  lanner::simt::before_atomic();
  return std::atomic_ref<T>(*at).fetch_xor(value, std::memory_order_relaxed);
}

// -- Bits

inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __popcll(unsigned long long x) {
  return std::popcount(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline int __clzll(long long x) {
  return std::countl_zero(static_cast<unsigned long long>(x));
}
/// 1 for the lowest bit, 0 where none is set.
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __ffsll(long long x) {
  return __builtin_ffsll(x);
}
inline unsigned __brev(unsigned x) {
  unsigned reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= (x >> i & 1) << (31 - i);
  return reversed;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((std::uint64_t{a} * b) >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<unsigned long long>((static_cast<Wide>(a) * b) >> 64);
}

inline int __float_as_int(float x) {
  return std::bit_cast<int>(x);
}
inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline float __int_as_float(int x) {
  return std::bit_cast<float>(x);
}
inline float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}
inline long long __double_as_longlong(double x) {
  return std::bit_cast<long long>(x);
}
inline double __longlong_as_double(long long x) {
  return std::bit_cast<double>(x);
}
inline int __double2hiint(double x) {
  return static_cast<int>(std::bit_cast<long long>(x) >> 32);
}
inline int __double2loint(double x) {
  return static_cast<int>(std::bit_cast<long long>(x));
}
inline double __hiloint2double(int high, int low) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(static_cast<unsigned>(high)) << 32 |
                               static_cast<unsigned>(low));
}

// -- Arithmetic, rounded to nearest even

inline float __fmaf_rn(float a, float b, float c) {
  return __builtin_fmaf(a, b, c);
}
inline double __fma_rn(double a, double b, double c) {
  return __builtin_fma(a, b, c);
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fsub_rn(float a, float b) {
  return a - b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline float __frcp_rn(float a) {
  return 1.0f / a;
}
inline float __fsqrt_rn(float a) {
  return __builtin_sqrtf(a);
}
inline double __dadd_rn(double a, double b) {
  return a + b;
}
inline double __dsub_rn(double a, double b) {
  return a - b;
}
inline double __dmul_rn(double a, double b) {
  return a * b;
}
inline double __ddiv_rn(double a, double b) {
  return a / b;
}
inline double __drcp_rn(double a) {
  return 1.0 / a;
}
inline double __dsqrt_rn(double a) {
  return __builtin_sqrt(a);
}

inline int __float2int_rn(float x) {
  return lanner::simt::saturated<int>(__builtin_rintf(x));
}
inline int __float2int_rz(float x) {
  return lanner::simt::saturated<int>(__builtin_truncf(x));
}
inline int __float2int_rd(float x) {
  return lanner::simt::saturated<int>(__builtin_floorf(x));
}
inline int __float2int_ru(float x) {
  return lanner::simt::saturated<int>(__builtin_ceilf(x));
}
inline unsigned __float2uint_rn(float x) {
  return lanner::simt::saturated<unsigned>(__builtin_rintf(x));
}
inline unsigned __float2uint_rz(float x) {
  return lanner::simt::saturated<unsigned>(__builtin_truncf(x));
}
inline int __double2int_rn(double x) {
  return lanner::simt::saturated<int>(__builtin_rint(x));
}
inline int __double2int_rz(double x) {
  return lanner::simt::saturated<int>(__builtin_trunc(x));
}
inline long long __double2ll_rn(double x) {
  return lanner::simt::saturated<long long>(__builtin_rint(x));
}
inline long long __double2ll_rz(double x) {
  return lanner::simt::saturated<long long>(__builtin_trunc(x));
}
inline float __int2float_rn(int x) {
  return static_cast<float>(x);
}
inline float __uint2float_rn(unsigned x) {
  return static_cast<float>(x);
}
inline float __double2float_rn(double x) {
  return static_cast<float>(x);
}
inline double __int2double_rn(int x) {
  return x;
}
inline double __uint2double_rn(unsigned x) {
  return x;
}
inline double __ll2double_rn(long long x) {
  return static_cast<double>(x);
}
inline double __ull2double_rn(unsigned long long x) {
  return static_cast<double>(x);
}

#define LANNER_MIN_MAX(type)        \
  inline type min(type a, type b) { \
    return b < a ? b : a;           \
  }                                 \
  inline type max(type a, type b) { \
    return a < b ? b : a;           \
  }
LANNER_MIN_MAX(int)
LANNER_MIN_MAX(unsigned)
LANNER_MIN_MAX(long)
LANNER_MIN_MAX(unsigned long)
LANNER_MIN_MAX(long long)
LANNER_MIN_MAX(unsigned long long)
#undef LANNER_MIN_MAX
// Of an argument that is NaN, the other, as on a GPU.
inline float min(float a, float b) {
  return __builtin_fminf(a, b);
}
inline float max(float a, float b) {
  return __builtin_fmaxf(a, b);
}
inline double min(double a, double b) {
  return __builtin_fmin(a, b);
}
inline double max(double a, double b) {
  return __builtin_fmax(a, b);
}

template <class T>
T __ldg(const T* at) {
  return *at;
}

}  // namespace emulated_cuda

namespace lanner {
inline namespace on_fibers {

inline void mma_m16n8k16_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                              const std::source_location& where = std::source_location::current()) {
  simt::multiply_bf16(d, a, b, where);
}

// The copying is the kernel's own, for the sanitizers to see.
inline void copy_async_now(void* to, const void* from) {
  for (int i = 0; i < 2; ++i) static_cast<std::uint64_t*>(to)[i] = static_cast<const std::uint64_t*>(from)[i];
}
inline void cp_async_16(void* shared, const void* global,
                        const std::source_location& where = std::source_location::current()) {
  if (simt::begin_async_copy(shared, global, where)) copy_async_now(shared, global);
}
inline void cp_async_commit() {
  simt::commit_async_copies();
}
template <int pending>
void cp_async_wait() {
  static_assert(pending >= 0);
  simt::AsyncCopy copy{};
  while (simt::next_async_copy(pending, copy)) copy_async_now(copy.to, copy.from);
}

struct LaunchOn {
  LaunchOn(Stream& stream, const std::source_location& where = std::source_location::current())
      : stream(stream), where(where) {}
  Stream& stream;
  std::source_location where;
};

template <class... Parameters, class... Arguments>
void launch(LaunchOn on, void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t dynamic_shared,
            Arguments&&... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...));
  static_assert((sizeof(Parameters) + ... + 0) <= 4096);
  const simt::Extent blocks{grid.x, grid.y, grid.z}, threads{block.x, block.y, block.z};
  simt::check_launch(blocks, threads, dynamic_shared, on.where);
  on.stream.enqueue(
      [=, where = on.where, values = std::tuple<Parameters...>(std::forward<Arguments>(arguments)...)] {
        simt::run_grid(
            blocks, threads, dynamic_shared, [&] { std::apply(kernel, values); }, where);
      },
      on.where.function_name());
}

}  // namespace on_fibers
}  // namespace lanner
