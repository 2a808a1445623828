// What the demo saw, a point an event; and its picture.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lanner::host {

struct Contribution {
  std::string feature;
  double value = 0, share = 0;
};

struct Point {
  double second = 0;  ///< since watching began
  double score = 0, p_value = 1;
  bool flagged = false;
};

struct Timeline {
  std::vector<Point> points;
  double disturbed_from = -1, disturbed_to = -1;  ///< seconds; negative: not yet
  double threshold = 0;
  std::vector<Contribution> why;  ///< of the strongest alert of the disturbance
};

/// The last `width` points' scores as a line of block characters, logarithmic, flagged ones in colour.
std::string sparkline(const std::vector<Point>&, std::size_t width, bool colour);

/// A drawing of the whole timeline: p-values on a logarithmic axis, the threshold, the disturbance, the
/// contributions.
std::string draw_svg(const Timeline&, const std::string& title);

}  // namespace lanner::host
