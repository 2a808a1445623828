#include "engine/series/series_detector.hpp"

#include <fstream>
#include <iostream>
#include <system_error>

#include "host/cli/commands.hpp"
#include "host/cli/series_file.hpp"
#include "host/data_file/data_file.hpp"
#include "host/float_text.hpp"

namespace lanner::host {
namespace {

struct SeriesArguments {
  std::string data, out, time = "timestamp", value = "value";
  engine::SeriesParameters parameters;
};

void write_row(std::ostream& out, const engine::SeriesScore& row) {
  char text[float_text_max];
  const auto put = [&](double number) { out.write(text, put_float(text, number) - text); };
  put(row.score);
  out << ',' << row.alarm;
  const bool is_scored = !row.warming_up && !row.missing;
  for (const double number :
       {row.expected, row.surprises[0], row.surprises[1], row.surprises[2], row.surprises[3]}) {
    out << ',';
    if (is_scored) put(number);
  }
  out << '\n';
}

int watch(const SeriesArguments& arguments) {
  engine::SeriesDetector detector(arguments.parameters);
  const SeriesFile series = read_series(arguments.data, arguments.time, arguments.value);
  std::ofstream out(arguments.out);
  if (!out) throw UsageError("--out: found '" + arguments.out + "', allowed a path that can be written");
  out << "score,alarm,expected,point,shape,stretch,season\n";
  std::size_t alarms = 0, warm_up = 0;
  for (std::size_t i = 0; i < series.values.size(); ++i) {
    const engine::SeriesScore row = detector.push(series.times_ns[i], series.values[i]);
    write_row(out, row);
    alarms += row.alarm;
    warm_up += row.warming_up && !row.missing;
  }
  if (!out.flush()) throw std::system_error(EIO, std::generic_category(), arguments.out);
  std::cout << arguments.out << ": " << series.values.size() << " rows, " << alarms << " alarms, " << warm_up
            << " rows learned from first, " << detector.missing() << " without a value\n";
  return exit_done;
}

}  // namespace

SeriesFile read_series(const std::string& path, const std::string& time, const std::string& value) {
  ReadOptions options;
  if (time != "none") options.time = time;
  DataFile file = read_data(path, options);
  SeriesFile series;
  std::string columns;
  for (std::size_t c = 0; c < file.schema.fields.size(); ++c) {
    const auto& field = file.schema.fields[c];
    columns += (columns.empty() ? "" : ", ") + field.name;
    if (field.name != value) continue;
    if (field.kind == engine::ColumnKind::text)
      throw InvalidData(path + ":1: " + value + ": found text, allowed numbers");
    series.values = std::move(file.records.columns[c].numbers);
    series.times_ns = std::move(file.records.time);
    series.times_ns.resize(series.values.size());
    return series;
  }
  throw InvalidData(path + ":1: value: found no column '" + value + "', allowed " + columns);
}

void add_series(CLI::App& app, Action& chosen) {
  auto arguments = std::make_shared<SeriesArguments>();
  CLI::App* command =
      app.add_subcommand("series", "Watch one series of numbers, row by row, with no model and no training");
  command->add_option("--data", arguments->data, "Rows in the order of time: .csv, .npy, .npz, .arrow")
      ->required();
  command->add_option(
      "--time", arguments->time,
      "Column of times: integer ns or ISO 8601, UTC (default timestamp); none: there are none");
  command->add_option("--value", arguments->value, "Column of values (default value)");
  command->add_option(
      "--warm-up", arguments->parameters.warm_up,
      "Rows learned from before the first alarm (default 750); the spans of patterns and pauses "
      "follow from it");
  command->add_option("--threshold", arguments->parameters.threshold,
                      "Score of an alarm, higher for fewer (default 2.5)");
  command->add_option("--out", arguments->out, "A row for each row, score and alarm first: .csv")->required();
  command->footer("Example: lanner series --data latency.csv --warm-up 1000 --out alarms.csv");
  command->callback([&chosen, arguments] { chosen = [arguments] { return watch(*arguments); }; });
}

}  // namespace lanner::host
