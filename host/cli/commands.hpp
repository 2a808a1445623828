// The commands of `lanner`: one visible line each in main.cpp, one file each here.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <stdexcept>
#include <string>

namespace lanner::host {

/// Exit status, as documented: 0 done, 1 our fault, 2 usage, configuration or data, 3 a required device is
/// missing.
enum Exit : int { exit_done = 0, exit_our_fault = 1, exit_their_fault = 2, exit_no_device = 3 };

/// What the user gave is at fault; the text is one line a fault.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Adds a command to the command line; `chosen` is set to what to run where the user picked it.
using Action = std::function<int()>;
using AddCommand = void (*)(CLI::App&, Action& chosen);

void add_fit(CLI::App&, Action&);
void add_score(CLI::App&, Action&);
void add_evaluate(CLI::App&, Action&);
void add_series(CLI::App&, Action&);
void add_serve(CLI::App&, Action&);
void add_send(CLI::App&, Action&);
void add_listen(CLI::App&, Action&);
void add_check(CLI::App&, Action&);
void add_inspect(CLI::App&, Action&);
void add_devices(CLI::App&, Action&);
void add_demo(CLI::App&, Action&);
void add_machine_metrics(CLI::App&, Action&);
void add_disturb(CLI::App&, Action&);

}  // namespace lanner::host
