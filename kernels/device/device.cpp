#include "kernels/device/device.hpp"

#include <cstring>
#include <stdexcept>

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

Backend Stream::backend() const {
  return device_->backend();
}
CpuTier Stream::tier() const {
  return device_->tier();
}
void Stream::copy(void* to, const void* from, std::size_t bytes, Copy kind) {
  if (bytes == 0) return;
  if (state_) {
    state_->copy(to, from, bytes, kind);
  } else {
    std::memcpy(to, from, bytes);
  }
}
void Stream::fill(std::span<std::byte> to, unsigned char byte) {
  if (to.empty()) return;
  if (state_) {
    state_->fill(to.data(), byte, to.size());
  } else {
    std::memset(to.data(), byte, to.size());
  }
}
void Stream::for_range(std::size_t count, std::size_t grain, RangeTask task) const {
  device_->for_range(count, grain, task);
}
void Stream::record(Event& event) {
  if (state_ && event.state_) state_->record(*event.state_);
}
void Stream::wait(const Event& event) {
  if (state_ && event.state_) state_->wait(*event.state_);
}
void Stream::synchronize() {
  if (state_) state_->synchronize();
}

void Device::for_range(std::size_t, std::size_t, RangeTask) {
  throw std::logic_error("for_range is for the cpu backend");
}

std::shared_ptr<Device> Device::cpu(CpuOptions options) {
  return make_cpu_device(options);
}

}  // namespace lanner
