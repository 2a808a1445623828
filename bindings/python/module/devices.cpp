#include "bindings/python/module/devices.hpp"

#include <unistd.h>

#include <map>
#include <stdexcept>

#include "kernels/device/gpu.hpp"

namespace lanner::python {
namespace {

struct Opened {
  pid_t process;
  std::map<std::string, std::shared_ptr<Device>> devices;
};

std::shared_ptr<Device> open(const std::string& name) {
  if (name == "cpu") return Device::cpu();
  if (name == "cuda") return open_gpus(Backend::cuda).front();
  if (name == "emulated") return open_gpus(Backend::emulated).front();
  throw std::invalid_argument("device: found '" + name + "', allowed cpu, cuda or emulated");
}

}  // namespace

std::shared_ptr<Device> device_named(const std::string& name) {
  // Never destroyed: a child of fork() has the parent's devices, but none of the threads that their
  // destruction would wait for.
  static Opened* opened = new Opened{getpid(), {}};
  if (opened->process != getpid()) opened = new Opened{getpid(), {}};
  const auto found = opened->devices.find(name);
  if (found != opened->devices.end()) return found->second;
  return opened->devices.emplace(name, open(name)).first->second;
}

}  // namespace lanner::python
