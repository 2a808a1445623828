// Which SIMD tier the CPU kernels run in: chosen once at start, forced by LANNER_CPU.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace lanner {

enum class CpuTier { scalar, avx2, avx512 };

std::string_view name(CpuTier);
std::optional<CpuTier> parse_cpu_tier(std::string_view);

/// The tiers that this machine can run, plain C++ first, the best last.
std::vector<CpuTier> available_cpu_tiers();

/// LANNER_CPU if set (a tier that the machine lacks, or an unknown word, throws std::invalid_argument), else
/// the best available one.
CpuTier chosen_cpu_tier();

/// LANNER_THREADS if set (a positive number, else std::invalid_argument), else the CPUs this process may use.
unsigned chosen_threads();

}  // namespace lanner
