// What a choice of detector looks at in the training rows.
#pragma once

#include <cstddef>

#include "kernels/rows.hpp"

namespace lanner::engine {

struct RowsSummary {
  std::size_t rows = 0, distinct = 0;  ///< rows that are the same value for value count once in `distinct`
  std::size_t columns = 0;
  std::size_t constant = 0, two_valued = 0;  ///< columns that take one value, exactly two values
};

/// Exact, whatever the order of the rows; -0 counts as 0.
RowsSummary summary_of(Rows);

}  // namespace lanner::engine
