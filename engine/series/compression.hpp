// A series seen through asinh: near its usual values as it is, far from them logarithmic, so that one burst
// does not make all that follows look small.
//
// Definition. y = asinh((x - centre) / (2 spread)); centre is the median of the rows learned from, spread
// 1.4826 times their median absolute deviation from it; where that is 0 their standard deviation, and where
// that is 0 too, 1.
// Source: Burbidge, Magee & Robb 1988, "Alternative transformations to handle extreme values".
#pragma once

#include <span>

#include "engine/series/snapshot.hpp"

namespace lanner::engine {

class Compression {
 public:
  Compression() = default;
  /// At least one value; magnitudes of at most value_most.
  static Compression learn(std::span<const double> values);

  double operator()(double value) const;

  void save(SnapshotWriter&) const;
  void load(SnapshotReader&);

 private:
  double centre_ = 0, spread_ = 1;
};

/// By logarithms: the same bits everywhere. Odd; error of a few units in the last place.
double inverse_hyperbolic_sine(double);

}  // namespace lanner::engine
