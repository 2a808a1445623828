// The reference: the definition as it stands.
#include <limits>

#include "kernels/arithmetic/scalar.hpp"
#include "kernels/density/histogram_layout.hpp"

namespace lanner::density {

void look_up_scalar(const HistogramTables& tables, Rows rows, float* scores, MutableRows parts) {
  constexpr float largest = std::numeric_limits<float>::max();
  for (std::size_t i = 0; i < rows.count; ++i) {
    const float* row = rows.row(i);
    float score = 0;
    for (std::size_t j = 0; j < tables.width; ++j) {
      const FeatureHistogram& feature = tables.features[j];
      std::int32_t bin = 0, beyond = feature.last + 1;
      while (bin < beyond) {
        const std::int32_t middle = (bin + beyond) / 2;
        if (feature.edges[middle] <= row[j]) {
          bin = middle + 1;
        } else {
          beyond = middle;
        }
      }
      const float penalty = feature.penalties[bin];
      score += penalty;
      if (parts.data) parts.row(i)[j] = penalty;
    }
    scores[i] = minimum(maximum(score, -largest), largest);
  }
}

}  // namespace lanner::density
