// Which calibration scores are suspected to be anomalies themselves. docs/calibration.md states the rule for
// users.
#pragma once

#include <cstddef>
#include <span>

namespace lanner::engine {

struct Trim {
  std::size_t suspects = 0;   ///< scores at or above the cut
  std::size_t kept_back = 0;  ///< of them, the lowest, which stay in place of the clean scores expected there
  double expected = 0;        ///< upper estimate of the clean scores at or above the cut
  std::size_t trimmed() const { return suspects - kept_back; }
};

/// Fewer scores than this are never trimmed, nor more than this share of them.
inline constexpr std::size_t trim_scores_min = 100;
inline constexpr double trim_share_max = 0.1;

/// scores: ascending, finite. The suspects are the last `suspects` of them.
///
/// For a cut c with k scores at or above it, 3 at least, a generalised Pareto is fitted to the uppermost
/// quarter of the scores below c, as truncated at c: what lies above has no say. Its profile likelihood gives
/// an upper estimate m of how many clean scores to expect at or above c. The k are suspects if
/// - m is at most a fifth of k, and k clean ones would be a wonder: Poisson(m) tail at most 0.0005,
/// - they are a group of its own: seen from the highest score below c, the median suspect is at least 0.4
///   times as far away as the one with a tenth of the suspects above it (median rounded down, tenth up), and
/// - at least three quarters of the scores that were fitted differ: lumpy ones have no such tail.
/// Then the ceil(m - 0.1) lowest of them are kept, so that the calibration still holds as many high scores as
/// the clean rows should bring. The k considered go up by a tenth at a time (by one up to 20), each step
/// taking the cut with the widest gap below it. Of all cuts the one that trims most is taken.
///
/// What scores can't tell: rare clean rows that score as a far group of their own look like contamination and
/// go; one or two anomalies look like the ends of a heavy tail and stay.
Trim suspected(std::span<const float> scores);

}  // namespace lanner::engine
