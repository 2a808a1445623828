// Whether an explanation names what made an event: its ranking of metrics against those that are known.
//
// Source: HitRate@P% of Su et al. 2019, "Robust Anomaly Detection for Multivariate Time Series through
// Stochastic Recurrent Neural Network" (OmniAnomaly), section 5.4.
#pragma once

#include <cstddef>
#include <span>

namespace lanner::engine {

/// How many metrics are looked at for `listed` known ones: floor(share * listed), at most all of them.
std::size_t looked_at(std::size_t metrics, std::size_t listed, double share);

/// The share of the listed metrics that are among the looked_at() largest contributions. Where contributions
/// tie for the last place, what an even draw among them would find on average. listed: indices below the
/// number of contributions, each once, at least one; otherwise std::invalid_argument.
double hit_rate(std::span<const double> contributions, std::span<const std::size_t> listed, double share);

/// What a random ranking finds on average: the mean of the hypergeometric law over `listed`.
double random_hit_rate(std::size_t metrics, std::size_t listed, double share);

}  // namespace lanner::engine
