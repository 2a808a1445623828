// How improbable a value is against the values before it: a logarithmic histogram whose upper end is
// continued by a Pareto law.
//
// Definition. 640 bins, 16 a decade, cover 1e-20 to 1e20 (what lies beyond counts in the outermost); N counts
// all values, those that are not positive too, which are in no bin. The surprise of r is -log10 of an
// estimate of P(R >= r); 0 while N < values_least, and for r <= 0. Bins are taken from the top until they
// hold max(share N, least) values, `held`; u is the lower edge of the last one, in logarithms, and xi the
// mean of the held values' logarithms (by bin centres) less u, at least one bin's width: Hill's estimate.
//   ln r > u:  -log10(held / (N + 1)) + (ln r - u) / (xi ln 10)
//   else:      -log10((values in higher bins + half of r's own bin + 1) / (N + 1)), at least 0
// Source: Hill 1975, "A simple general approach to inference about the tail of a distribution".
#pragma once

#include <array>
#include <cstddef>

#include "engine/series/snapshot.hpp"

namespace lanner::engine {

struct TailRule {
  double share = 0.02;       ///< of all values, that the tail is fitted to
  double least = 5;          ///< values that the tail is fitted to
  double values_least = 20;  ///< before that many, nothing is a surprise
};

/// 10^-surprise, 2^-1022 at the least; 0 for infinity.
double tail_probability(double surprise);

class SurpriseHistogram {
 public:
  static constexpr std::size_t bins = 640;

  explicit SurpriseHistogram(const TailRule& rule = {}) : rule_(rule) {}

  /// The surprise of a finite value against those before it; then it is one of them.
  double update(double value);

  void save(SnapshotWriter&) const;
  void load(SnapshotReader&);

 private:
  double surprise(double log_value, std::size_t bin) const;

  TailRule rule_;
  double values_ = 0;    ///< N
  std::size_t top_ = 0;  ///< no higher bin holds a value
  std::array<double, bins> held_{};
};

}  // namespace lanner::engine
