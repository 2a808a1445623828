// The call of Thrust, for whichever of its systems the policy names. Each is a radix sort.
#pragma once

#include <thrust/sort.h>

#include <cstdint>
#include <span>

namespace lanner::sort {

template <class Policy>
void sort_by_thrust(const Policy& policy, std::span<std::uint32_t> keys) {
  thrust::sort(policy, keys.data(), keys.data() + keys.size());
}

}  // namespace lanner::sort
