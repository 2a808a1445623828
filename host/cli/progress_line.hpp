// Progress of long work: a bar that redraws itself on a terminal, plain lines at every tenth elsewhere.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace lanner::host {

class ProgressLine {
 public:
  explicit ProgressLine(std::string title);
  /// Ends the line, whatever the outcome.
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  /// done in [0, 1].
  void show(double done, std::string_view what);

 private:
  std::string title_;
  bool terminal_;
  bool drawn_ = false;
  int tenths_ = -1;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace lanner::host
