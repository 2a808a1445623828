// Devices by name, each opened once a process.
#pragma once

#include <memory>
#include <string>

#include "kernels/device/device.hpp"

namespace lanner::python {

/// cpu, cuda or emulated. To be called with the GIL held. Throws std::invalid_argument for another name,
/// DeviceMissing where there is none.
std::shared_ptr<Device> device_named(const std::string& name);

}  // namespace lanner::python
