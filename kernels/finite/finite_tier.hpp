// The body of finite_avx2.cpp and finite_avx512.cpp.
#pragma once

#include "kernels/finite/finite_pass.hpp"
#include "kernels/simd/lanes.hpp"

namespace lanner::finite {

template <class Tier>
struct FinitePass {
  /// `width` values of T, cast.
  template <class T, int width>
  LANNER_INLINE static simd::Lanes<Tier, float, width> load(const T* from) {
    typename simd::VectorOf<T, width>::type values;
    __builtin_memcpy(&values, from, sizeof values);
    return __builtin_convertvector(values, typename simd::VectorOf<float, width>::type);
  }

  /// `to`: nullptr to only look.
  template <class T>
  LANNER_INLINE static bool pass(const T* from, float* to, std::size_t count) {
    constexpr int width = Tier::bytes / static_cast<int>(sizeof(T));
    using F = simd::Lanes<Tier, float, width>;
    using I = typename F::Mask;
    constexpr std::size_t together = 4 * static_cast<std::size_t>(width);
    I bad(0);
    std::size_t i = 0;
    for (; i + together <= count; i += together) {
#pragma GCC unroll 4
      for (std::size_t v = 0; v < together; v += width) {
        const F value = load<T, width>(from + i + v);
        if (to) value.store(to + i + v);
        bad = bad | to_bits(value - value);
      }
    }
    std::int32_t any = 0;
    for (int lane = 0; lane < width; ++lane) any |= bad[lane];
    for (; i < count; ++i) {
      const auto value = static_cast<float>(from[i]);
      if (to) to[i] = value;
      any |= unlike_finite(value);
    }
    return any == 0;
  }
};

}  // namespace lanner::finite
