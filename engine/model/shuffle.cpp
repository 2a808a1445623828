#include "engine/model/shuffle.hpp"

#include <numeric>
#include <utility>

namespace lanner::engine {
namespace {

__extension__ typedef unsigned __int128 Wide;

std::uint64_t next(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

}  // namespace

std::vector<std::size_t> shuffled(std::size_t n, std::uint64_t seed) {
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::uint64_t state = seed;
  for (std::size_t i = n; i > 1; --i) {
    // The high half of the product maps 64 random bits to [0, i) (Lemire 2019), without the division's bias
    // towards small values mattering: i is far below 2^64.
    const Wide scaled = static_cast<Wide>(next(state)) * i;
    std::swap(order[i - 1], order[static_cast<std::size_t>(scaled >> 64)]);
  }
  return order;
}

}  // namespace lanner::engine
