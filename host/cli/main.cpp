// `lanner`: the command line.
#include <cstdio>
#include <iostream>

#include "engine/model_file/tensors.hpp"
#include "engine/parameters/parameters.hpp"
#include "host/cli/commands.hpp"
#include "host/config/config.hpp"
#include "host/data_file/data_file.hpp"
#include "host/pipeline/serve.hpp"
#include "kernels/arithmetic/environment.hpp"
#include "kernels/device/error.hpp"

namespace lanner::host {
namespace {

constexpr AddCommand commands[] = {
    add_fit,   add_score,   add_evaluate, add_series, add_serve,           add_send,    add_listen,
    add_check, add_inspect, add_devices,  add_demo,   add_machine_metrics, add_disturb,
};

int complain(const std::exception& error, int status) {
  std::cerr << error.what() << '\n';
  return status;
}

int run(int argc, char** argv) {
  FloatEnvironment environment;
  CLI::App app("Lanner finds anomalies in event streams and says why.", "lanner");
  app.set_version_flag("--version", "lanner " LANNER_VERSION);
  app.require_subcommand(1);
  Action chosen;
  for (AddCommand add : commands) add(app, chosen);
  for (CLI::App* command : app.get_subcommands({}))
    command->set_version_flag("--version", "lanner " LANNER_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    return app.exit(asked);
  } catch (const CLI::ParseError& error) {
    std::cerr << "lanner: " << error.what() << " (see lanner --help)\n";
    return exit_their_fault;
  }
  try {
    return chosen();
  } catch (const DeviceMissing& error) {
    return complain(error, exit_no_device);
  } catch (const DeviceError& error) {  // it was there, and failed
    return complain(error, exit_no_device);
  } catch (const UsageError& error) {
    return complain(error, exit_their_fault);
  } catch (const CannotServe& error) {
    return complain(error, exit_their_fault);
  } catch (const InvalidConfig& error) {
    return complain(error, exit_their_fault);
  } catch (const InvalidData& error) {
    return complain(error, exit_their_fault);
  } catch (const engine::InvalidModel& error) {
    return complain(error, exit_their_fault);
  } catch (const std::invalid_argument&
               error) {  // settings, environment variables, data that a detector can't take
    return complain(error, exit_their_fault);
  } catch (const std::system_error& error) {  // a path that can't be read or written, an address in use
    return complain(error, exit_their_fault);
  } catch (const std::exception& error) {
    std::cerr << "lanner: internal error: " << error.what() << '\n';
    return exit_our_fault;
  }
}

}  // namespace
}  // namespace lanner::host

int main(int argc, char** argv) {
  return lanner::host::run(argc, argv);
}
