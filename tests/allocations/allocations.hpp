// Counts what a test binary allocates: linked in, it stands in for every operator new, and for aligned_alloc,
// by which devices take their memory.
#pragma once

#include <cstddef>

namespace lanner::test {

/// Since the start, by all threads.
std::size_t allocations();

}  // namespace lanner::test
