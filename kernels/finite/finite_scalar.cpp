#include "kernels/finite/finite_pass.hpp"

namespace lanner::finite {
namespace {

bool look(const float* values, std::size_t count) {
  std::int32_t bad = 0;
  for (std::size_t i = 0; i < count; ++i) bad |= unlike_finite(values[i]);
  return bad == 0;
}

template <class T>
bool copy(const T* __restrict from, float* __restrict to, std::size_t count) {
  std::int32_t bad = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(from[i]);
    to[i] = value;
    bad |= unlike_finite(value);
  }
  return bad == 0;
}

}  // namespace

constinit const Passes passes_scalar{look, copy<float>, copy<double>};

}  // namespace lanner::finite
