#include "engine/evaluate/evaluate.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>

#include "engine/evaluate/metrics.hpp"
#include "engine/evaluate/seconds.hpp"
#include "engine/model/model.hpp"
#include "engine/model/shuffle.hpp"

namespace lanner::engine {
namespace {

constexpr std::size_t rows_least = 1000, rows_most = 10'000;
constexpr double training_share = 0.7;

Records records_of(const LabelledSet& set, const std::vector<std::size_t>& rows) {
  Records records;
  records.count = rows.size();
  records.columns.resize(set.width);
  for (std::size_t column = 0; column < set.width; ++column) {
    auto& numbers = records.columns[column].numbers;
    numbers.reserve(rows.size());
    for (std::size_t row : rows) numbers.push_back(set.values[row * set.width + column]);
  }
  return records;
}

Schema schema_of(const LabelledSet& set) {
  Schema schema;
  for (std::size_t column = 0; column < set.width; ++column)
    schema.fields.push_back({std::string("x").append(std::to_string(column)), ColumnKind::number});
  return schema;
}

}  // namespace

std::optional<Protocol> parse_protocol(std::string_view word) {
  if (word == "adbench") return Protocol::adbench;
  if (word == "clean") return Protocol::clean;
  return std::nullopt;
}

Split split(const LabelledSet& set, Protocol protocol, std::uint64_t seed) {
  std::vector<std::size_t> drawn = shuffled(set.rows, seed);
  if (set.rows > rows_most) drawn.resize(rows_most);
  if (set.rows < rows_least && protocol == Protocol::adbench && set.rows > 0) {
    // With replacement: a row is the first of a fresh random order.
    drawn.clear();
    for (std::size_t i = 0; i < rows_least; ++i)
      drawn.push_back(shuffled(set.rows, seed * 1'000'003 + i).front());
  }
  Split result;
  for (const bool anomalous : {false, true}) {
    std::vector<std::size_t> of_class;
    for (std::size_t row : drawn)
      if ((set.labels[row] != 0) == anomalous) of_class.push_back(row);
    if (of_class.size() < 2)
      throw std::invalid_argument(set.name + ": found " + std::to_string(of_class.size()) +
                                  (anomalous ? " anomalies" : " normal rows") +
                                  ", allowed at least 2 to split");
    const auto training = static_cast<std::ptrdiff_t>(
        std::clamp<double>(std::round(training_share * static_cast<double>(of_class.size())), 1,
                           static_cast<double>(of_class.size() - 1)));
    result.training.insert(result.training.end(), of_class.begin(), of_class.begin() + training);
    result.test.insert(result.test.end(), of_class.begin() + training, of_class.end());
  }
  return result;
}

Evaluation evaluate(Device& device, const LabelledSet& set, const Split& split,
                    const EvaluatedDetector& detector, std::uint64_t seed) {
  for (const auto* part : {&split.training, &split.test})
    for (std::size_t row : *part)
      if (row >= set.rows)
        throw std::invalid_argument(set.name + ": found row " + std::to_string(row) +
                                    " in the split, allowed below " + std::to_string(set.rows));

  FitOptions options;
  options.detector = detector.name;
  options.settings = detector.settings;
  options.settings.try_emplace("scale", "minmax");
  options.settings.try_emplace("calibration", "none");
  options.seed = seed;
  options.name = set.name;
  const Schema schema = schema_of(set);
  const auto fit_start = std::chrono::steady_clock::now();
  const auto model = Model::fit(device, schema, records_of(set, split.training), options);
  const double fit_s = seconds_since(fit_start);

  const Records records = records_of(set, split.test);
  const std::size_t n = records.count, width = model->features().width();
  std::vector<float> rows(n * width), scores(n);
  std::vector<double> p_values(n);
  std::vector<std::uint8_t> refused(n), extrapolated(n);
  std::vector<RowRefusal> reasons;
  model->features().transform(records, 0, n, nullptr, {rows.data(), n, width, width}, refused, reasons);
  if (!reasons.empty())
    throw std::invalid_argument(set.name + ": row " + std::to_string(split.test[reasons[0].row]) + ": " +
                                reasons[0].reason);
  const ModelScorer scorer(model, device);
  auto workspace = device.array<std::byte>(scorer.workspace_bytes(n));
  Stream stream = device.stream();
  const auto score_start = std::chrono::steady_clock::now();
  scorer.score(stream, {rows.data(), n, width, width}, refused, workspace.span(), scores, p_values,
               extrapolated);
  const double score_s = seconds_since(score_start);

  std::vector<int> labels(n);
  for (std::size_t i = 0; i < n; ++i) labels[i] = set.labels[split.test[i]] != 0;
  return {set.name,
          detector.name,
          std::string(model->detector().name),
          seed,
          auc_roc(labels, scores),
          average_precision(labels, scores),
          fit_s,
          score_s};
}

}  // namespace lanner::engine
