// The GPUs of this machine, a line each; exit status 77 and why, if there are none.
#include <cstdio>

#include "kernels/device/cuda.hpp"

int main() {
  const lanner::CudaDevices devices = lanner::find_cuda_devices();
  for (const std::string& name : devices.names) std::puts(name.c_str());
  if (!devices.names.empty()) return 0;
  std::puts(devices.reason.c_str());
  return 77;
}
