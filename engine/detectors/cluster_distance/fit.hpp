// From training rows to the centres of their large clusters.
//
// Clusters: Lloyd's algorithm (1982) from the starts of Arthur & Vassilvitskii 2007, "k-means++", the best of
// 2 + ln k candidates for each centre; of several such runs the one of the least sum of squared distances.
// Rows are assigned by the search that scores (kernels/nearest), to centres in float32; a centre is the
// float64 mean of its rows, taken from the differences from the first training row, so that a constant stays
// what it is. A run ends when no row changes its cluster, or after a hundred rounds. A cluster that has lost
// all its rows is dropped, and rows of fewer distinct values than clusters make fewer.
//
// Large: the clusters C1, C2, ... by falling size (ties in the order of their starts), up to the first b
// where C1 to Cb hold at least the share `alpha` of the rows (He, Xu & Deng 2003, their first condition)
// and Cb is at least `beta` times as large as the next (their second); where the two never hold together, up
// to the first where the former does.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/detectors/detector.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::engine::cluster_distance {

struct Clustering {
  std::size_t clusters = 8;
  std::size_t runs = 4;
  double alpha = 0.85;
  double beta = 5;
  std::uint64_t seed = 1;
};

/// The same bits on every tier, whatever the number of threads.
nearest::ReferenceSet large_centres(const FitRequest&, const Clustering&);

}  // namespace lanner::engine::cluster_distance
