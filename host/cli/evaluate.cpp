#include "engine/evaluate/evaluate.hpp"

#include <fstream>
#include <iomanip>
#include <iostream>

#include "engine/choose/choose.hpp"
#include "engine/detectors/detector.hpp"
#include "engine/model/model.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/evaluate_series.hpp"
#include "host/cli/options.hpp"
#include "host/cli/progress_line.hpp"
#include "host/cli/table_number.hpp"

namespace lanner::host {
namespace {

struct EvaluateArguments {
  std::vector<std::string> data, detectors, set;
  std::vector<std::uint64_t> seeds{1, 2, 3};
  std::string protocol = "adbench", splits, out, label;
  std::string labels, profiles;
  std::optional<std::size_t> warm_up;
};

engine::LabelledSet read_set(const std::string& path, const std::string& label) {
  ReadOptions options;
  options.label = label;
  DataFile file = read_data(path, options);
  engine::LabelledSet set;
  set.name = std::filesystem::path(path).stem().string();
  if (file.labels.empty())
    throw InvalidData(path + ":1: y: found no labels, allowed `y` in an .npz, or --label COLUMN");
  for (const auto& field : file.schema.fields)
    if (field.kind == engine::ColumnKind::text)
      throw InvalidData(path + ":1: " + field.name + ": found text, allowed numbers");
  set.rows = file.records.count;
  set.width = file.schema.fields.size();
  set.labels = std::move(file.labels);
  set.values.resize(set.rows * set.width);
  for (std::size_t column = 0; column < set.width; ++column)
    for (std::size_t row = 0; row < set.rows; ++row)
      set.values[row * set.width + column] = file.records.columns[column].numbers[row];
  return set;
}

engine::Split split_of(const EvaluateArguments& arguments, const engine::LabelledSet& set,
                       std::uint64_t seed) {
  if (arguments.splits.empty()) return engine::split(set, *engine::parse_protocol(arguments.protocol), seed);
  const std::filesystem::path file =
      std::filesystem::path(arguments.splits) / (set.name + "_" + std::to_string(seed) + ".npz");
  engine::Split split;
  for (const auto& [name, into] : {std::pair{"train", &split.training}, {"test", &split.test}})
    for (const std::int32_t row : read_indices(file, name)) {
      if (row < 0)
        throw InvalidData(file.string() + ": " + name + ": found row " + std::to_string(row) +
                          ", allowed 0 and above");
      into->push_back(static_cast<std::size_t>(row));
    }
  return split;
}

// --set detector.key=value, for the detectors named.
std::vector<engine::EvaluatedDetector> evaluated_detectors(const EvaluateArguments& arguments) {
  std::vector<engine::EvaluatedDetector> detectors;
  if (arguments.detectors.empty()) {
    for (const auto& detector : engine::catalogue()) detectors.push_back({std::string(detector.name), {}});
  } else {
    for (const std::string& name : arguments.detectors) detectors.push_back({name, {}});
  }
  for (const auto& [key, value] : key_values(arguments.set, "--set")) {
    const auto dot = key.find('.');
    bool taken = false;
    for (auto& detector : detectors) {
      if (dot == std::string::npos || key.substr(0, dot) != detector.name) continue;
      detector.settings[key.substr(dot + 1)] = value;
      taken = true;
    }
    if (!taken)
      throw UsageError("--set: found '" + key + "', allowed DETECTOR.KEY of a detector that is evaluated");
  }
  for (const auto& detector : detectors)  // a wrong setting is said before an hour of work
    engine::Settings::parse(engine::all_parameters(detector.name), detector.settings);
  return detectors;
}

int evaluate_all(const EvaluateArguments& arguments) {
  const auto detectors = evaluated_detectors(arguments);
  const auto device = Device::cpu();
  std::ofstream out(arguments.out);
  if (!out) throw UsageError("--out: found '" + arguments.out + "', allowed a path that can be written");
  out << "dataset,detector,seed,auc_roc,average_precision,fit_s,score_s\n";
  std::map<std::string, std::pair<double, double>> sums;
  std::map<std::string, std::size_t> chosen;  // by auto, and how often
  std::size_t done = 0;
  const std::size_t total = arguments.data.size() * arguments.seeds.size() * detectors.size();
  {
    ProgressLine line("evaluate");
    for (const std::string& path : arguments.data) {
      const engine::LabelledSet set = read_set(path, arguments.label);
      for (const std::uint64_t seed : arguments.seeds) {
        const engine::Split split = split_of(arguments, set, seed);
        for (const auto& detector : detectors) {
          line.show(static_cast<double>(done) / static_cast<double>(total), set.name + " " + detector.name);
          const engine::Evaluation row = engine::evaluate(*device, set, split, detector, seed);
          out << row.set << ',' << row.detector << ',' << row.seed << ',' << table_number(row.auc_roc) << ','
              << table_number(row.average_precision) << ',' << table_number(row.fit_s) << ','
              << table_number(row.score_s) << std::endl;
          sums[detector.name].first += row.auc_roc;
          sums[detector.name].second += row.average_precision;
          if (detector.name == engine::auto_name) ++chosen[row.fitted];
          ++done;
        }
      }
    }
    line.show(1, "done");
  }
  if (!out.flush()) throw std::system_error(EIO, std::generic_category(), arguments.out);
  const double runs = static_cast<double>(arguments.data.size() * arguments.seeds.size());
  std::cout << std::left << std::setw(27) << "detector" << std::setw(12) << "AUCROC"
            << "average precision  (means over " << runs << " runs)\n";
  for (const auto& [name, sum] : sums)
    std::cout << std::left << std::setw(27) << name << std::setw(12) << table_number(sum.first / runs)
              << table_number(sum.second / runs) << '\n';
  for (const auto& [name, times] : chosen)
    std::cout << "auto chose " << name << " for " << times << " of " << runs << " runs\n";
  return exit_done;
}

// What belongs to one kind of protocol only is refused with the others, not passed over.
int evaluate_by_protocol(const EvaluateArguments& arguments) {
  const bool is_nab = arguments.protocol == "nab", is_series = arguments.protocol == "series";
  const auto refuse = [&](const char* option, bool is_given) {
    if (is_given) throw UsageError(std::string(option) + ": not for --protocol " + arguments.protocol);
  };
  if (!is_nab) {
    refuse("--labels", !arguments.labels.empty());
    refuse("--profiles", !arguments.profiles.empty());
    refuse("--warm-up", arguments.warm_up.has_value());
  }
  if (!is_nab && !is_series) return evaluate_all(arguments);
  for (const std::string& name : arguments.detectors)  // a series has one, which is what auto means there
    if (name != engine::auto_name)
      throw UsageError("--detectors: found '" + name + "', allowed auto with --protocol " +
                       arguments.protocol);
  refuse("--set", !arguments.set.empty());
  refuse("--splits", !arguments.splits.empty());
  refuse("--label", !arguments.label.empty());
  if (is_series) return evaluate_machines(arguments.data, arguments.out);
  if (arguments.labels.empty())
    throw UsageError("--labels: found none, allowed a combined_windows.json with --protocol nab");
  return evaluate_nab(
      {arguments.data, arguments.labels, arguments.profiles, arguments.warm_up, arguments.out});
}

}  // namespace

void add_evaluate(CLI::App& app, Action& chosen) {
  auto arguments = std::make_shared<EvaluateArguments>();
  CLI::App* command = app.add_subcommand("evaluate", "Compare detectors on labelled data");
  command
      ->add_option("--data", arguments->data, "Files with labels: .npz with X and y, or others with --label")
      ->required();
  command->add_option("--detectors", arguments->detectors, "Names, by comma (default: all but auto)")
      ->delimiter(',');
  command
      ->add_option(
          "--protocol", arguments->protocol,
          "adbench (default) or clean: tables; nab: series with windows (--data: files, or the folder "
          "that holds them); series: machines, .npz with train, test, test_label")
      ->check(CLI::IsMember({"adbench", "clean", "nab", "series"}));
  command->add_option("--seeds", arguments->seeds, "By comma (default 1,2,3)")->delimiter(',');
  command->add_option(
      "--splits", arguments->splits,
      "Folder of index files NAME_SEED.npz with `train` and `test` instead of the protocol's own split");
  command->add_option("--set", arguments->set, "A setting, DETECTOR.KEY=VALUE");
  command->add_option("--label", arguments->label, "Column that holds the labels (0: normal)");
  command->add_option("--labels", arguments->labels, "nab: combined_windows.json");
  command->add_option("--profiles", arguments->profiles, "nab: profiles.json (default: the published ones)");
  command->add_option("--warm-up", arguments->warm_up,
                      "nab: rows learned from first (default: 15 % of each series, at most 750)");
  command->add_option("--out", arguments->out, "Table: .csv")->required();
  command->footer(
      "Example: lanner evaluate --data cardio.npz vowels.npz --detectors nearest_neighbours,histogram --set "
      "nearest_neighbours.k=5 --out table.csv\n"
      "         lanner evaluate --protocol nab --data NAB --labels NAB/labels/combined_windows.json --out "
      "nab.csv\n"
      "         lanner evaluate --protocol series --data machine-1.npz machine-2.npz --out machines.csv");
  command->callback(
      [&chosen, arguments] { chosen = [arguments] { return evaluate_by_protocol(*arguments); }; });
}

}  // namespace lanner::host
