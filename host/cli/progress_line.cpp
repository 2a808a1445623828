#include "host/cli/progress_line.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace lanner::host {

ProgressLine::ProgressLine(std::string title) : title_(std::move(title)), terminal_(isatty(STDERR_FILENO)) {}

ProgressLine::~ProgressLine() {
  if (drawn_) std::fputc('\n', stderr);
}

void ProgressLine::show(double done, std::string_view what) {
  done = std::clamp(done, 0.0, 1.0);
  const std::string detail(what);
  if (!terminal_) {
    const int tenths = static_cast<int>(done * 10);
    if (tenths == tenths_) return;
    tenths_ = tenths;
    std::fprintf(stderr, "%s: %3d %% %s\n", title_.c_str(), tenths * 10, detail.c_str());
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (drawn_ && done < 1 && now - last_ < std::chrono::milliseconds(80)) return;
  last_ = now;
  drawn_ = true;
  constexpr int width = 30;
  const int full = static_cast<int>(done * width);
  std::string bar;
  for (int i = 0; i < width; ++i) bar += i < full ? "█" : "░";
  std::fprintf(stderr, "\r%s %s %3d %% %s\033[K", title_.c_str(), bar.c_str(), static_cast<int>(done * 100),
               detail.c_str());
  std::fflush(stderr);
}

}  // namespace lanner::host
