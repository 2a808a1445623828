// Sorting: what fitting needs of histograms and calibration. By Thrust on every backend, so not for scoring,
// which needs nothing but Lanner's own kernels.
//
// Values are sorted by an integer that is in their order (sort_key.hpp), -0 before +0. Equal integers are
// equal bits, so the result is the same on every backend, whatever the algorithm. Unlike other operations
// these take and give host memory, and return when the work is done; on a GPU they copy there and back.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "kernels/device/device.hpp"
#include "kernels/rows.hpp"

namespace lanner::sort {

/// Finite values.
void sort_ascending(Device&, std::span<float> values);

/// A column's values, ascending [rows]; there for the length of the call.
using UseColumn = std::function<void(std::size_t column, std::span<const float> ascending)>;
/// Calls `use` for every column in turn, on the calling thread; what it throws is passed on. Several columns
/// go to the device at a time, on the CPU a thread each.
void sort_columns(Device&, Rows rows, const UseColumn& use);

}  // namespace lanner::sort
