#include "host/machine_metrics/machine_metrics.hpp"

#include <iostream>

#include "host/cli/commands.hpp"

namespace lanner::host {
namespace {

void say(const std::string& line) {
  std::cerr << line << '\n';
}

}  // namespace

void add_machine_metrics(CLI::App& app, Action& chosen) {
  struct Arguments {
    MachineMetricsOptions options;
    bool describe = false;
  };
  auto arguments = std::make_shared<Arguments>();
  MachineMetricsOptions& options = arguments->options;
  CLI::App* command = app.add_subcommand(
      "machine-metrics", "Send this machine's own metrics (CPU, memory, disk, network, scheduler) as events");
  command->add_option("--to", options.to, "The host's lossy ingest endpoint");
  command->add_option("--stream", options.stream, "Which stream");
  command->add_option("--every-ms", options.every_ms, "Milliseconds between samples (default 100)")
      ->check(CLI::Range(10.0, 3600000.0));
  command->add_option("--seconds", options.seconds, "Stop after so long (default: on Ctrl-C)")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--describe", arguments->describe,
                    "List the metrics that this machine has, with units; send nothing");
  command->footer("Example: lanner machine-metrics --to tcp://127.0.0.1:5555 --stream machine");
  command->callback([&chosen, arguments] {
    chosen = [arguments] {
      if (arguments->describe) {
        std::cout << describe_machine_metrics();
        return static_cast<int>(exit_done);
      }
      if (arguments->options.to.empty() || arguments->options.stream.empty())
        throw UsageError("--to, --stream: found nothing, allowed an endpoint and a stream (or --describe)");
      return run_machine_metrics(arguments->options, say);
    };
  });
}

void add_disturb(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<DisturbanceOptions>();
  CLI::App* command = app.add_subcommand(
      "disturb", "Keep this machine busy for a while: CPU, memory, disk; bounded, cleaned up");
  command->add_option("--seconds", options->seconds, "For how long (default 8)")
      ->check(CLI::Range(0.1, 600.0));
  command->footer("Example: lanner disturb --seconds 8");
  command->callback([&chosen, options] { chosen = [options] { return run_disturbance(*options, say); }; });
}

}  // namespace lanner::host
