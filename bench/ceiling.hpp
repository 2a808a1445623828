// What a core can do at most, measured in the run that a benchmark is compared with.
#pragma once

#include <immintrin.h>
#include <time.h>

#include "kernels/device/cpu_tier.hpp"

namespace lanner::bench {

/// CPU time of this thread.
inline double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Twelve independent chains: more than latency times ports. Assembly, since compilers keep arrays of them in
// memory.
#define LANNER_TWELVE_FMAS      \
  "vfmadd231ps %12, %12, %0\n"  \
  "vfmadd231ps %12, %12, %1\n"  \
  "vfmadd231ps %12, %12, %2\n"  \
  "vfmadd231ps %12, %12, %3\n"  \
  "vfmadd231ps %12, %12, %4\n"  \
  "vfmadd231ps %12, %12, %5\n"  \
  "vfmadd231ps %12, %12, %6\n"  \
  "vfmadd231ps %12, %12, %7\n"  \
  "vfmadd231ps %12, %12, %8\n"  \
  "vfmadd231ps %12, %12, %9\n"  \
  "vfmadd231ps %12, %12, %10\n" \
  "vfmadd231ps %12, %12, %11\n"

[[gnu::target("avx2,fma"), gnu::noinline]] inline double fma_rate_avx2(int rounds) {
  __m256 s[12];
  for (__m256& chain : s) chain = _mm256_set1_ps(1);
  const __m256 x = _mm256_set1_ps(0.5f);
  const double start = cpu_seconds();
  for (int i = 0; i < rounds; ++i)
    asm volatile(LANNER_TWELVE_FMAS
                 : "+x"(s[0]), "+x"(s[1]), "+x"(s[2]), "+x"(s[3]), "+x"(s[4]), "+x"(s[5]), "+x"(s[6]),
                   "+x"(s[7]), "+x"(s[8]), "+x"(s[9]), "+x"(s[10]), "+x"(s[11])
                 : "x"(x));
  return 12.0 * sizeof x / 4 * 2 * rounds / (cpu_seconds() - start);
}

[[gnu::target("avx512f"), gnu::noinline]] inline double fma_rate_avx512(int rounds) {
  __m512 s[12];
  for (__m512& chain : s) chain = _mm512_set1_ps(1);
  const __m512 x = _mm512_set1_ps(0.5f);
  const double start = cpu_seconds();
  for (int i = 0; i < rounds; ++i)
    asm volatile(LANNER_TWELVE_FMAS
                 : "+v"(s[0]), "+v"(s[1]), "+v"(s[2]), "+v"(s[3]), "+v"(s[4]), "+v"(s[5]), "+v"(s[6]),
                   "+v"(s[7]), "+v"(s[8]), "+v"(s[9]), "+v"(s[10]), "+v"(s[11])
                 : "v"(x));
  return 12.0 * sizeof x / 4 * 2 * rounds / (cpu_seconds() - start);
}

#undef LANNER_TWELVE_FMAS

/// float32 operations a core-second at a tier's width, two for each multiply-add; 0 where the machine has no
/// AVX2.
inline double fma_rate(CpuTier tier) {
  constexpr int rounds = 5'000'000;
  if (tier == CpuTier::avx512 && __builtin_cpu_supports("avx512f")) return fma_rate_avx512(rounds);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return fma_rate_avx2(rounds);
  return 0;
}

}  // namespace lanner::bench
