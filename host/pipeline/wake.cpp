#include "host/pipeline/wake.hpp"

#include <cerrno>
#include <system_error>

#include <sys/eventfd.h>
#include <unistd.h>

namespace lanner::host {

Wake::Wake() : descriptor_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (descriptor_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Wake::~Wake() {
  close(descriptor_);
}

void Wake::disarm() {
  armed_.store(0, std::memory_order_seq_cst);
  std::uint64_t count;
  while (read(descriptor_, &count, sizeof count) < 0 && errno == EINTR) {
  }
}

void Wake::signal(For reason) {
  // Whatever the sleeper has to find was put there before: its own look comes after arm(), in the same total
  // order.
  if (!(armed_.load(std::memory_order_seq_cst) & reason)) return;
  armed_.store(0, std::memory_order_seq_cst);
  const std::uint64_t one = 1;
  while (write(descriptor_, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

}  // namespace lanner::host
