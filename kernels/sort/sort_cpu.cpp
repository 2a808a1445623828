// Thrust's system for plain C++, of one thread.
#include <thrust/system/cpp/execution_policy.h>

#include "kernels/sort/sort_keys.hpp"
#include "kernels/sort/sort_thrust.hpp"

namespace lanner::sort {

void cpu::sort_keys(std::span<std::uint32_t> keys) {
  sort_by_thrust(thrust::cpp::par, keys);
}

void emulated::sort_keys(Stream& stream, std::span<std::uint32_t> keys) {
  stream.enqueue([keys] { cpu::sort_keys(keys); }, "sort");
}

}  // namespace lanner::sort
