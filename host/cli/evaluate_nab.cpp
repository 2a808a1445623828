#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "engine/evaluate/nab.hpp"
#include "engine/series/series_detector.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/evaluate_series.hpp"
#include "host/cli/progress_line.hpp"
#include "host/cli/series_file.hpp"
#include "host/cli/table_number.hpp"
#include "host/data_file/data_file.hpp"
#include "host/decode/time_text.hpp"

namespace lanner::host {
namespace {

namespace fs = std::filesystem;

// Profiles and series stay in the order of their file.
nlohmann::ordered_json read_object(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw InvalidData(path + ": can't be read");
  const auto read = nlohmann::ordered_json::parse(file, nullptr, false);
  if (!read.is_object()) throw InvalidData(path + ": found no JSON object");
  return read;
}

std::vector<engine::NabProfile> read_profiles(const std::string& path) {
  if (path.empty()) return engine::nab_profiles();
  std::vector<engine::NabProfile> profiles;
  const nlohmann::ordered_json read = read_object(path);
  for (const auto& [name, profile] : read.items()) {
    const auto weight = [&, &name = name, &profile = profile](const char* key) {
      const auto pointer = nlohmann::ordered_json::json_pointer(std::string("/CostMatrix/") + key);
      if (!profile.contains(pointer) || !profile.at(pointer).is_number())
        throw InvalidData(path + ": " + name + ": CostMatrix." + key + ": found none, allowed a number");
      return profile.at(pointer).get<double>();
    };
    profiles.push_back({name, weight("tpWeight"), weight("fnWeight"), weight("fpWeight")});
  }
  if (profiles.empty()) throw InvalidData(path + ": found no profile");
  return profiles;
}

/// A series' file beside its name in the labels.
struct Named {
  std::string name, path;
};

std::vector<Named> named_series(const NabArguments& arguments, const nlohmann::ordered_json& labels) {
  std::vector<Named> found;
  if (arguments.data.size() == 1 && fs::is_directory(arguments.data[0])) {
    const fs::path folder = arguments.data[0];
    for (const auto& [name, windows] : labels.items())
      for (const fs::path& path : {folder / name, folder / "data" / name})
        if (fs::is_regular_file(path)) {
          found.push_back({name, path.string()});
          break;
        }
    if (found.empty())
      throw InvalidData(folder.string() + ": found none of the files that " + arguments.labels + " names");
    if (found.size() < labels.size())
      std::cerr << folder.string() << ": has " << found.size() << " of the " << labels.size()
                << " files that " << arguments.labels << " names\n";
    return found;
  }
  for (const std::string& path : arguments.data) {
    auto named = labels.begin();
    while (named != labels.end() && !("/" + path).ends_with("/" + named.key())) ++named;
    if (named == labels.end())
      throw InvalidData(path + ": found no windows for it in " + arguments.labels +
                        ", allowed a path that ends as a name there does");
    found.push_back({named.key(), path});
  }
  return found;
}

std::vector<engine::NabWindow> windows_of(const nlohmann::ordered_json& pairs,
                                          const std::vector<std::int64_t>& times, const std::string& labels,
                                          const std::string& name) {
  const auto row_at = [&](const nlohmann::ordered_json& text) {
    const auto time = text.is_string() ? parse_time(text.get<std::string>()) : std::nullopt;
    const auto row = time ? std::find(times.begin(), times.end(), *time) : times.end();
    if (row == times.end())
      throw InvalidData(labels + ": " + name + ": found " + text.dump() + ", allowed times of the series");
    return static_cast<std::size_t>(row - times.begin());
  };
  std::vector<engine::NabWindow> windows;
  if (!pairs.is_array()) throw InvalidData(labels + ": " + name + ": found no list of windows");
  for (const auto& pair : pairs) {
    if (!pair.is_array() || pair.size() != 2)
      throw InvalidData(labels + ": " + name + ": found " + pair.dump() + ", allowed [first, last]");
    windows.push_back({row_at(pair[0]), row_at(pair[1])});
  }
  return windows;
}

/// The detector's scores at its alarms, 0 elsewhere: what a threshold can still choose among.
std::vector<double> alarm_scores(const SeriesFile& series, std::size_t warm_up) {
  engine::SeriesParameters parameters;
  parameters.warm_up = warm_up;
  engine::SeriesDetector detector(parameters);
  std::vector<double> scores;
  scores.reserve(series.values.size());
  for (std::size_t i = 0; i < series.values.size(); ++i) {
    const engine::SeriesScore row = detector.push(series.times_ns[i], series.values[i]);
    scores.push_back(row.alarm ? row.score : 0);
  }
  return scores;
}

struct Corpus {
  std::vector<engine::NabSeries> series;
  std::vector<std::vector<double>> scores;
};

Corpus scored_corpus(const NabArguments& arguments) {
  const nlohmann::ordered_json labels = read_object(arguments.labels);
  const std::vector<Named> files = named_series(arguments, labels);
  Corpus corpus;
  ProgressLine line("evaluate");
  for (const auto& [name, path] : files) {
    line.show(static_cast<double>(corpus.series.size()) / static_cast<double>(files.size()), name);
    const SeriesFile series = read_series(path, "timestamp", "value");
    corpus.series.push_back(
        {name, series.values.size(), windows_of(labels.at(name), series.times_ns, arguments.labels, name)});
    try {
      corpus.scores.push_back(
          alarm_scores(series, arguments.warm_up.value_or(engine::nab_probation(series.values.size()))));
    } catch (const std::invalid_argument& error) {
      throw InvalidData(path + ": " + std::to_string(series.values.size()) + " rows: " + error.what());
    }
  }
  line.show(1, "done");
  return corpus;
}

void write_row(std::ostream& out, const std::string& dataset, const std::string& profile, const char* choice,
               double threshold, const engine::NabScore& score) {
  out << dataset << ',' << profile << ',' << choice << ',' << table_number(threshold) << ',' << score.windows
      << ',' << score.found << ',' << score.false_positives << ',' << table_number(score.raw) << ','
      << table_number(score.normalised()) << '\n';
}

/// A row for every series and one for all together, whose score is returned.
engine::NabScore write_choice(std::ostream& out, const Corpus& corpus, const engine::NabProfile& profile,
                              const char* choice, double threshold) {
  engine::NabScore total;
  for (std::size_t s = 0; s < corpus.series.size(); ++s) {
    const engine::NabScore score = engine::nab_score(corpus.series[s], corpus.scores[s], threshold, profile);
    write_row(out, corpus.series[s].name, profile.name, choice, threshold, score);
    total += score;
  }
  write_row(out, "total", profile.name, choice, threshold, total);
  return total;
}

}  // namespace

int evaluate_nab(const NabArguments& arguments) {
  const std::vector<engine::NabProfile> profiles = read_profiles(arguments.profiles);
  const Corpus corpus = scored_corpus(arguments);
  std::ofstream out(arguments.out);
  if (!out) throw UsageError("--out: found '" + arguments.out + "', allowed a path that can be written");
  out << "dataset,profile,choice,threshold,windows,found,false_positives,raw,score\n";
  std::cout << std::left << std::setw(22) << "profile" << std::setw(12) << "threshold" << std::setw(12)
            << "score" << std::setw(12) << "found"
            << "false positives\n";
  for (const engine::NabProfile& profile : profiles) {
    const double fixed = engine::SeriesParameters{}.threshold;
    const double optimised = engine::nab_optimised_threshold(corpus.series, corpus.scores, profile);
    for (const auto& [choice, threshold] : {std::pair{"fixed", fixed}, {"optimised", optimised}}) {
      const engine::NabScore total = write_choice(out, corpus, profile, choice, threshold);
      std::cout << std::left << std::setw(22) << profile.name << std::setw(12) << table_number(threshold)
                << std::setw(12) << table_number(total.normalised()) << std::setw(12)
                << std::to_string(total.found) + "/" + std::to_string(total.windows) << total.false_positives
                << (choice == std::string_view("fixed") ? "" : "  (chosen on these series)") << '\n';
    }
  }
  if (!out.flush()) throw std::system_error(EIO, std::generic_category(), arguments.out);
  return exit_done;
}

}  // namespace lanner::host
