#include "kernels/nearest/plan.hpp"

#include <vector>

#include "kernels/nearest/codes.hpp"
#include "kernels/nearest/index.hpp"

namespace lanner::nearest {
namespace {

/// Cells are filled up to cell_granule_max rows, so that many small ones would take memory beyond measure.
/// More than fitted_cells ever makes.
std::size_t cells_max(std::size_t rows) {
  return rows / 32 + 256;
}

/// `begins` rises from 0 and stays below `end`.
bool divides(const std::vector<std::size_t>& begins, std::size_t end) {
  if (begins.empty() || begins.front() != 0 || begins.back() >= end) return false;
  for (std::size_t i = 1; i < begins.size(); ++i)
    if (begins[i] <= begins[i - 1]) return false;
  return true;
}

}  // namespace

std::shared_ptr<const IndexPlan> plan_index(const ReferenceSet& set, std::size_t k) {
  check_reference(set);
  auto plan = std::make_shared<IndexPlan>();
  plan->cells = fitted_cells(set, cell_granule_max);
  plan->left_over = left_over_by_codes(set, k);
  return plan;
}

bool fits(const IndexPlan& plan, const ReferenceSet& set) {
  const Cells& cells = plan.cells;
  if (cells.order.size() != set.distinct() || !divides(cells.begins, set.distinct()) ||
      cells.count() > cells_max(set.distinct()) || !divides(cells.groups, cells.count()) ||
      !(cells.rows_read >= 0) || !(plan.left_over >= 0))
    return false;
  for (std::size_t cell = 0; cell < cells.count(); ++cell)
    if (cells.rows(cell).size() > cell_rows_max) return false;
  std::vector<bool> seen(set.distinct(), false);
  for (const std::uint32_t row : cells.order) {
    if (row >= seen.size() || seen[row]) return false;
    seen[row] = true;
  }
  return true;
}

}  // namespace lanner::nearest
