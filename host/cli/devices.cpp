#include <iostream>

#include "host/cli/commands.hpp"
#include "kernels/device/device.hpp"

namespace lanner::host {

void add_devices(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand("devices", "Show the backends and what each would use");
  command->footer("Example: lanner devices");
  command->callback([&chosen] {
    chosen = [] {
      std::cout << "cpu   " << Device::cpu()->description() << "; tiers here:";
      for (CpuTier tier : available_cpu_tiers()) std::cout << ' ' << name(tier);
      std::cout << " (forced by LANNER_CPU; threads by LANNER_THREADS)\ncuda  not in this build\n";
      return exit_done;
    };
  });
}

}  // namespace lanner::host
