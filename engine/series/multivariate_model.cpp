#include "engine/series/multivariate_model.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

namespace lanner::engine {
namespace {

constexpr double least_range = 1e-9;

void require(bool allowed, const char* name, const char* range) {
  if (!allowed) throw std::invalid_argument(std::string("multivariate: ") + name + ": allowed " + range);
}

void learn_scale(std::span<const double> rows, MultivariateModel& model) {
  const std::size_t metrics = model.metrics(), n = rows.size() / metrics;
  for (std::size_t j = 0; j < metrics; ++j) {
    double low = std::numeric_limits<double>::infinity(), high = -low, sum = 0, count = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double value = rows[i * metrics + j];
      if (!std::isfinite(value)) continue;
      low = std::min(low, value);
      high = std::max(high, value);
    }
    if (low > high)
      throw std::invalid_argument("multivariate: metric " + std::to_string(j) + ": found no finite value");
    // A range that no double holds scales by the largest one.
    const double range = std::clamp(high - low, least_range, std::numeric_limits<double>::max());
    for (std::size_t i = 0; i < n; ++i) {
      const double value = rows[i * metrics + j];
      if (!std::isfinite(value)) continue;
      sum += std::min((value - low) / range, 1.0);
      ++count;
    }
    model.low[j] = low;
    model.range[j] = range;
    model.typical[j] = sum / count;
  }
}

double metric_most(const MultivariateModel& model) {
  return std::max(-model.parameters.clip_low, model.parameters.clip_high);
}

}  // namespace

void check(const MultivariateParameters& p) {
  require(std::is_sorted(p.windows.begin(), p.windows.end()) &&
              (p.windows.empty() || (p.windows.front() >= 1 && p.windows.back() <= 100'000)),
          "windows", "1 to 100000 rows, ascending");
  require(p.deviation_weight >= 0 && p.deviation_weight <= 1e6, "deviation_weight", "0 to 1000000");
  require(p.clip_low >= -1e6 && p.clip_low <= 0, "clip_low", "-1000000 to 0");
  require(p.clip_high >= 1 && p.clip_high <= 1e6, "clip_high", "1 to 1000000");
  require(p.neighbours >= 1 && p.neighbours <= 10'000, "neighbours", "1 to 10000");
  require(p.references_max >= 2 && p.references_max <= 10'000'000, "references_max", "2 to 10000000");
  require(p.smoothing >= 1 && p.smoothing <= 100'000, "smoothing", "1 to 100000 rows");
}

MultivariateModel fit_multivariate(std::span<const double> rows, std::size_t metrics,
                                   const MultivariateParameters& parameters,
                                   std::span<const std::uint32_t> machines) {
  check(parameters);
  if (metrics == 0 || rows.size() < metrics || rows.size() % metrics != 0)
    throw std::invalid_argument("multivariate: found no whole rows to learn from");
  const std::size_t n = rows.size() / metrics;
  if (!machines.empty() && machines.size() != n)
    throw std::invalid_argument("multivariate: found machines of " + std::to_string(machines.size()) +
                                " rows, allowed " + std::to_string(n));
  MultivariateModel model;
  model.parameters = parameters;
  for (auto* numbers : {&model.low, &model.range, &model.typical}) numbers->resize(metrics);
  learn_scale(rows, model);

  const std::size_t width = model.features(), kept = std::min(n, parameters.references_max);
  std::vector<MachineWindows> windows;
  std::vector<float> row(width), references;
  references.reserve(kept * width);
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t machine = machines.empty() ? 0 : machines[i];
    while (windows.size() <= machine) windows.emplace_back(model);
    windows[machine].push(model, rows.subspan(i * metrics, metrics), row);
    const std::size_t taken = references.size() / width;
    if (taken < kept && (kept == 1 || i == taken * (n - 1) / (kept - 1)))
      references.insert(references.end(), row.begin(), row.end());
  }
  model.references = nearest::distinct_rows({references.data(), kept, width, width});
  return model;
}

MachineWindows::MachineWindows(const MultivariateModel& model)
    : windows_(model.metrics(), model.parameters.windows, model.parameters.deviation_weight),
      present_(model.typical) {}

void MachineWindows::push(const MultivariateModel& model, std::span<const double> row, std::span<float> out) {
  for (std::size_t j = 0; j < present_.size(); ++j)
    if (std::isfinite(row[j]))
      present_[j] = std::clamp((row[j] - model.low[j]) / model.range[j], model.parameters.clip_low,
                               model.parameters.clip_high);
  windows_.push(present_, out);
}

void MachineWindows::save(SnapshotWriter& writer) const {
  windows_.save(writer);
  writer.numbers(present_);
}

void MachineWindows::load(const MultivariateModel& model, SnapshotReader& reader) {
  const double most = metric_most(model);
  windows_.load(reader, most);
  reader.numbers(present_, -most, most);
}

std::uint64_t fingerprint(const MultivariateModel& model) {
  const MultivariateParameters& p = model.parameters;
  std::vector<double> numbers{p.deviation_weight, p.clip_low, p.clip_high, static_cast<double>(p.neighbours),
                              static_cast<double>(p.smoothing)};
  for (const std::size_t window : p.windows) numbers.push_back(static_cast<double>(window));
  for (const auto* learned : {&model.low, &model.range, &model.typical})
    numbers.insert(numbers.end(), learned->begin(), learned->end());
  return fingerprint(std::as_bytes(std::span(numbers))) ^
         fingerprint(std::as_bytes(std::span(model.references.values)));
}

}  // namespace lanner::engine
