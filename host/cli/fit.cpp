#include <algorithm>
#include <iostream>

#include "engine/choose/choose.hpp"
#include "engine/model/model.hpp"
#include "engine/series/series_model.hpp"
#include "engine/series/series_settings.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/options.hpp"
#include "host/cli/progress_line.hpp"

namespace lanner::host {
namespace {

struct FitArguments {
  std::string data, detector = "nearest_neighbours", out, config, stream, model, device = "cpu";
  std::vector<std::string> set;
  std::uint64_t seed = 1;
  ReadOptions columns;
};

template <class SomeModel>
void describe(const SomeModel& model, const std::string& what, const std::string& out) {
  std::cout << out << ": " << what << ", " << model.hash() << '\n';
  for (const auto& [key, value] : model.provenance()) std::cout << "  " << key << ": " << value << '\n';
}

void describe(const engine::Model& model, const std::string& out) {
  describe(model,
           std::string(model.detector().name) + ", " + std::to_string(model.features().width()) + " features",
           out);
}

void describe(const engine::SeriesModel& model, const std::string& out) {
  describe(model,
           std::string(engine::multivariate_name) + ", " + std::to_string(model.schema().fields.size()) +
               " metrics",
           out);
}

void fit_series(const engine::Schema& schema, const engine::Records& records, Device* gpu,
                const engine::SeriesFitOptions& options, const std::string& line_name,
                const std::string& out) {
  ProgressLine line(line_name);
  const auto cpu = Device::cpu();
  const auto model =
      engine::SeriesModel::fit(gpu ? *gpu : *cpu, schema, records, options,
                               [&](double done, std::string_view what) { line.show(done, what); });
  model->save(out);
  describe(*model, out);
}

int fit_from_flags(const FitArguments& arguments, Device* gpu) {
  if (arguments.out.empty()) throw UsageError("--out: found nothing, allowed a path for the model");
  engine::FitOptions options;
  options.detector = arguments.detector;
  options.settings = key_values(arguments.set, "--set");
  options.seed = arguments.seed;
  options.gpu = gpu;
  options.name = std::filesystem::path(arguments.out).stem().string();
  fit_settings(options.detector);  // an unknown detector is said before a large file is read
  DataFile data = read_data(arguments.data, arguments.columns);
  const auto segment = options.settings.find("segment");
  const auto is_segment_of = [&](const engine::FieldSpec& field) {
    return segment != options.settings.end() && field.kind == engine::ColumnKind::text &&
           field.name == segment->second;
  };
  const auto is_left_out = [&](const engine::FieldSpec& field) {
    return field.kind == engine::ColumnKind::text && !is_segment_of(field);
  };
  std::string left_out;
  for (const auto& field : data.schema.fields)
    if (is_left_out(field)) left_out += (left_out.empty() ? "" : ", ") + field.name;
  if (!left_out.empty())
    std::cerr << arguments.data << ": columns of text are left out: " << left_out
              << " (a configuration with one_hot or rarity features uses them)\n";
  engine::Schema schema = data.schema;
  // A segment that is none of them is refused by the fit, which says those that there are.
  if (segment == options.settings.end() || segment->second == "none" ||
      segment->second == arguments.columns.entity || std::ranges::any_of(schema.fields, is_segment_of))
    std::erase_if(schema.fields, is_left_out);
  if (std::ranges::none_of(schema.fields,
                           [](const auto& field) { return field.kind == engine::ColumnKind::number; }))
    throw InvalidData(arguments.data +
                      ":1: (columns): found no numbers, allowed at least one column of numbers");
  const engine::Records records = in_schema_order(std::move(data), schema, arguments.data);
  if (options.detector == engine::multivariate_name) {
    fit_series(schema, records, gpu, {options.settings, options.name}, "fit", arguments.out);
    return exit_done;
  }
  ProgressLine line("fit");
  const auto model = engine::Model::fit(*Device::cpu(), schema, records, options,
                                        [&](double done, std::string_view what) { line.show(done, what); });
  model->save(arguments.out);
  describe(*model, arguments.out);
  return exit_done;
}

bool is_segment(const StreamConfig& stream, const std::string& field) {
  return std::ranges::any_of(
      stream.models, [&](const ModelConfig& model) { return model.fit && model.fit->segment() == field; });
}

int fit_from_config(const FitArguments& arguments, Device* gpu) {
  const Config config = read_config(arguments.config);
  const StreamConfig* stream = nullptr;
  std::string names;
  for (const auto& candidate : config.streams) {
    if (candidate.name == arguments.stream) stream = &candidate;
    names += (names.empty() ? "" : ", ") + candidate.name;
  }
  if (!stream) throw UsageError("--stream: found '" + arguments.stream + "', allowed " + names);
  ReadOptions columns = arguments.columns;
  if (columns.entity.empty()) columns.entity = stream->schema.entity;
  if (columns.time.empty()) columns.time = stream->schema.time;
  if (columns.id.empty()) columns.id = stream->schema.id;
  DataFile data = read_data(arguments.data, columns);
  engine::Schema schema = stream->schema;
  if (schema.fields.empty()) {  // no features declared: every column of numbers
    for (const auto& field : data.schema.fields)
      if (field.kind == engine::ColumnKind::number || is_segment(*stream, field.name))
        schema.fields.push_back(field);
  }
  const engine::Records records = in_schema_order(std::move(data), schema, arguments.data);
  bool any = false;
  for (const ModelConfig& model_config : stream->models) {
    if (!model_config.fit) continue;
    any = true;
    if (model_config.file.has_parent_path())
      std::filesystem::create_directories(model_config.file.parent_path());
    if (model_config.fit->detector == engine::multivariate_name) {
      if (!stream->features.empty())
        throw UsageError(arguments.config + ": streams." + stream->name +
                         ".features: found features beside " + std::string(engine::multivariate_name) +
                         ", allowed none: its metrics are the fields as they are");
      fit_series(schema, records, gpu, {model_config.fit->settings, model_config.name},
                 "fit " + model_config.name, model_config.file.string());
      continue;
    }
    engine::FitOptions options;
    options.detector = model_config.fit->detector;
    options.settings = model_config.fit->settings;
    options.seed = model_config.fit->seed;
    options.gpu = gpu;
    options.features = stream->features;
    options.limits = stream->limits;
    options.name = model_config.name;
    ProgressLine line("fit " + model_config.name);
    const auto model = engine::Model::fit(*Device::cpu(), schema, records, options,
                                          [&](double done, std::string_view what) { line.show(done, what); });
    model->save(model_config.file);
    describe(*model, model_config.file.string());
  }
  if (!any)
    throw UsageError(arguments.config + ": streams." + stream->name +
                     ".models: found no model with `fit`, allowed at least one (fit: {detector: NAME})");
  return exit_done;
}

int fit(const FitArguments& arguments) {
  std::shared_ptr<Device> gpu;
  if (arguments.device != "cpu") gpu = device_named(arguments.device);
  return arguments.config.empty() ? fit_from_flags(arguments, gpu.get())
                                  : fit_from_config(arguments, gpu.get());
}

}  // namespace

void add_fit(CLI::App& app, Action& chosen) {
  auto arguments = std::make_shared<FitArguments>();
  CLI::App* command =
      app.add_subcommand("fit", "Fit a detector on unlabelled rows, calibrate it, and write one model file");
  command->add_option("--data", arguments->data, "Rows: .csv, .npy, .npz, .arrow, .feather")->required();
  command->add_option("--detector", arguments->detector,
                      "Which detector (default nearest_neighbours); auto chooses one");
  command->add_option(
      "--set", arguments->set,
      "A setting, key=value: of the detector, and calibration, scale, trim, extrapolate, segment, "
      "segment_rows");
  command->add_option("--seed", arguments->seed, "Of everything random (default 1)");
  command->add_option("--out", arguments->out, "Where the model goes");
  command
      ->add_option(
          "--device", arguments->device,
          "cpu or cuda (cuda: what a GPU helps with is done there, or exit status 3: an autoencoder's "
          "training, and sorting for histogram and calibration; emulated: on a GPU made of the CPU, for "
          "tests)")
      ->check(CLI::IsMember({"cpu", "cuda", "emulated"}));
  command->add_option("--config", arguments->config, "Take features and models from this configuration")
      ->excludes("--detector");
  command->add_option("--stream", arguments->stream, "Which stream of the configuration")->needs("--config");
  add_column_options(*command, arguments->columns);
  command->footer([] {
    std::string text = "Detectors:\n";
    const auto describe_one = [&text](std::string_view name, std::string_view summary,
                                      std::span<const engine::Parameter> parameters) {
      text += "  " + std::string(name) + ": " + std::string(summary) + "\n";
      for (const auto& parameter : parameters)
        text += "    --set " + std::string(parameter.name) + "=" + std::string(parameter.fallback) + "  " +
                std::string(parameter.summary) + " (" + engine::allowed(parameter) + ")\n";
    };
    for (const auto& detector : engine::catalogue())
      describe_one(detector.name, detector.summary, detector.parameters);
    describe_one(engine::auto_name, engine::auto_summary, engine::auto_parameters());
    text += "Every fit of these:\n";
    for (const auto& parameter : engine::fit_parameters())
      text += "    --set " + std::string(parameter.name) + "=" + std::string(parameter.fallback) + "  " +
              std::string(parameter.summary) + "\n";
    text += "Series:\n";
    describe_one(engine::multivariate_name, engine::multivariate_summary, engine::series_model_settings());
    return text +
           "\nExample: lanner fit --data payments.csv --detector nearest_neighbours --set k=10 --out "
           "payments.lanner";
  });
  command->callback([&chosen, arguments] { chosen = [arguments] { return fit(*arguments); }; });
}

}  // namespace lanner::host
