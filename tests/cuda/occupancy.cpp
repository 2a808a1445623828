// How many blocks of a kernel share a multiprocessor, by NVIDIA's own calculator (cuda_occupancy.h, which
// needs no GPU). Standard input: a line a kernel, `ARCHITECTURE REGISTERS STATIC_BYTES DYNAMIC_BYTES
// BLOCK_THREADS`, as in `90 40 8224 0 256`. Standard output: a line each, `BLOCKS OCCUPANCY LIMITED_BY`:
// blocks a multiprocessor (0: the kernel can't be launched), warps in use of those there are, and what ends
// it.
#include <cuda_occupancy.h>

#include <climits>
#include <cstdio>
#include <string>

namespace {

constexpr std::size_t kib = 1024;

// CUDA C++ Programming Guide 13.0, section "Compute Capabilities", table "Technical Specifications per
// Compute Capability". Those below need no difference but in shared memory.
cudaOccDeviceProp properties(int architecture) {
  cudaOccDeviceProp properties;
  properties.computeMajor = architecture / 10;
  properties.computeMinor = architecture % 10;
  properties.maxThreadsPerBlock = 1024;
  properties.maxThreadsPerMultiprocessor = 2048;
  properties.regsPerBlock = 65536;
  properties.regsPerMultiprocessor = 65536;
  properties.warpSize = 32;
  properties.sharedMemPerBlock = 48 * kib;
  properties.sharedMemPerMultiprocessor = (architecture == 80 ? 164 : 228) * kib;
  properties.sharedMemPerBlockOptin = (architecture == 80 ? 163 : 227) * kib;
  properties.reservedSharedMemPerBlock = kib;
  properties.numSms = 1;  // of no influence on one multiprocessor's blocks
  return properties;
}

std::string limits(unsigned factors) {
  std::string text;
  const auto add = [&](unsigned factor, const char* name) {
    if (factors & factor) text += (text.empty() ? "" : ",") + std::string(name);
  };
  add(OCC_LIMIT_WARPS, "warps");
  add(OCC_LIMIT_REGISTERS, "registers");
  add(OCC_LIMIT_SHARED_MEMORY, "shared");
  add(OCC_LIMIT_BLOCKS, "blocks");
  return text.empty() ? "none" : text;
}

}  // namespace

int main() {
  int architecture = 0, registers = 0, threads = 0;
  std::size_t fixed = 0, dynamic = 0;
  while (std::scanf("%d %d %zu %zu %d", &architecture, &registers, &fixed, &dynamic, &threads) == 5) {
    if (architecture != 80 && architecture != 90 && architecture != 100) {
      std::fprintf(stderr, "occupancy: nothing is known of sm_%d here\n", architecture);
      return 1;
    }
    const cudaOccDeviceProp device = properties(architecture);
    cudaOccFuncAttributes kernel;
    kernel.maxThreadsPerBlock = INT_MAX;
    kernel.numRegs = registers;
    kernel.sharedSizeBytes = fixed;
    kernel.partitionedGCConfig = PARTITIONED_GC_OFF;
    kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
    kernel.maxDynamicSharedSizeBytes = dynamic;
    kernel.numBlockBarriers = 1;
    const cudaOccDeviceState state;
    cudaOccResult result;
    if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, threads, dynamic) !=
        CUDA_OCC_SUCCESS) {
      std::fprintf(stderr, "occupancy: sm_%d refuses %d threads with %zu + %zu bytes\n", architecture,
                   threads, fixed, dynamic);
      return 1;
    }
    const int warps = (threads + 31) / 32;
    std::printf("%d %.4f %s\n", result.activeBlocksPerMultiprocessor,
                result.activeBlocksPerMultiprocessor * warps / 64.0, limits(result.limitingFactors).c_str());
  }
  return 0;
}
