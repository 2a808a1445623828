// The devices that a host scores on: a CPU always, and the GPUs that its configuration prefers, where there
// are any.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/clock.hpp"
#include "host/config/config.hpp"
#include "host/pipeline/gpu.hpp"

namespace lanner::host {

struct ChosenDevices {
  std::shared_ptr<Device> cpu;
  Gpus gpus;
  std::string fallback;  ///< why there are no GPUs though they are preferred; empty: it is as preferred

  /// For people: all of them.
  std::string description() const;
};

ChosenDevices choose_devices(const DeviceConfig&, const Clock&);

/// As configured, but never more than LANNER_THREADS; 0: as many as there are.
unsigned threads_of(const DeviceConfig&);

inline constexpr std::string_view required_device = "device.require";
/// A fault of that key where what is required isn't there.
void refuse_missing_device(const DeviceConfig&, const ChosenDevices&, std::vector<ConfigError>&);

}  // namespace lanner::host
