// GPUs: opening them, and which of the two compilations of an operation's CUDA source belongs to one.
#pragma once

#include <memory>
#include <vector>

#include "kernels/device/device.hpp"

namespace lanner {

/// cuda: every GPU there is; emulated: one, as LANNER_EMULATED says (kernels/device/emulated.hpp). At least
/// one. Throws DeviceMissing, with the reason, where there is none, and DeviceError where one can't be used.
std::vector<std::shared_ptr<Device>> open_gpus(Backend);

}  // namespace lanner

/// function(...) in the namespace `cuda` or `emulated` of the current one. Not for the cpu backend.
#if defined(LANNER_CUDA)
#define LANNER_ON_GPU(device, function, ...) \
  ((device).backend() == Backend::cuda ? cuda::function(__VA_ARGS__) : emulated::function(__VA_ARGS__))
#else
#define LANNER_ON_GPU(device, function, ...) emulated::function(__VA_ARGS__)
#endif
