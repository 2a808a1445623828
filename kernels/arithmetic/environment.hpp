// The floating-point environment that the arithmetic promise needs.
#pragma once

#include <immintrin.h>

namespace lanner {

/// Round to nearest even, denormals kept (no FTZ, no DAZ), all exceptions masked, for as long as the object
/// lives; the caller's environment comes back afterwards. Every thread that runs kernels and every entry
/// point called from foreign code holds one.
class FloatEnvironment {
 public:
  FloatEnvironment() : saved_(_mm_getcsr()) { _mm_setcsr(0x1F80); }
  ~FloatEnvironment() { _mm_setcsr(saved_); }
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
  unsigned saved_;
};

}  // namespace lanner
