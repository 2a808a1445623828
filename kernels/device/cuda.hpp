// The cuda backend: one NVIDIA GPU, by plain calls of the CUDA runtime.
#pragma once

#include <memory>
#include <source_location>
#include <string>
#include <vector>

#include "kernels/device/device.hpp"

namespace lanner {

struct CudaDevices {
  std::vector<std::string> names;  ///< a GPU each, by its number
  std::string reason;              ///< why there is none
};
/// Never throws for a machine with no GPU or no driver, nor in a build without CUDA.
CudaDevices find_cuda_devices();

/// Throws DeviceMissing where there is none of that number, DeviceError where it can't be used.
std::shared_ptr<Device> make_cuda_device(unsigned number = 0);

/// Throws DeviceError where a call of the CUDA runtime did not return cudaSuccess.
void check_cuda(int code, const char* call, std::source_location where = std::source_location::current());

}  // namespace lanner
