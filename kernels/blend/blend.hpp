// Several scores of a row become one: their logarithms brought to one scale, halfway between mean and
// maximum.
//
// Definition (the same bits on every backend). Of a row's scores s[0], s[1], ... by M members:
//   z[m] = fma(weight[m], log(max(s[m], 0) + offset[m]), bias[m])
//   blend = fma(0.5, max over m of z[m], (0.5 / M) * (z[0] + z[1] + ...))
// in float32, sums in order, held within the finite floats; log is that of arithmetic/elementary.hpp.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "kernels/device/device.hpp"

namespace lanner::blend {

struct Member {
  float offset = 0;  ///< above 0, finite
  float weight = 0;  ///< finite
  float bias = 0;    ///< finite
};
using Blend = std::vector<Member>;

/// What a backend does; called by blend below.
class ResidentBlend {
 public:
  virtual ~ResidentBlend() = default;
  virtual std::size_t members() const = 0;
  virtual void blend(Stream&, const float* scores, std::size_t stride, std::span<float> blended) const = 0;
};
/// Throws std::invalid_argument for no members, and values that aren't what is said above.
std::shared_ptr<const ResidentBlend> make_blend(Device&, const Blend&);

/// scores [members][stride], finite, each member's first n; blended [n], n <= stride. Allocates nothing.
void blend(Stream&, const ResidentBlend&, std::span<const float> scores, std::size_t stride,
           std::span<float> blended);

}  // namespace lanner::blend
