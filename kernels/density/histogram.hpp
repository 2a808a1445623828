// Per-feature histogram look-ups: score of a row = sum over features of the penalty of the bin it falls in.
//
// Definition (the same bits on every backend). Feature j has bins of equal or unequal width given by
// ascending float32 edges e[0] < ... < e[b]; value x is in bin i when e[i] <= x < e[i+1] (the last bin closed
// above), below e[0] or above e[b] in the outside bins. The score is the float32 chain, from 0, of
// penalty[j][bin] in feature order, held within the finite floats.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "kernels/device/device.hpp"
#include "kernels/rows.hpp"

namespace lanner::density {

/// Plain data. Feature j owns edges[edge_begin[j] .. edge_begin[j+1]) (at least two, ascending, b + 1 of
/// them) and penalties[penalty_begin[j] .. ) (b + 2: below, the b bins, above).
struct Histograms {
  std::vector<float> edges;
  std::vector<std::size_t> edge_begin;  ///< [width + 1]
  std::vector<float> penalties;
  std::vector<std::size_t> penalty_begin;  ///< [width + 1]
  std::size_t width() const { return edge_begin.size() - 1; }
};

class ResidentHistograms {
 public:
  virtual ~ResidentHistograms() = default;
  virtual std::size_t width() const = 0;
  /// What the functions below call once they have checked the request: at least one row.
  virtual void look_up(Stream&, Rows rows, float* scores, MutableRows parts) const = 0;
  virtual bool look_up_if_finite(Stream&, Rows rows, float* scores) const;
};
/// Throws std::invalid_argument for shapes or values that don't fit the description above.
std::shared_ptr<const ResidentHistograms> make_histograms(Device&, const Histograms&);

/// scores [n]; parts [n, d] (each feature's penalty) or data == nullptr. Throws std::invalid_argument
/// for shapes that don't fit. Allocates nothing.
void look_up(Stream&, const ResidentHistograms&, Rows rows, std::span<float> scores, MutableRows parts);

/// The scores of rows that nobody has looked at yet. Whether all values are finite; where not, what `scores`
/// has is worth nothing. On the cpu backend.
bool look_up_if_finite(Stream&, const ResidentHistograms&, Rows rows, std::span<float> scores);

}  // namespace lanner::density
