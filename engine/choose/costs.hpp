// What fitting a detector and scoring an event take, as formulas of the rows: constants, not timings, so that
// the same rows are given the same detector on every machine.
//
// Each formula has the terms that its method's work grows by, with factors set by hand to one core of an AMD
// EPYC with AVX2, rows of n = 100 to 1,000,000 and d = 2 to 512, events in batches of 1,024. There
// bench/engine/choose, which compares them with the machine at hand, gives measured over estimated from 0.18
// to 3.2, and 0.5 to 2 in nine cases of ten.
#pragma once

#include <cstddef>
#include <string_view>

namespace lanner::engine {

struct Cost {
  double fit_s = 0;     ///< on one core
  double event_us = 0;  ///< likewise
};

/// Neighbours are searched among as many rows as `rows` says at most, of which `distinct_share` differ.
Cost cost_of_ensemble(double n, double distinct_share, double d, double rows);
Cost cost_of_mahalanobis(double n, double d);
Cost cost_of_isolation_forest(double n);
Cost cost_of_copod(double n, double d);
Cost cost_of_histogram(double n, double d);

}  // namespace lanner::engine
