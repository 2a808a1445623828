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

engine::LabelledMachine read_machine(const std::string& path) {
  const DataFile train = read_matrix(path, "train");
  DataFile test = read_matrix(path, "test");
  if (test.labels.empty())
    throw InvalidData(path + ": test_label: found none, allowed 0 or 1 for every row of test");
  if (train.records.columns.size() != test.records.columns.size())
    throw InvalidData(path + ": test: found " + std::to_string(test.records.columns.size()) +
                      " columns, allowed as many as train, " + std::to_string(train.records.columns.size()));
  return {std::filesystem::path(path).stem().string(), train.records.columns.size(), row_major(train),
          row_major(test), std::move(test.labels)};
}

}  // namespace

int evaluate_machines(const std::vector<std::string>& data, const std::string& out_path) {
  const auto device = Device::cpu();
  std::ofstream out(out_path);
  if (!out) throw UsageError("--out: found '" + out_path + "', allowed a path that can be written");
  out << "dataset,rows,events,auc_roc,average_precision,vus_pr,event_recall,fit_s,score_s\n";
  double auc_roc = 0, average_precision = 0, vus_pr = 0, recall = 0;
  {
    ProgressLine line("evaluate");
    for (std::size_t i = 0; i < data.size(); ++i) {
      line.show(static_cast<double>(i) / static_cast<double>(data.size()), data[i]);
      const engine::MachineEvaluation row = engine::evaluate_machine(*device, read_machine(data[i]));
      out << row.name << ',' << row.rows << ',' << row.events << ',' << table_number(row.auc_roc) << ','
          << table_number(row.average_precision) << ',' << table_number(row.vus_pr) << ','
          << table_number(row.event_recall) << ',' << table_number(row.fit_s) << ','
          << table_number(row.score_s) << std::endl;
      auc_roc += row.auc_roc;
      average_precision += row.average_precision;
      vus_pr += row.vus_pr;
      recall += row.event_recall;
    }
    line.show(1, "done");
  }
  if (!out.flush()) throw std::system_error(EIO, std::generic_category(), out_path);
  const double machines = static_cast<double>(data.size());
  std::cout << "AUCROC " << table_number(auc_roc / machines) << ", average precision "
            << table_number(average_precision / machines) << ", VUS-PR " << table_number(vus_pr / machines)
            << ", events found with " << table_number(100 * engine::false_alarm_share)
            << " % of normal rows flagged " << table_number(recall / machines) << "  (means over "
            << data.size() << " files)\n";
  return exit_done;
}

}  // namespace lanner::host
