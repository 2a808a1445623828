#include "host/pipeline/serve.hpp"

#include <iostream>

#include "host/cli/commands.hpp"

namespace lanner::host {
namespace {

struct ServeArguments {
  std::string config, model, stream, ingest, publish, results, api, device;
  Delivery delivery = Delivery::acked;
};

// The quick start: one model, one stream, no file.
Config config_from_flags(const ServeArguments& arguments) {
  std::string faults;
  for (const auto& [flag, value] : {std::pair{"--model", &arguments.model},
                                    {"--stream", &arguments.stream},
                                    {"--ingest", &arguments.ingest},
                                    {"--publish", &arguments.publish}})
    if (value->empty())
      faults += (faults.empty() ? "" : "\n") + std::string(flag) +
                ": found nothing, allowed a value (or --config FILE)";
  if (!faults.empty()) throw UsageError(faults);
  Config config;
  StreamConfig& stream = config.streams.emplace_back();
  stream.name = arguments.stream;
  stream.models.push_back(
      {arguments.model, std::filesystem::path(arguments.model).stem().string(), Role::active, std::nullopt});
  IngestConfig& ingest = config.ingest.emplace_back();
  ingest.bind = arguments.ingest;
  ingest.delivery = arguments.delivery;
  config.publish.emplace_back().bind = arguments.publish;
  if (!arguments.results.empty()) config.results.emplace().directory = arguments.results;
  config.api.bind = arguments.api;
  return config;
}

int serve_from(const ServeArguments& arguments) {
  const auto read = [arguments] {
    PartialConfig partial = arguments.config.empty() ? PartialConfig{config_from_flags(arguments), {}}
                                                     : read_partly(arguments.config);
    if (!arguments.device.empty()) {
      partial.config.device.prefer = arguments.device;
      partial.config.device.required = arguments.device != "cpu";
    }
    return partial;
  };
  ServeOptions options;
  options.file = arguments.config;
  if (!arguments.config.empty()) options.reread = read;
  return serve(read(), options);
}

int check_config(const std::string& path) {
  refuse(check(read_partly(path), path));
  std::cout << path << ": fine\n";
  return exit_done;
}

}  // namespace

void add_serve(CLI::App& app, Action& chosen) {
  auto arguments = std::make_shared<ServeArguments>();
  CLI::App* command =
      app.add_subcommand("serve", "Run the host: receive events, score them, publish scores and alerts");
  auto* config = command->add_option("--config", arguments->config, "The configuration file");
  const auto flag = [&](const char* name, std::string& into, const char* text) {
    command->add_option(name, into, text)->excludes(config);
  };
  flag("--model", arguments->model, "Without a configuration: the model");
  flag("--stream", arguments->stream, "... the stream's name");
  flag("--ingest", arguments->ingest, "... where producers connect, such as tcp://127.0.0.1:5555");
  flag("--publish", arguments->publish, "... where subscribers connect, such as tcp://127.0.0.1:5556");
  flag("--results", arguments->results, "... folder for CSV files of scored rows");
  flag("--api", arguments->api, "... HOST:PORT for /health, /status and /metrics");
  command->add_option("--delivery", arguments->delivery, "... acked (default) or lossy")
      ->excludes(config)
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Delivery>{{"acked", Delivery::acked}, {"lossy", Delivery::lossy}}));
  command
      ->add_option("--device", arguments->device, "cpu or cuda (emulated: a GPU made of the CPU, for tests)")
      ->check(CLI::IsMember({"cpu", "cuda", "emulated"}));
  command->footer(
      "Example: lanner serve --config lanner.yaml\n"
      "         lanner serve --model payments.lanner --stream payments --ingest tcp://127.0.0.1:5555 "
      "--publish tcp://127.0.0.1:5556");
  command->callback([&chosen, arguments] { chosen = [arguments] { return serve_from(*arguments); }; });
}

void add_check(CLI::App& app, Action& chosen) {
  struct Arguments {
    std::string config;
    bool reference = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("check", "Check a configuration as a start would; start nothing");
  auto* config = command->add_option("--config", arguments->config, "The configuration file");
  command->add_flag("--reference", arguments->reference, "Print the reference of every key, as Markdown")
      ->excludes(config);
  command->footer("Example: lanner check --config lanner.yaml");
  command->callback([&chosen, arguments] {
    chosen = [arguments] {
      if (arguments->reference) {
        std::cout << config_reference();
        return static_cast<int>(exit_done);
      }
      if (arguments->config.empty())
        throw UsageError("--config: found nothing, allowed a configuration file");
      return check_config(arguments->config);
    };
  });
}

}  // namespace lanner::host
