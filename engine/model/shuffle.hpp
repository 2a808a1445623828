// Seeded orders that are the same on every machine, which the standard library's distributions are not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lanner::engine {

/// A random order of 0 .. n-1 (Fisher & Yates, with SplitMix64; Steele et al. 2014).
std::vector<std::size_t> shuffled(std::size_t n, std::uint64_t seed);

}  // namespace lanner::engine
