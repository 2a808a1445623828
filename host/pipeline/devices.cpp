#include "host/pipeline/devices.hpp"

#include <algorithm>
#include <cstdlib>
#include <exception>

#include <fmt/format.h>

#include "kernels/device/gpu.hpp"

namespace lanner::host {

std::string ChosenDevices::description() const {
  std::string names;
  for (const auto& gpu : gpus) names += gpu->device().description() + ", ";
  return names + cpu->description();
}

unsigned threads_of(const DeviceConfig& config) {
  return config.threads > 0 && std::getenv("LANNER_THREADS") ? std::min(config.threads, chosen_threads())
                                                             : config.threads;
}

ChosenDevices choose_devices(const DeviceConfig& config, const Clock& clock) {
  CpuOptions cpu;
  if (const unsigned threads = threads_of(config)) cpu.threads = threads;
  ChosenDevices chosen{Device::cpu(cpu), {}, {}};
  if (config.prefer == "cpu") return chosen;
  try {
    for (auto& device : open_gpus(config.prefer == "cuda" ? Backend::cuda : Backend::emulated))
      chosen.gpus.push_back(std::make_shared<Gpu>(std::move(device), clock));
  } catch (const std::exception& error) {
    chosen.gpus.clear();
    chosen.fallback = fmt::format("device: {}: {}; the cpu scores instead", config.prefer, error.what());
  }
  return chosen;
}

void refuse_missing_device(const DeviceConfig& config, const ChosenDevices& chosen,
                           std::vector<ConfigError>& faults) {
  if (config.required && config.prefer != "cpu" && chosen.gpus.empty())
    faults.push_back({.key = std::string(required_device),
                      .found = fmt::format("'{}', which isn't here ({})", config.prefer, chosen.fallback),
                      .allowed = "a device that this build and this machine have"});
}

}  // namespace lanner::host
