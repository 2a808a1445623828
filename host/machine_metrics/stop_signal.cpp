#include "host/machine_metrics/stop_signal.hpp"

#include <atomic>

namespace lanner::host::machine {
namespace {

std::atomic<bool> stop{false};
static_assert(std::atomic<bool>::is_always_lock_free);

}  // namespace

StopSignal::StopSignal() {
  stop = false;
  struct sigaction action {};
  action.sa_handler = [](int) { stop = true; };
  sigaction(SIGINT, &action, &interrupt_);
  sigaction(SIGTERM, &action, &terminate_);
}

StopSignal::~StopSignal() {
  sigaction(SIGINT, &interrupt_, nullptr);
  sigaction(SIGTERM, &terminate_, nullptr);
}

bool StopSignal::came() {
  return stop;
}

}  // namespace lanner::host::machine
