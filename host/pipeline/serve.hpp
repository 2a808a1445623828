// `lanner serve`: the host process, from start to drained stop.
#pragma once

#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "host/config/config.hpp"

namespace lanner::host {

/// A start that can't be: a model that isn't there or doesn't fit its stream, an endpoint that is taken,
/// refused or malformed, a results folder that can't be written (exit status 2). One line a fault.
class CannotServe : public std::runtime_error {
 public:
  explicit CannotServe(std::vector<std::string> faults);
  const std::vector<std::string>& faults() const { return faults_; }

 private:
  std::vector<std::string> faults_;
};

/// Throws where there is a fault: DeviceMissing (kernels/device/error.hpp; exit status 3) if a missing device
/// is the only one, CannotServe otherwise.
void refuse(const std::vector<ConfigError>&);

struct ServeOptions {
  /// What faults are located in; empty: there is no file.
  std::filesystem::path file;
  /// Reads the configuration again, at SIGHUP. Empty: SIGHUP is refused.
  std::function<PartialConfig()> reread;
};

/// Runs until SIGTERM or SIGINT, then drains, acknowledges, syncs and returns 0. Logs to stderr. Blocks
/// SIGHUP, SIGTERM and SIGINT in the calling thread and those made from it: call it before other threads are
/// started. Throws CannotServe, DeviceMissing; anything else is our fault.
int serve(const PartialConfig&, const ServeOptions& = {});

/// What a start would refuse: the faults found in reading the file, and in what could be read of it models
/// that can't be loaded or don't fit their streams, endpoints beyond loopback, a missing device. Starts
/// nothing. By line; empty: fine.
std::vector<ConfigError> check(const PartialConfig&, const std::filesystem::path& file);

}  // namespace lanner::host
