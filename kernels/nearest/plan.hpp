// How a reference set is cut into cells, and what tells whether bytes screen them sooner: counted once, when
// a model is fitted, and kept in it. The time of searches depends on it, no answer does.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/nearest/cells.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::nearest {

struct IndexPlan {
  Cells cells;
  /// Of a query of average luck: the rows that codes can't tell from its k nearest. Infinite where there can
  /// be no codes.
  double left_over = 0;
};

/// For searches of that k. Depends on the set alone, not on the machine.
std::shared_ptr<const IndexPlan> plan_index(const ReferenceSet&, std::size_t k);

/// Whether every row of the set is in one cell, and every cell is one that a search can read.
bool fits(const IndexPlan&, const ReferenceSet&);

}  // namespace lanner::nearest
