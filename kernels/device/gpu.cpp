#include "kernels/device/gpu.hpp"

#include <stdexcept>

#include "kernels/device/cuda.hpp"
#include "kernels/device/emulated.hpp"
#include "kernels/device/error.hpp"

namespace lanner {

std::vector<std::shared_ptr<Device>> open_gpus(Backend backend) {
  if (backend == Backend::cpu) throw std::invalid_argument("the cpu is no GPU");
  if (backend == Backend::emulated) return {make_emulated_device(emulated_options_from_environment())};
  const CudaDevices found = find_cuda_devices();
  if (found.names.empty()) throw DeviceMissing("no CUDA device: " + found.reason);
  std::vector<std::shared_ptr<Device>> devices;
  for (unsigned i = 0; i < found.names.size(); ++i) devices.push_back(make_cuda_device(i));
  return devices;
}

}  // namespace lanner
