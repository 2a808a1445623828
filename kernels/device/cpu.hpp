// The cpu backend: host memory, synchronous streams, a fixed set of threads.
#pragma once

#include <memory>

#include "kernels/device/device.hpp"

namespace lanner {

std::shared_ptr<Device> make_cpu_device(const CpuOptions&);

}  // namespace lanner
