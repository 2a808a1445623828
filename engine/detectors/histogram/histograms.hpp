// From one feature's training values to bins and penalties.
//
// A bin's density is its share of the rows over its share of the feature's range, so it doesn't depend on
// units. Its penalty is how many bits rarer than the densest bin it is:
//   log2((densest + 0.1) / (density + 0.1))
// the 0.1 (as in PyOD) bounding what an empty bin can add. With bins of equal width, a value outside the
// range by at most half a bin counts as in the outermost bin. Any other outside it has never been seen: its
// penalty is the larger of an empty bin's and log2(n + 1). A constant feature's value makes a bin of its own,
// one of `bins` as far as its density goes; every other value counts as outside.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/density/histogram.hpp"

namespace lanner::engine::histogram {

enum class Rule { equal_width, equal_count };

/// bins = 0: as many as the penalised likelihood of Birge & Rozenholc 2006 has it.
struct Binning {
  std::size_t bins = 10;
  Rule rule = Rule::equal_width;
};

/// Appends the feature's bins and penalties. `sorted`: ascending, finite, at least one value.
void append_feature(density::Histograms&, std::span<const float> sorted, const Binning&);

/// Birge & Rozenholc 2006, "How many bins should be put in a regular histogram", section 3.2: the D that
/// maximises sum N_i log(D N_i / n) - (D - 1) - (log D)^2.5, among 1 .. min(n / log n, 256).
std::size_t penalised_bins(std::span<const float> sorted);

}  // namespace lanner::engine::histogram
