#include "engine/detectors/samples.hpp"

#include <algorithm>
#include <cmath>
#include <unordered_set>
#include <utility>

#include "kernels/arithmetic/elementary.hpp"

namespace lanner::engine {

std::size_t count_of(double count_or_share, std::size_t all) {
  const double count =
      count_or_share < 1 ? std::round(count_or_share * static_cast<double>(all)) : count_or_share;
  return static_cast<std::size_t>(std::max(count, 1.0));
}

// Floyd's.
std::vector<std::uint32_t> drawn_rows(std::size_t rows, std::size_t count, mlp::Random& random) {
  std::vector<std::uint32_t> drawn(count);
  std::unordered_set<std::uint32_t> taken;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t last = rows - count + i;
    auto row = static_cast<std::uint32_t>(random.below(last + 1));
    if (!taken.insert(row).second) taken.insert(row = static_cast<std::uint32_t>(last));
    drawn[i] = row;
  }
  return drawn;
}

// Each row waits for an exponentially distributed time over its weight; the first to come are drawn. The
// times' logarithms, since weights of old rows are beyond what a double can hold.
std::vector<std::uint32_t> drawn_recent_rows(std::size_t rows, std::size_t count, double half_life,
                                             mlp::Random& random) {
  constexpr double ln_2 = 0x1.62e42fefa39efp-1;
  std::vector<std::pair<double, std::uint32_t>> waits(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    const double age = static_cast<double>(rows - 1 - i);
    waits[i] = {log(-log(1 - random.unit())) + age * (ln_2 / half_life), static_cast<std::uint32_t>(i)};
  }
  if (count < rows)
    std::nth_element(waits.begin(), waits.begin() + static_cast<std::ptrdiff_t>(count), waits.end());
  std::vector<std::uint32_t> drawn(count);
  std::transform(waits.begin(), waits.begin() + static_cast<std::ptrdiff_t>(count), drawn.begin(),
                 [](const auto& wait) { return wait.second; });
  std::sort(drawn.begin(), drawn.end());
  return drawn;
}

}  // namespace lanner::engine
