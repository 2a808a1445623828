// From training rows to projections and their histograms.
//
// A projection is a weighted sum of ceil(sqrt(v)) of the v features that are not constant, drawn without
// replacement, with weights of the standard normal distribution, of the standardised row
// (standardisation.hpp) (Pevny 2016; standardised here, so that no unit decides). A constant
// feature is in none of them; it makes a projection of its own, in which any other value has never been seen.
//
// A projection's histogram has bins of equal width and penalties as histogram/histograms.hpp states: minus
// the log of the density, in bits, less that of the densest bin. The penalties are divided by the number of
// projections, so that their sum is the mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/detectors/detector.hpp"
#include "engine/detectors/histogram/histograms.hpp"
#include "engine/detectors/loda/model.hpp"

namespace lanner::engine::loda {

struct Projecting {
  std::size_t projections = 100;
  histogram::Binning binning;  ///< of equal width; the paper lets Birge & Rozenholc 2006 choose how many
  std::uint64_t seed = 1;
};

std::shared_ptr<const Learned> learn(const FitRequest&, const Projecting&);

}  // namespace lanner::engine::loda
