// What goes wrong with a GPU.
#pragma once

#include <stdexcept>
#include <string>

namespace lanner {

/// A call of a GPU's interface failed. Where `lost`, so will every later one of this process (a kernel that
/// crashed takes the device's context with it): only a new process gets the device back.
class DeviceError : public std::runtime_error {
 public:
  DeviceError(const std::string& call, int code, const std::string& reason, bool lost)
      : std::runtime_error(call + ": " + reason + " (" + std::to_string(code) + ")"),
        code_(code),
        lost_(lost) {}
  int code() const { return code_; }
  bool lost() const { return lost_; }

 private:
  int code_;
  bool lost_;
};

/// There is no such device: no GPU, no driver, or a build without CUDA.
class DeviceMissing : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace lanner
