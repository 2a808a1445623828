// When two rows are the same: all their bits are, -0 counted as +0. Internal.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/nearest/nearest.hpp"

namespace lanner::nearest {

/// Well mixed in all bits; equal for rows that are the same.
std::uint64_t row_hash(const float* row, std::size_t width);
bool same_row(const float* a, const float* b, std::size_t width);

}  // namespace lanner::nearest
