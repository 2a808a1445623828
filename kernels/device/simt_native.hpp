// simt.hpp for nvcc.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

#include "kernels/device/cuda.hpp"
#include "kernels/device/device.hpp"

#define SHARED_ARRAY(type, name, n) __shared__ type name[n]
#define DYNAMIC_SHARED(type, name)                                       \
  extern __shared__ __align__(16) unsigned char lanner_dynamic_shared[]; \
  type* const name = reinterpret_cast<type*>(lanner_dynamic_shared)

// Functions of the same name and type are in the emulated half of the program.
namespace lanner {
inline namespace native {

struct LaunchOn {
  LaunchOn(Stream& stream, std::source_location where = std::source_location::current())
      : stream(stream), where(where) {}
  Stream& stream;
  std::source_location where;
};

template <class... Parameters, class... Arguments>
void launch(LaunchOn on, void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t dynamic_shared,
            Arguments&&... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...));
  static_assert((sizeof(Parameters) + ... + 0) <= 4096);
  constexpr std::size_t always_allowed = std::size_t{48} << 10;
  const void* const function = reinterpret_cast<const void*>(kernel);
  if (dynamic_shared > always_allowed)
    check_cuda(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(dynamic_shared)),
               "cudaFuncSetAttribute", on.where);
  std::tuple<Parameters...> values(std::forward<Arguments>(arguments)...);
  std::apply(
      [&](auto&... value) {
        void* pointers[] = {static_cast<void*>(&value)..., nullptr};
        check_cuda(cudaLaunchKernel(function, grid, block, pointers, dynamic_shared,
                                    static_cast<cudaStream_t>(on.stream.native())),
                   "cudaLaunchKernel", on.where);
      },
      values);
}

__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const unsigned (&a)[4],
                                                  const unsigned (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void cp_async_16(void* shared, const void* global) {
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
}
__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int pending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

}  // namespace native
}  // namespace lanner
