// `lanner demo`: the main job on real input, watched. Starts the host and a producer of this machine's own
// metrics, waits until the host has learned what is normal, watches the quiet, causes a real disturbance,
// shows the alert.
#pragma once

#include <filesystem>
#include <string>

namespace lanner::host {

struct DemoOptions {
  std::filesystem::path config;   ///< of the host; its ports are replaced by free ones
  std::filesystem::path picture;  ///< SVG of the run; empty: none
  double quiet_s = 30;
  double disturbance_s = 8;
  bool exit = false;  ///< stop afterwards instead of staying up
};

/// 0 where the disturbance was flagged and the quiet time before it kept its false-alarm budget, else 1.
int run_demo(const DemoOptions&);

}  // namespace lanner::host
