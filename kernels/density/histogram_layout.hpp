// How resident histograms lie in memory, for every tier.
//
// Of a feature with b bins the last edge is raised to the next float, so that the bin (0 for below, b + 1 for
// above) is simply the number of edges <= x. Tables are padded to whole registers: edges with infinity,
// penalties with the one for values above.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/arithmetic/scalar.hpp"
#include "kernels/rows.hpp"

namespace lanner::density {

/// The edges with the last one raised.
std::vector<float> raised_edges(std::span<const float> edges);

/// Bins of equal width, or nearly so, are found without a search.
struct EvenEdges {
  float first = 0, per_width = 0;
  bool proven = false;  ///< for these very edges: the bin is always nearest_edge, or the next one
};
EvenEdges even_edges(std::span<const float> edges);

/// The float whose last bits count from 0: whatever is added to it is rounded to whole numbers, 2^22 at most.
inline constexpr float counted_from = 0x1.8p23f;

/// counted_from and the number of the edge nearest to x where edges stand evenly, from 0 to last; it decides
/// between the bins on its sides. highest: counted_from + last.
template <class F>
LANNER_FORMULA F nearest_edge(F x, F first, F per_width, F highest) {
  return minimum(maximum(fma(x - first, per_width, F(counted_from)), F(counted_from)), highest);
}

struct FeatureHistogram {
  const float* edges;      ///< [b + 1], the last raised
  const float* penalties;  ///< [b + 2], at least [2^levels] with the padding
  /// The edges as a binary tree, node k's children at 2k and 2k + 1, from node 1 on: [2^levels], padded
  /// likewise.
  const float* tree;
  std::int32_t levels;  ///< 2^levels > b + 1
  std::int32_t last;    ///< b
  /// Where `even`: the bin is the integer nearest to (x - first) * per_width, held within [0, b], or the next
  /// one: the edge between the two decides. Proven for the feature's own edges when it was made.
  bool even;
  float first, per_width;
  float highest;  ///< counted_from + b
};

/// Floats that every table may be read in steps of.
inline constexpr std::size_t table_step = 16;

struct HistogramTables {
  const FeatureHistogram* features;
  std::size_t width;
  /// Where all features have even bins and no more than this many edges and penalties, a multiple of
  /// table_step: so many of each of them can be read. Otherwise 0.
  std::size_t all_even_within;
  std::int32_t all_levels;  ///< of every feature's tree; 0 where they differ; at most 6

  /// Whether every feature's tables fit into AVX-512's registers, as many of them each.
  bool alike() const { return all_even_within > 0 || all_levels > 0; }
};
inline constexpr std::size_t short_table_max = 64;

/// Scores (and, where parts.data is set, each feature's penalty) of all rows given.
using LookUp = void (*)(const HistogramTables&, Rows rows, float* scores, MutableRows parts);
void look_up_scalar(const HistogramTables&, Rows rows, float* scores, MutableRows parts);
void look_up_avx2(const HistogramTables&, Rows rows, float* scores, MutableRows parts);
void look_up_avx512(const HistogramTables&, Rows rows, float* scores, MutableRows parts);
/// The scores where tables.alike(), and whether all values are finite.
bool look_up_alike_avx512(const HistogramTables&, Rows rows, float* scores);

}  // namespace lanner::density
