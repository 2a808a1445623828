// What the sources of GPU kernels (*_cuda.cu) include. They are compiled twice: by nvcc for the backend
// `cuda`, and by the C++ compiler for the backend `emulated`, whose threads are fibers (fibers.hpp). Both
// kinds of code are in one program, so each source puts all it has into a namespace called LANNER_GPU:
//
//   namespace lanner::density::LANNER_GPU {
//   __global__ void __launch_bounds__(256) sums(const float* rows, ...) {
//     SHARED_ARRAY(float, tile, 32 * 33);      // float tile[32 * 33], in shared memory
//     DYNAMIC_SHARED(float, scratch);          // float* scratch, of as many bytes as the launch says
//     ...
//   }
//   void sums(Stream& stream, ...) { launch(stream, sums, dim3(blocks), dim3(256), bytes, rows, ...); }
//   }
//
// To both belong CUDA's names for threads, barriers, shuffles, votes, atomics and intrinsics (the emulated
// ones are listed in simt_emulated.hpp; what isn't there isn't used), and in namespace lanner:
//
//   launch(stream, kernel, grid, block, dynamic_shared_bytes, arguments...)
//     Puts a kernel into a stream. Arguments become the kernel's parameters here and are copied. More than 48
//     KiB of dynamic shared memory are asked for where needed. Throws DeviceError (cuda) or
//     std::invalid_argument (emulated) for what no GPU allows.
//   mma_m16n8k16_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2])
//     d += a * b by a whole warp; fragments as in the PTX ISA, "Matrix Fragments for mma.m16n8k16", two bf16
//     a register, the lower half first.
//   cp_async_16(void* shared, const void* global), cp_async_commit(), cp_async_wait<n>()
//     16 bytes (both addresses multiples of 16) to shared memory, there for this thread once all groups
//     committed but the last n have been waited for, and for others after a barrier that follows.
#pragma once

#include "kernels/device/device.hpp"

#if defined(__CUDACC__)
#define LANNER_GPU cuda
#include "kernels/device/simt_native.hpp"
#else
#define LANNER_GPU emulated
#include "kernels/device/simt_emulated.hpp"
#endif
