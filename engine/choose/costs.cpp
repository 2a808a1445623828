#include "engine/choose/costs.hpp"

#include <algorithm>

namespace lanner::engine {

Cost cost_of_mahalanobis(double n, double d) {
  // With fewer than five rows a feature the robust covariance isn't concentrated.
  const double covariance = n >= 5 * d ? n * (2e-6 + 6e-7 * d + 1.3e-8 * d * d) : n * (2e-6 + 5e-10 * d * d);
  return {covariance + 4e-10 * d * d * d, 0.003 + 2.8e-5 * d * d};
}

Cost cost_of_ensemble(double n, double distinct_share, double d, double rows) {
  const double m = std::min(n, rows), distinct = m * distinct_share;
  const double neighbours =
      m * distinct * (3e-8 + 8e-10 * d);  // each row's among all, on the way and cleaned
  const double whitening = 2.5e-9 * d * d * d;
  const double drawing = n * (2e-7 + 1e-8 * d);
  return {5e-5 * m + neighbours + whitening + drawing + cost_of_mahalanobis(m, d).fit_s,
          5 + distinct * (0.0045 + 1.3e-4 * d) + 1.6e-4 * d * d};
}

Cost cost_of_isolation_forest(double n) {
  return {0.005 + 1e-8 * n, 0.6};  // a hundred trees of 256 rows, whatever the width
}

Cost cost_of_copod(double n, double d) {
  return {9e-8 * n * d, 0.012 * d};  // a sort and a search for each feature
}

Cost cost_of_histogram(double n, double d) {
  return {1.5e-8 * n * d, 0.003 + 7e-4 * d};  // a look-up for each feature
}

}  // namespace lanner::engine
