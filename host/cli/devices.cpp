#include <iostream>

#include "host/cli/commands.hpp"
#include "kernels/device/cuda.hpp"

namespace lanner::host {

void add_devices(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand("devices", "Show the backends and what each would use");
  command->footer("Example: lanner devices");
  command->callback([&chosen] {
    chosen = [] {
      std::cout << "cpu   " << Device::cpu()->description() << "; tiers here:";
      for (CpuTier tier : available_cpu_tiers()) std::cout << ' ' << name(tier);
      std::cout << " (forced by LANNER_CPU; threads by LANNER_THREADS)\n";
      const CudaDevices found = find_cuda_devices();
      for (std::size_t i = 0; i < found.names.size(); ++i)
        std::cout << "cuda  " << i << ": " << found.names[i] << '\n';
      if (found.names.empty()) std::cout << "cuda  none: " << found.reason << '\n';
      std::cout << "emulated  a GPU made of the CPU, for tests (LANNER_EMULATED)\n";
      return exit_done;
    };
  });
}

}  // namespace lanner::host
