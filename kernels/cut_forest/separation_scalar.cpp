// The reference: the definition as it stands.
#include "kernels/cut_forest/attribution.hpp"
#include "kernels/cut_forest/cut_forest_layout.hpp"

namespace lanner::cut_forest {

void separation_scalar(const ForestTables& forest, Rows rows, float* y, float* scores) {
  for (std::size_t i = 0; i < rows.count; ++i) {
    standardise(forest, rows.slice(i, i + 1), y);
    double sum = 0;
    for (std::uint32_t t = 0; t < forest.tree_count; ++t)
      sum += static_cast<double>(of_tree(forest, forest.trees[t], y));
    scores[i] = score_of(sum, forest.factor);
  }
}

void attribution_scalar(const ForestTables& forest, Rows rows, float base, float* y, MutableRows parts) {
  attribute_rows<PlainBoxes>(forest, rows, base, y, parts);
}

}  // namespace lanner::cut_forest
