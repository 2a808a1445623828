// Numbers of the tables that `evaluate` writes.
#pragma once

#include <cmath>
#include <cstdio>
#include <string>

namespace lanner::host {

/// Six digits; nothing for what isn't finite.
inline std::string table_number(double value) {
  if (!std::isfinite(value)) return {};
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

}  // namespace lanner::host
