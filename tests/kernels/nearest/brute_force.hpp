// The definition in kernels/nearest/nearest.hpp, worked out the long way: every original row on its own,
// sorted.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/nearest/nearest.hpp"

namespace lanner::test {

struct Answer {
  std::vector<std::uint32_t> row, taken;
  std::vector<float> distance;
  bool operator==(const Answer&) const = default;
};

class BruteForce {
 public:
  explicit BruteForce(Rows rows);

  /// The first row with the same bits, of each row; and the rank of those among such first rows.
  const std::vector<std::uint32_t>& distinct_of() const { return distinct_of_; }

  Answer search(const float* query, std::size_t k, nearest::Count, std::uint32_t self) const;
  static float summarise(const Answer&, nearest::Summary);

 private:
  std::size_t count_, width_;
  std::vector<double> columns_;  // [width, count]
  std::vector<std::uint32_t> distinct_of_, last_member_;
  std::vector<std::uint32_t> weight_;
};

}  // namespace lanner::test
