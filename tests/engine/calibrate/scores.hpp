// Score distributions that the statistical tests draw from, by their quantile functions: the same draws
// everywhere.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace lanner::engine::test {

/// In (0, 1), from the top 53 bits: std's distributions may differ between libraries.
inline double uniform(std::mt19937_64& random) {
  return (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53;
}

/// Standard normal and uniform draws from one generator (Box & Muller 1958).
class Draws {
 public:
  explicit Draws(std::uint64_t seed) : random_(seed) {}
  double uniform() { return test::uniform(random_); }
  double normal() {
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    const double radius = std::sqrt(-2 * std::log(uniform())), angle = 2 * M_PI * uniform();
    spare_ = radius * std::sin(angle);
    has_spare_ = true;
    return radius * std::cos(angle);
  }

 private:
  std::mt19937_64 random_;
  bool has_spare_ = false;
  double spare_ = 0;
};

struct Distribution {
  std::string_view name;
  double (*upper_quantile)(double share);  ///< the score that a draw exceeds with this chance
};

/// The standard normal's, by bisection of erfc: slow, exact enough at every level.
inline double normal_quantile(double share) {
  double low = -10, high = 40;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(middle / std::sqrt(2.0)) / 2 > share ? low : high) = middle;
  }
  return low;
}

inline constexpr std::array<Distribution, 6> distributions{{
    {"uniform", [](double share) { return 1 - share; }},
    {"normal", [](double share) { return normal_quantile(share); }},
    {"exponential", [](double share) { return -std::log(share); }},
    {"weibull 1/2", [](double share) { return std::log(share) * std::log(share); }},
    {"pareto 1/3", [](double share) { return std::pow(share, -1.0 / 3); }},
    {"pareto 1", [](double share) { return 1 / share; }},
}};

}  // namespace lanner::engine::test
