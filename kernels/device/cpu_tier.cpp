#include "kernels/device/cpu_tier.hpp"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace lanner {

std::string_view name(CpuTier tier) {
  switch (tier) {
    case CpuTier::scalar:
      return "scalar";
    case CpuTier::avx2:
      return "avx2";
    case CpuTier::avx512:
      return "avx512";
  }
  return "unknown";
}

std::optional<CpuTier> parse_cpu_tier(std::string_view word) {
  for (CpuTier tier : {CpuTier::scalar, CpuTier::avx2, CpuTier::avx512})
    if (word == name(tier)) return tier;
  return std::nullopt;
}

std::vector<CpuTier> available_cpu_tiers() {
  std::vector<CpuTier> tiers{CpuTier::scalar};
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  if (avx2) tiers.push_back(CpuTier::avx2);
#ifdef LANNER_AVX512_LOWERED
  const bool avx512 = avx2;
#else
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#endif
  if (avx512) tiers.push_back(CpuTier::avx512);
  return tiers;
}

CpuTier chosen_cpu_tier() {
  const std::vector<CpuTier> available = available_cpu_tiers();
  const char* forced = std::getenv("LANNER_CPU");
  if (!forced || !*forced) return available.back();
  const auto tier = parse_cpu_tier(forced);
  if (!tier)
    throw std::invalid_argument(std::string("LANNER_CPU: found '") + forced +
                                "', allowed: scalar, avx2, avx512");
  if (std::find(available.begin(), available.end(), *tier) == available.end())
    throw std::invalid_argument(std::string("LANNER_CPU: this machine has no ") + forced);
  return *tier;
}

unsigned chosen_threads() {
  if (const char* text = std::getenv("LANNER_THREADS"); text && *text) {
    const std::string_view word(text);
    unsigned threads = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), threads);
    if (error != std::errc() || end != word.data() + word.size() || threads == 0 || threads > 1024)
      throw std::invalid_argument("LANNER_THREADS: found '" + std::string(word) +
                                  "', allowed: a number from 1 to 1024");
    return threads;
  }
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return std::max(1, CPU_COUNT(&allowed));
  return 1;
}

}  // namespace lanner
