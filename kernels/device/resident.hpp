// What an operation keeps on a device for good.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/device/device.hpp"

namespace lanner {

/// Waits until all that was put into the stream is done. Throws DeviceError where that takes half a minute:
/// what is waited for are copies, and a device that doesn't do them hangs.
void finish_copies(Stream&);

/// The values in the device's memory, by way of pinned memory; there when it returns.
template <class T>
Array<T> resident_copy(Device& device, const std::vector<T>& values) {
  Pinned<T> staged = device.pinned<T>(values.size());
  std::copy(values.begin(), values.end(), staged.data());
  Array<T> array = device.array<T>(values.size());
  Stream stream = device.stream();
  stream.copy_in(array, staged, values.size());
  finish_copies(stream);
  return array;
}

}  // namespace lanner
