// The series of make_golden.py, made again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lanner::engine {

/// A linear congruential generator: whole numbers from 0 to 999.
class Noise {
 public:
  explicit Noise(std::uint64_t seed) : state_(seed) {}
  double next() {
    state_ = (state_ * 1103515245 + 12345) % (1u << 31);
    return static_cast<double>((state_ >> 16) % 1000);
  }

 private:
  std::uint64_t state_;
};

inline std::int64_t made_time_ns(std::size_t row) {
  return (1'400'000'000 + 1800 * static_cast<std::int64_t>(row)) * 1'000'000'000;
}

/// A day of 48 rows, busy for half of it; one day without, and a level shift.
inline std::vector<double> daily(std::size_t rows) {
  Noise noise(1);
  std::vector<double> values;
  for (std::size_t i = 0; i < rows; ++i) {
    const bool busy = (i < 480 || i >= 528) && i % 48 >= 16 && i % 48 < 40;
    values.push_back(1000 + (busy ? 4000 : 0) + noise.next() + (i >= 700 ? 3000 : 0));
  }
  return values;
}

/// Quiet noise with bursts, which become larger.
inline std::vector<double> bursts(std::size_t rows) {
  Noise noise(2);
  std::vector<double> values;
  for (std::size_t i = 0; i < rows; ++i) {
    const double burst = noise.next();
    values.push_back(noise.next() + (burst >= 970 ? burst * (i >= 600 ? 50 : 5) : 0));
  }
  return values;
}

/// A square wave to the bit, which misses a beat.
inline std::vector<double> steps(std::size_t rows) {
  std::vector<double> values;
  for (std::size_t i = 0; i < rows; ++i) values.push_back((i < 777 || i >= 790) && i % 20 < 10 ? 100 : 0);
  return values;
}

/// Three metrics, row-major; with seed 4, from row 60 on the third no longer follows the first.
inline std::vector<double> machine(std::size_t rows, std::uint64_t seed) {
  Noise noise(seed);
  const auto share = [&](double parts) {
    return static_cast<double>(static_cast<int>(noise.next() / parts));
  };
  std::vector<double> values;
  for (std::size_t i = 0; i < rows; ++i) {
    const double load = static_cast<double>(i % 40) * 25 + share(10);
    values.push_back(load);
    values.push_back(noise.next());
    values.push_back((seed == 4 && i >= 60 ? 1000 - load : load) + share(20));
  }
  return values;
}

}  // namespace lanner::engine
