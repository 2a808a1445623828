// The steps of a row's way through a tree, for every backend.
#pragma once

#include "kernels/arithmetic/scalar.hpp"

namespace lanner::cut_forest {

inline constexpr float ticks = 0x1p24f;
/// Into which a sum over features is parted; sums of all of them begin with those this half apart.
inline constexpr unsigned chains = 16;

/// How far y lies outside [low, high].
template <class F>
LANNER_FORMULA F excess(F y, F low, F high) {
  return maximum(maximum(low - y, y - high), F(0.0f));
}

/// What a row has been given, and the chance that it comes further.
template <class F>
struct Given {
  F rest, sum;
};
/// The chance that a cut parts the row.
template <class F>
LANNER_FORMULA F chance_of(F outside, F range) {
  return outside / (range + outside);
}
template <class F>
LANNER_FORMULA void at_node(Given<F>& given, F chance, F value) {
  const F here = given.rest * chance;
  given.sum = fma(here, value, given.sum);
  given.rest = given.rest - here;
}
template <class F>
LANNER_FORMULA F in_ticks(Given<F> given, F of_leaf) {
  return round_even(fma(given.rest, of_leaf, given.sum) * F(ticks));
}

/// factor: scale / (trees * 2^24).
LANNER_FORMULA float score_of(double sum, double factor) {
  return static_cast<float>(sum * factor);
}

}  // namespace lanner::cut_forest
