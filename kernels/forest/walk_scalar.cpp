// The reference: the definition as it stands.
#include "kernels/forest/forest_layout.hpp"

namespace lanner::forest {

void walk_scalar(const ForestTables& forest, Rows rows, float*, float* scores) {
  for (std::size_t i = 0; i < rows.count; ++i) scores[i] = walk_row(forest, rows.row(i));
}

}  // namespace lanner::forest
