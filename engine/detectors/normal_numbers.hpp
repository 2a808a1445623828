// Seeded numbers of a standard normal distribution.
#pragma once

#include <cmath>

#include "kernels/arithmetic/elementary.hpp"
#include "kernels/mlp/random.hpp"

namespace lanner::engine {

/// Marsaglia & Bray's polar method: nothing but a logarithm of our own and a root. Within 9 in size.
class NormalNumbers {
 public:
  explicit NormalNumbers(mlp::Random& random) : random_(random) {}
  float next() {
    double x = 0, y = 0, s = 0;
    do {
      x = random_.symmetric();
      y = random_.symmetric();
      s = x * x + y * y;
    } while (!(s > 0) || s >= 1);
    return static_cast<float>(x * std::sqrt(-2 * log(s) / s));
  }

 private:
  mlp::Random& random_;
};

}  // namespace lanner::engine
