// The process's log: one line an event on standard error, as text or JSON.
#pragma once

#include "host/config/config.hpp"

namespace lanner::host {

void start_log(const LogConfig&);

}  // namespace lanner::host
