// From training rows to members and their blend. No label is used, nothing is tuned to a data set.
//
// Members: an isolation forest on the rows as they are; the mean distance to a tenth of the rows, on
// standardised features; the local outlier factor among a hundredth of them, on whitened features (C^-1/2 of
// Ledoit & Wolf's covariance, the map that changes them least); and the squared Mahalanobis distance by a
// robust covariance.
//
// Copies: where half of the distinct rows stand there m > 1 times or more, as a bootstrap makes them, counts
// are divided by m, the lower median; a neighbour-based score of a row whose copies were trained on says
// nothing.
//
// Cleaning: the first three are fitted on all rows, their scores of the rows themselves (each as if it had
// not been fitted on, where the method can) brought to one scale and added up; the tenth that scores highest
// is left out, and the two neighbour-based members are fitted again on the rest. The forest stays with all
// rows, which its subsamples clean better.
//
// Scale: a member's score s becomes (ln(s + e) - mean) / deviation, e being the score that a twentieth of the
// rows stay below, mean and deviation those of ln(s + e) over all rows, left out or not. Logarithms, because
// scores are distances and ratios of densities: a mean of the scores themselves would be the one with the
// heaviest tail. The blend is halfway between the members' mean and their maximum: what all see a little, and
// what one sees clearly. Kriegel, Kroeger, Schubert & Zimek 2011 and Aggarwal & Sathe 2015 on unification and
// on averaging; Rousseeuw's cleaning by first estimates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/detectors/detector.hpp"
#include "engine/detectors/ensemble/model.hpp"

namespace lanner::engine::ensemble {

struct Making {
  std::size_t trees = 200;
  double cleaned = 0.1;            ///< share of the rows left out, in [0, 0.5]
  std::size_t rows_most = 10'000;  ///< more are drawn down to so many: what a search costs grows with them
  std::uint64_t seed = 1;
};

std::shared_ptr<const Learned> learn(const FitRequest&, const Making&);

}  // namespace lanner::engine::ensemble
