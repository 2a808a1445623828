// SIGINT and SIGTERM as a question that a loop can ask.
#pragma once

#include <signal.h>

namespace lanner::host::machine {

/// Takes both over for as long as it lives; sleeps are cut short by them. One at a time in a process.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  static bool came();

 private:
  struct sigaction interrupt_, terminate_;
};

}  // namespace lanner::host::machine
