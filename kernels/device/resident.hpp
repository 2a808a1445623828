// What an operation keeps on a device for good.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/device/device.hpp"

namespace lanner {

/// The values in the device's memory, by way of pinned memory; there when it returns.
template <class T>
Array<T> resident_copy(Device& device, const std::vector<T>& values) {
  Pinned<T> staged = device.pinned<T>(values.size());
  std::copy(values.begin(), values.end(), staged.data());
  Array<T> array = device.array<T>(values.size());
  Stream stream = device.stream();
  stream.copy_in(array, staged, values.size());
  stream.synchronize();
  return array;
}

}  // namespace lanner
