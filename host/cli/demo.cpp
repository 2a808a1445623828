#include "host/demo/demo.hpp"

#include "host/cli/commands.hpp"

namespace lanner::host {

void add_demo(CLI::App& app, Action& chosen) {
  auto options = std::make_shared<DemoOptions>();
  CLI::App* command =
      app.add_subcommand("demo", "Learn this machine's own metrics, disturb it on purpose, show the alert");
  command->add_option("--config", options->config, "The host's configuration")->required();
  command->add_flag(
      "--exit", options->exit,
      "Stop afterwards; status 0 only if the disturbance was flagged and the quiet kept its budget");
  command->add_option("--quiet", options->quiet_s, "Seconds of quiet that are watched (default 30)")
      ->check(CLI::Range(1.0, 86400.0));
  command->add_option("--disturbance", options->disturbance_s, "Seconds of disturbance (default 8)")
      ->check(CLI::Range(1.0, 60.0));
  command->add_option("--picture", options->picture, "Draw the run as SVG to this file");
  command->footer("Example: lanner demo --config configs/demo.yaml --exit");
  command->callback([&chosen, options] { chosen = [options] { return run_demo(*options); }; });
}

}  // namespace lanner::host
