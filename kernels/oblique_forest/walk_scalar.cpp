// The reference: the definition as it stands.
#include "kernels/oblique_forest/attribution.hpp"
#include "kernels/oblique_forest/oblique_forest_layout.hpp"

namespace lanner::oblique_forest {

void isolation_scalar(const ForestTables& forest, Rows rows, float* y, float* scores) {
  for (std::size_t i = 0; i < rows.count; ++i) {
    standardise(forest, rows.slice(i, i + 1), y);
    double ticks = 0;
    for (std::uint32_t t = 0; t < forest.tree_count; ++t) {
      std::uint32_t at = forest.trees[t].root;
      while (forest.nodes[at].left != at) {
        const Node& node = forest.nodes[at];
        const float sum = plain_sum(y, forest.indices ? forest.indices + node.cut : nullptr,
                                    forest.weights + node.cut, forest.mixed);
        at = node.left + (sum > node.threshold ? 1u : 0u);
      }
      ticks += forest.nodes[at].ticks;
    }
    scores[i] = score_of(forest, ticks, rows.row(i));
  }
}

float projection_scalar(const float* y, const std::uint32_t* feature, const float* weight,
                        std::size_t mixed) {
  return plain_sum(y, feature, weight, mixed);
}

void attribution_scalar(const ForestTables& forest, Rows rows, float* y, MutableRows moved, double* lengths) {
  attribute_rows<PlainCuts>(forest, rows, y, moved, lengths);
}

}  // namespace lanner::oblique_forest
