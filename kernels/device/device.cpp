#include "kernels/device/device.hpp"

#include "kernels/device/cpu.hpp"

namespace lanner {

std::string_view name(Backend backend) {
  switch (backend) {
    case Backend::cpu:
      return "cpu";
    case Backend::cuda:
      return "cuda";
    case Backend::emulated:
      return "emulated";
  }
  return "unknown";
}

// What a backend hangs on an event; the cpu backend needs nothing, its work is done when the call returns.
struct Event::State {};

bool Event::happened() const {
  return true;
}
void Event::synchronize() const {}

Backend Stream::backend() const {
  return device_->backend();
}
CpuTier Stream::tier() const {
  return device_->tier();
}
void Stream::copy(void* to, const void* from, std::size_t bytes) {
  device_->copy(to, from, bytes);
}
void Stream::for_range(std::size_t count, std::size_t grain, RangeTask task) const {
  device_->for_range(count, grain, task);
}
Event Stream::record() {
  return {};
}
void Stream::wait(const Event&) {}
void Stream::synchronize() {}

std::shared_ptr<Device> Device::cpu(CpuOptions options) {
  return make_cpu_device(options);
}

}  // namespace lanner
