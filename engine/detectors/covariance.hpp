// Estimates of location and covariance that pca and mahalanobis are made of, in float64, of rows as a
// standardisation leaves them. A feature that is constant in all rows is taken as having variance 1 and no
// part in any other (on its own scale, standardisation.hpp).
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/mlp/mlp.hpp"
#include "kernels/rows.hpp"

namespace lanner::engine {

struct Covariance {
  std::size_t width = 0;
  std::vector<double> location;  ///< [width]
  std::vector<double> values;    ///< [width, width], symmetric
};

Covariance covariance_of(Rows rows, const mlp::Standardisation&);

/// How far towards a multiple of the identity to go, in [0, 1]: Ledoit & Wolf 2004, "A well-conditioned
/// estimator for large-dimensional covariance matrices", lemma 3.2 to 3.4. Of the same rows.
double ledoit_wolf(Rows rows, const mlp::Standardisation&, const Covariance&);

/// values = (1 - share) values + share (trace / width) I.
void shrink(Covariance&, double share);

/// Minimum covariance determinant (Rousseeuw 1984): location and covariance of the share `support` of the
/// rows, at least (n + d + 1) / 2 of them, that lie closest together, and then of all rows within their
/// 97.5 % ellipsoid (the normal distribution's). Concentration from three of the six starts of Hubert,
/// Rousseeuw & Verdonck 2012, "A deterministic algorithm for robust location and scatter": the covariance of
/// tanh of robustly standardised values, that of ranks, and spatial signs; with fewer than 5 rows a feature,
/// from all rows. Every estimate on the way has its correlations shrunk by Ledoit & Wolf's share, which also
/// makes it one where rows are few (Boudt, Rousseeuw, Vanduffel & Verdonck 2020, "The minimum regularized
/// covariance determinant estimator"). Consistent for normal data.
Covariance minimum_covariance_determinant(Rows rows, const mlp::Standardisation&, double support);

/// Orthogonal directions [width, width] (a row each) and the variance along each, falling.
struct Axes {
  std::vector<double> variances, directions;
};
Axes principal_axes(const Covariance&);

/// Lower triangular A [width, width] with A'A = the inverse. Positive definite.
std::vector<double> whitening(const Covariance&);

}  // namespace lanner::engine
