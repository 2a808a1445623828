// A child process, stopped when its object goes.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace lanner::host {

class Child {
 public:
  /// Starts it; its output goes to `log` (appended), or is discarded where that is empty. Throws
  /// std::system_error.
  Child(const std::vector<std::string>& command, const std::string& log);
  /// SIGTERM, and SIGKILL where that hasn't helped within 10 s.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  bool running();
  void stop();

 private:
  pid_t pid_ = -1;
};

/// The path of this very program.
std::string own_path();
/// A TCP port on loopback that nobody uses right now.
int free_port();

}  // namespace lanner::host
