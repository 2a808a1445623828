// Stands in for cuda.cpp in a build without CUDA.
#include "kernels/device/cuda.hpp"
#include "kernels/device/error.hpp"

namespace lanner {

CudaDevices find_cuda_devices() {
  return {{}, "this build has no CUDA"};
}

std::shared_ptr<Device> make_cuda_device(unsigned) {
  throw DeviceMissing(find_cuda_devices().reason);
}

}  // namespace lanner
