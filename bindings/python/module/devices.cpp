#include "bindings/python/module/devices.hpp"

#include <pthread.h>

#include <map>
#include <stdexcept>

#include "kernels/device/gpu.hpp"

namespace lanner::python {
namespace {

using Devices = std::map<std::string, std::shared_ptr<Device>>;

// Never destroyed: a child of fork() has the parent's devices, but none of the threads that their destruction
// would wait for. So it starts with none of its own.
Devices*& opened() {
  static Devices* devices = [] {
    pthread_atfork(nullptr, nullptr, [] { opened() = new Devices; });
    return new Devices;
  }();
  return devices;
}

std::shared_ptr<Device> open(const std::string& name) {
  if (name == "cpu") return Device::cpu();
  if (name == "cuda") return open_gpus(Backend::cuda).front();
  if (name == "emulated") return open_gpus(Backend::emulated).front();
  throw std::invalid_argument("device: found '" + name + "', allowed cpu, cuda or emulated");
}

}  // namespace

std::shared_ptr<Device> device_named(const std::string& name) {
  Devices& devices = *opened();
  const auto found = devices.find(name);
  if (found != devices.end()) return found->second;
  return devices.emplace(name, open(name)).first->second;
}

}  // namespace lanner::python
