#include <chrono>

#include "host/clock.hpp"

namespace lanner::host {
namespace {

class SystemClock final : public Clock {
 public:
  std::int64_t unix_ns() const override {
    return std::chrono::system_clock::now().time_since_epoch().count();
  }
  std::int64_t steady_ns() const override {
    return std::chrono::steady_clock::now().time_since_epoch().count();
  }
};

}  // namespace

const Clock& system_clock() {
  static const SystemClock clock;
  return clock;
}

}  // namespace lanner::host
