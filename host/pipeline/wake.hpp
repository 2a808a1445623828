// Wakes the intake thread out of its wait on sockets, when what it waits for is there.
#pragma once

#include <atomic>
#include <cstdint>

namespace lanner::host {

class Wake {
 public:
  /// What a sleeping thread may be waiting for.
  enum For : std::uint32_t { answers = 1, room = 2, always = 4 };

  /// Throws std::system_error.
  Wake();
  ~Wake();
  Wake(const Wake&) = delete;
  Wake& operator=(const Wake&) = delete;

  int descriptor() const { return descriptor_; }
  /// Before the last look at what might be there, and the sleep after it.
  void arm(std::uint32_t reasons) { armed_.store(reasons | always, std::memory_order_seq_cst); }
  /// After the sleep.
  void disarm();
  /// Costs a system call only if somebody sleeps for this reason.
  void signal(For reason);

 private:
  int descriptor_;
  std::atomic<std::uint32_t> armed_{0};
};

}  // namespace lanner::host
