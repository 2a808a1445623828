// What a test of an operation needs to run it on any backend: the devices there are, and values in their
// memory.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/device/cuda.hpp"
#include "kernels/device/device.hpp"
#include "kernels/device/emulated.hpp"
#include "kernels/rows.hpp"

namespace lanner::tests {

/// GPUs to test on: the emulated ones asked for, and a real one where there is one; with
/// LANNER_TEST_GPUS=real in the environment that one alone (tests/cuda/on_gpu.py), with LANNER_TEST_GPUS=none
/// none at all.
inline std::vector<std::shared_ptr<Device>> gpus(const std::vector<EmulatedOptions>& emulated) {
  const char* variable = std::getenv("LANNER_TEST_GPUS");
  const std::string_view wanted = variable ? variable : "";
  if (wanted == "real") return {make_cuda_device()};
  std::vector<std::shared_ptr<Device>> devices;
  if (wanted == "none") return devices;
  for (const EmulatedOptions& options : emulated) devices.push_back(make_emulated_device(options));
  if (!find_cuda_devices().names.empty()) devices.push_back(make_cuda_device());
  return devices;
}

/// Those that an operation must give the reference's bits on: with several orders of streams and threads, one
/// with tensor cores that truncate.
inline std::vector<std::shared_ptr<Device>> gpus() {
  return gpus({{.seed = 0}, {.seed = 1}, {.seed = 2, .truncating_products = true}});
}

/// Values in a device's memory.
template <class T>
class OnDevice {
 public:
  OnDevice(Device& device, std::size_t count)
      : stream_(device.stream()), pinned_(device.pinned<T>(count)), array_(device.array<T>(count)) {}
  OnDevice(Device& device, std::span<const T> values) : OnDevice(device, values.size()) {
    std::copy(values.begin(), values.end(), pinned_.data());
    stream_.copy_in(array_, pinned_, values.size());
    stream_.synchronize();
  }

  T* data() { return array_.data(); }
  std::span<T> span() { return array_.span(); }
  /// After what `stream` has been given: waits for it.
  std::vector<T> read(Stream& stream) {
    stream.copy_out(pinned_, array_, array_.size());
    stream.synchronize();
    return {pinned_.data(), pinned_.data() + pinned_.size()};
  }

 private:
  Stream stream_;
  Pinned<T> pinned_;
  Array<T> array_;
};

/// Rows in a device's memory, packed.
class RowsOnDevice {
 public:
  RowsOnDevice(Device& device, Rows rows)
      : values_(device, std::span<const float>(packed(rows))), rows_(rows) {
    rows_.data = values_.data();
    rows_.stride = rows.width;
  }
  Rows view() const { return rows_; }

 private:
  static std::vector<float> packed(Rows rows) {
    std::vector<float> values;
    values.reserve(rows.count * rows.width);
    for (std::size_t i = 0; i < rows.count; ++i)
      values.insert(values.end(), rows.row(i), rows.row(i) + rows.width);
    return values;
  }
  OnDevice<float> values_;
  Rows rows_;
};

}  // namespace lanner::tests
