// Which cores threads run on, where that is asked for (`cores:`).
#pragma once

#include <sched.h>

#include <vector>

#include "host/config/config.hpp"

namespace lanner::host {

/// The cores that this process may use, ascending.
std::vector<int> usable_cores();

/// Adds a fault for each core that is asked for and may not be used.
void refuse_missing_cores(const CoresConfig&, const std::vector<int>& usable,
                          std::vector<ConfigError>& faults);

/// Keeps the calling thread, and the threads that it starts, on these cores. None: wherever the system likes.
/// Throws std::system_error.
void stay_on(const std::vector<int>& cores);

/// The same for as long as this lives.
class OnCores {
 public:
  explicit OnCores(const std::vector<int>& cores);
  ~OnCores();
  OnCores(const OnCores&) = delete;
  OnCores& operator=(const OnCores&) = delete;

 private:
  cpu_set_t before_;
};

}  // namespace lanner::host
