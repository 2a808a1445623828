// The local outlier factor (Breunig, Kriegel, Ng & Sander 2000, "LOF: Identifying Density-Based Local
// Outliers") of rows whose neighbours have been found.
//
// Definition (the same bits on every backend), in float64 chains over the neighbours in their order. k counts
// distinct rows, and a neighbour that occurred w times weighs w: k equal rows can then neither make a
// k-distance of zero nor an infinite density.
//   k-distance(r)   the distance of distinct training row r to its k-th other distinct row
//   reach(x, r)   = max(k-distance(r), distance(x, r))
//   density(x)    = sum of w / sum of w reach(x, r)   over x's neighbours r (local reachability density); a
//                   training row that occurred w times is its own neighbour w - 1 times, at its k-distance
//   factor(x)     = (sum of w density(r) / sum of w) / density(x), within the finite floats
// A set of a single distinct row has no density; there the factor is 1 + the distance to that row.
// reachability_formula.hpp has the chains.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/device/device.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::density {

/// What is known of the distinct training rows, [distinct] each, in the host's memory.
struct TrainingDensity {
  std::span<const std::uint32_t> weight;
  std::span<const float> k_distance;
  std::span<const double> density;
};

class ResidentDensities {
 public:
  virtual ~ResidentDensities() = default;
  virtual std::size_t distinct() const = 0;
  /// What the function below calls once it has checked the request: at least one row.
  virtual void local_outlier_factors(Stream&, const nearest::Neighbours& found, std::size_t count,
                                     float* out) const = 0;
};
/// Copies what it needs. Throws std::invalid_argument where there is no row, or the spans differ in length.
std::shared_ptr<const ResidentDensities> make_densities(Device&, const TrainingDensity&);

/// out [count]: the factors of the rows whose neighbours (Count::distinct, at least one each) are rows 0 to
/// count - 1 of `found`, all of it the device's memory. Throws std::invalid_argument for shapes that don't
/// fit. Allocates nothing.
void local_outlier_factors(Stream&, const ResidentDensities&, const nearest::Neighbours& found,
                           std::size_t count, std::span<float> out);

}  // namespace lanner::density
