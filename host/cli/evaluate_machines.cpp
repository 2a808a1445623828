#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <system_error>

#include "engine/evaluate/server_metrics.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/evaluate_series.hpp"
#include "host/cli/progress_line.hpp"
#include "host/cli/table_number.hpp"
#include "host/data_file/data_file.hpp"
#include "kernels/device/device.hpp"

namespace lanner::host {
namespace {

DataFile read_matrix(const std::string& path, const char* array) {
  ReadOptions options;
  options.array = array;
  return read_data(path, options);
}

std::vector<double> row_major(const DataFile& file) {
  const std::size_t metrics = file.records.columns.size();
  std::vector<double> rows(file.records.count * metrics);
  for (std::size_t j = 0; j < metrics; ++j)
    for (std::size_t i = 0; i < file.records.count; ++i)
      rows[i * metrics + j] = file.records.columns[j].numbers[i];
  return rows;
}

[[noreturn]] void refuse(const std::string& file, std::size_t line, const std::string& found) {
  throw InvalidData(file + ":" + std::to_string(line) + ": found '" + found +
                    "', allowed FIRST-LAST:METRIC,METRIC,..., metrics counted from 1");
}

// `first-last:metric,metric,...`, a line an event: which metrics made it, counted from 1.
std::vector<engine::ExplainedEvent> read_explained(const std::string& file, std::size_t metrics) {
  std::ifstream in(file);
  std::vector<engine::ExplainedEvent> events;
  std::string text;
  for (std::size_t line = 1; std::getline(in, text); ++line) {
    if (!text.empty() && text.back() == '\r') text.pop_back();
    if (text.empty()) continue;
    const char* at = text.data();
    const char* const end = at + text.size();
    const auto number = [&] {
      std::size_t value = 0;
      const auto [after, error] = std::from_chars(at, end, value);
      if (error != std::errc()) refuse(file, line, text);
      at = after;
      return value;
    };
    const auto take = [&](char wanted) {
      if (at == end || *at++ != wanted) refuse(file, line, text);
    };
    engine::ExplainedEvent event;
    event.begin = number();
    take('-');
    number();
    for (char before = ':'; before == ':' || at != end; before = ',') {
      take(before);
      const std::size_t metric = number();
      if (metric < 1 || metric > metrics || std::ranges::count(event.metrics, metric - 1) > 0)
        throw InvalidData(file + ":" + std::to_string(line) + ": found metric " + std::to_string(metric) +
                          ", allowed each once from 1 to " + std::to_string(metrics));
      event.metrics.push_back(metric - 1);
    }
    events.push_back(std::move(event));
  }
  std::ranges::sort(events, {}, &engine::ExplainedEvent::begin);
  return events;
}

engine::LabelledMachine read_machine(const std::string& path) {
  const DataFile train = read_matrix(path, "train");
  DataFile test = read_matrix(path, "test");
  if (test.labels.empty())
    throw InvalidData(path + ": test_label: found none, allowed 0 or 1 for every row of test");
  if (train.records.columns.size() != test.records.columns.size())
    throw InvalidData(path + ": test: found " + std::to_string(test.records.columns.size()) +
                      " columns, allowed as many as train, " + std::to_string(train.records.columns.size()));
  const std::size_t metrics = train.records.columns.size();
  const std::string explained = std::filesystem::path(path).replace_extension(".interpretation.txt").string();
  return {std::filesystem::path(path).stem().string(),
          metrics,
          row_major(train),
          row_major(test),
          std::move(test.labels),
          std::filesystem::exists(explained) ? read_explained(explained, metrics)
                                             : std::vector<engine::ExplainedEvent>()};
}

// Sums, and in the end means, over files.
struct Means {
  double auc_roc = 0, average_precision = 0, vus_pr = 0, recall = 0, files = 0;
  void add(const engine::MachineEvaluation& row) {
    auc_roc += row.auc_roc;
    average_precision += row.average_precision;
    vus_pr += row.vus_pr;
    recall += row.event_recall;
    ++files;
  }
};

// The same over events.
struct Hits {
  engine::HitRates ours, random;
  double events = 0;
  void add(const engine::MachineEvaluation& row) {
    const auto count = static_cast<double>(row.events_explained);
    if (count == 0) return;
    for (const auto& [sum, part] : {std::pair{&ours, &row.hits}, {&random, &row.random_hits}}) {
      sum->first += count * part->first;
      sum->hit_rate_100 += count * part->hit_rate_100;
      sum->hit_rate_150 += count * part->hit_rate_150;
    }
    events += count;
  }
};

void print(const Means& means, const Hits& hits) {
  const auto mean = [&](double sum) { return table_number(sum / means.files); };
  std::cout << "AUCROC " << mean(means.auc_roc) << ", average precision " << mean(means.average_precision)
            << ", VUS-PR " << mean(means.vus_pr) << ", events found with "
            << table_number(100 * engine::false_alarm_share) << " % of normal rows flagged "
            << mean(means.recall) << "  (means over " << means.files << " files)\n";
  if (hits.events == 0) return;
  const auto beside = [&](double ours, double random) {
    return table_number(ours / hits.events) + " (at random " + table_number(random / hits.events) + ")";
  };
  std::cout << "the metric that contributes most is a listed one "
            << beside(hits.ours.first, hits.random.first) << ", HitRate@100% "
            << beside(hits.ours.hit_rate_100, hits.random.hit_rate_100) << ", HitRate@150% "
            << beside(hits.ours.hit_rate_150, hits.random.hit_rate_150) << "  (means over " << hits.events
            << " events)\n";
}

}  // namespace

int evaluate_machines(const std::vector<std::string>& data, const std::string& out_path) {
  const auto device = Device::cpu();
  std::ofstream out(out_path);
  if (!out) throw UsageError("--out: found '" + out_path + "', allowed a path that can be written");
  out << "dataset,rows,events,auc_roc,average_precision,vus_pr,event_recall,fit_s,score_s,events_explained,"
         "first_hit,first_hit_random,hit_rate_100,hit_rate_100_random,hit_rate_150,hit_rate_150_random\n";
  Means means;
  Hits hits;
  {
    ProgressLine line("evaluate");
    for (std::size_t i = 0; i < data.size(); ++i) {
      line.show(static_cast<double>(i) / static_cast<double>(data.size()), data[i]);
      const engine::MachineEvaluation row = engine::evaluate_machine(*device, read_machine(data[i]));
      out << row.name << ',' << row.rows << ',' << row.events << ',' << table_number(row.auc_roc) << ','
          << table_number(row.average_precision) << ',' << table_number(row.vus_pr) << ','
          << table_number(row.event_recall) << ',' << table_number(row.fit_s) << ','
          << table_number(row.score_s) << ',' << row.events_explained;
      for (const auto& [ours, random] : {std::pair{row.hits.first, row.random_hits.first},
                                         {row.hits.hit_rate_100, row.random_hits.hit_rate_100},
                                         {row.hits.hit_rate_150, row.random_hits.hit_rate_150}})
        out << ',' << table_number(ours) << ',' << table_number(random);
      out << std::endl;
      means.add(row);
      hits.add(row);
    }
    line.show(1, "done");
  }
  if (!out.flush()) throw std::system_error(EIO, std::generic_category(), out_path);
  print(means, hits);
  return exit_done;
}

}  // namespace lanner::host
