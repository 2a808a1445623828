#include "engine/series/multivariate.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace lanner::engine {
namespace {

constexpr std::string_view snapshot_name = "LANNERM3";
// Rows whose features are in memory at once.
constexpr std::size_t batch_rows = 4096;

}  // namespace

MultivariateDetector::MultivariateDetector(Device& device, std::shared_ptr<const MultivariateModel> model)
    : scorer_(device, std::move(model)), machine_(scorer_.model()) {}

double MultivariateDetector::push(std::span<const double> row) {
  return push_rows(row).front();
}

std::vector<double> MultivariateDetector::push_rows(std::span<const double> rows) {
  const std::size_t metrics = scorer_.model().metrics(), n = rows.size() / metrics;
  if (rows.empty() || rows.size() % metrics != 0)
    throw std::invalid_argument("multivariate: found " + std::to_string(rows.size()) +
                                " values, allowed rows of " + std::to_string(metrics));
  std::vector<double> scores;
  scores.reserve(n);
  for (std::size_t begin = 0; begin < n; begin += batch_rows) {
    const std::size_t count = std::min(batch_rows, n - begin);
    rows_.clear();
    for (std::size_t i = begin; i < begin + count; ++i) rows_.push_back({&machine_, &rows[i * metrics]});
    scores_.resize(count);
    scorer_.push(rows_, scores_);
    for (const MultivariateScore& one : scores_) scores.push_back(one.score);
  }
  return scores;
}

std::vector<std::byte> MultivariateDetector::snapshot() const {
  SnapshotWriter writer(snapshot_name, fingerprint(scorer_.model()));
  machine_.save(writer);
  return std::move(writer).finish();
}

void MultivariateDetector::restore(std::span<const std::byte> bytes) {
  SnapshotReader reader(bytes, snapshot_name, fingerprint(scorer_.model()));
  MachineState machine(scorer_.model());
  machine.load(scorer_.model(), reader);
  reader.finish();
  machine_ = std::move(machine);
}

}  // namespace lanner::engine
