// The factor's arithmetic, in float64 chains over the neighbours in their order.
//
// k counts distinct rows, and a neighbour that occurred w times weighs w: k equal rows can then neither make
// a k-distance of zero nor an infinite density.
//   k-distance(r)   the distance of distinct training row r to its k-th other distinct row
//   reach(x, r)   = max(k-distance(r), distance(x, r))
//   density(x)    = sum of w / sum of w reach(x, r)   over x's neighbours r (local reachability density); a
//   training
//                   row that occurred w times is its own neighbour w - 1 times, at its k-distance
//   factor(x)     = (sum of w density(r) / sum of w) / density(x)
// A set of a single distinct row has no density; there the factor is 1 + the distance to that row.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/arithmetic/scalar.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::engine::local_outlier_factor {

/// What is known of the distinct training rows, [distinct] each.
struct TrainingDensity {
  const std::uint32_t* weight;
  const float* k_distance;
  const double* density;
};

inline double reach(float k_distance, float distance) {
  return k_distance > distance ? k_distance : distance;
}

/// Weighted sums over one row's neighbours.
struct Neighbourhood {
  double weight = 0;   ///< sum of w
  double reach = 0;    ///< sum of w reach
  double density = 0;  ///< sum of w density(r)

  void add(double w, double reach_of, double density_of) {
    weight += w;
    reach = fma(w, reach_of, reach);
    density = fma(w, density_of, density);
  }
  double local_density() const { return weight / reach; }
  double factor() const { return density / weight * (reach / weight); }
};

/// Of row i of `found`. Where `left_out` is the row's own distinct row, it counts one original row less.
inline Neighbourhood neighbourhood(const TrainingDensity& training, const nearest::Neighbours& found,
                                   std::size_t i, std::uint32_t left_out = nearest::no_self) {
  Neighbourhood sums;
  for (std::size_t e = i * found.k; e < i * found.k + found.count[i]; ++e) {
    const std::uint32_t row = found.row[e];
    const double w = static_cast<double>(training.weight[row]) - (row == left_out ? 1 : 0);
    sums.add(w, reach(training.k_distance[row], found.distance[e]), training.density[row]);
  }
  return sums;
}

}  // namespace lanner::engine::local_outlier_factor
