// Score to p-value: the empirical tail of the calibration scores, and beyond it a generalised-Pareto tail.
//
// Definition (the same bits on every backend). With n sorted calibration scores c:
//   p = (1 + #{i : c[i] >= s}) / (n + 1)                                  (conformal; Vovk et al. 2005)
// computed in float64 as one integer count and one division. Where the count is 0, i.e. s > c[n-1], and a
// tail is given, p = extrapolated(s) <= 1/(n+1): tail_formula.hpp states it; the row is marked. Where there
// are several calibrations, each score says which of them is its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/device/device.hpp"

namespace lanner::tail {

/// Generalised Pareto beyond `threshold` (Pickands 1975): P(S > s | S > threshold) = (1 + shape (s -
/// threshold) / scale)^(-1/shape), exp(-(s - threshold)/scale) for shape 0. exceedance = share of calibration
/// scores above it.
struct Pareto {
  bool fitted = false;
  double threshold = 0, shape = 0, scale = 1, exceedance = 0;
};

/// Plain data. Scores ascending, finite, at least one.
struct Calibration {
  std::vector<float> scores;
  Pareto pareto;
};

/// What a backend does; called by p_values below.
class ResidentTail {
 public:
  virtual ~ResidentTail() = default;
  virtual void p_values(Stream&, std::span<const float> scores, std::span<double> p_values,
                        std::span<std::uint8_t> extrapolated, std::span<const std::uint32_t> which) const = 0;
};
/// At least one calibration. Throws std::invalid_argument where scores are empty, unsorted or not finite.
std::shared_ptr<const ResidentTail> make_tail(Device&, std::span<const Calibration>);
inline std::shared_ptr<const ResidentTail> make_tail(Device& device, const Calibration& calibration) {
  return make_tail(device, std::span(&calibration, 1));
}

/// p_values [n] in (0, 1]; extrapolated [n] (0 or 1), both for each score [n] (finite). `which` [n]: the
/// calibration of each, below their number; empty: the first. Allocates nothing.
void p_values(Stream&, const ResidentTail&, std::span<const float> scores, std::span<double> p_values,
              std::span<std::uint8_t> extrapolated, std::span<const std::uint32_t> which = {});

}  // namespace lanner::tail
