// How long a step of an evaluation took.
#pragma once

#include <chrono>

namespace lanner::engine {

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace lanner::engine
