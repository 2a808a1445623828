// Rows where a device's kernels can read them.
#pragma once

#include <optional>
#include <span>

#include "kernels/device/device.hpp"
#include "kernels/rows.hpp"
#include "tests/kernels/on_device.hpp"

namespace lanner::tests {

/// On the cpu backend where they lie, so that a sanitizer sees their end; else copied, stride and all.
class RowsOf {
 public:
  RowsOf(Device& device, Rows rows) : view_(rows) {
    if (device.backend() == Backend::cpu || rows.count == 0) return;
    values_.emplace(device, std::span<const float>(rows.data, (rows.count - 1) * rows.stride + rows.width));
    view_.data = values_->data();
  }
  Rows view() const { return view_; }

 private:
  std::optional<OnDevice<float>> values_;
  Rows view_;
};

}  // namespace lanner::tests
