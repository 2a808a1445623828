// From a reference set to the tables of kernel_sum_layout.hpp in a device's memory, the same for every
// backend.
#pragma once

#include "kernels/density/kernel_sum_layout.hpp"
#include "kernels/device/device.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::density::kernel_sum {

class ResidentTables {
 public:
  /// A set and a bandwidth that make_kernel_sum has found to be good.
  ResidentTables(Device&, const nearest::ReferenceSet&, double bandwidth);
  /// Its pointers are the device's.
  const Tables& tables() const { return tables_; }

 private:
  Array<float> values_, weights_, low_, high_;
  Array<std::uint32_t> place_;
  Tables tables_;
};

}  // namespace lanner::density::kernel_sum
