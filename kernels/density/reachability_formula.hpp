// The arithmetic of reachability.hpp, shared by fitting and by every backend.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/arithmetic/scalar.hpp"
#include "kernels/density/reachability.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::density {

LANNER_FORMULA double reach(float k_distance, float distance) {
  return static_cast<double>(maximum(k_distance, distance));
}

/// To float32, the largest finite one where that overflows: a raw score is always finite.
LANNER_FORMULA float finite_factor(double value) {
  constexpr double most = 0x1.fffffep127;
  return static_cast<float>(maximum(minimum(value, most), -most));
}

LANNER_FORMULA float lone_row_factor(float distance) {
  return finite_factor(1 + static_cast<double>(distance));
}

/// Weighted sums over one row's neighbours.
struct Neighbourhood {
  double weight = 0;   ///< sum of w
  double reach = 0;    ///< sum of w reach
  double density = 0;  ///< sum of w density(r)

  LANNER_FORMULA void add(double w, double reach_of, double density_of) {
    weight += w;
    reach = fma(w, reach_of, reach);
    density = fma(w, density_of, density);
  }
  LANNER_FORMULA double local_density() const { return weight / reach; }
  LANNER_FORMULA double factor() const { return density / weight * (reach / weight); }
};

/// Of row i of `found`, in the host's memory. Where `left_out` is the row's own distinct row, it counts one
/// original row less.
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

}  // namespace lanner::density
