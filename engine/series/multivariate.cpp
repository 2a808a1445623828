#include "engine/series/multivariate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "engine/detectors/references.hpp"

namespace lanner::engine {
namespace {

constexpr std::string_view snapshot_name = "LANNERM2";
constexpr double least_range = 1e-9;
// Rows whose features are in memory at once.
constexpr std::size_t batch_rows = 4096;
constexpr std::size_t explained_at_a_time = 16;

void require(bool allowed, const char* name, const char* range) {
  if (!allowed) throw std::invalid_argument(std::string("multivariate: ") + name + ": allowed " + range);
}

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

/// Takes a row's values that are there into `present`, scaled.
void take_present(const MultivariateModel& model, std::span<const double> row, std::span<double> present) {
  for (std::size_t j = 0; j < present.size(); ++j)
    if (std::isfinite(row[j]))
      present[j] = std::clamp((row[j] - model.low[j]) / model.range[j], model.parameters.clip_low,
                              model.parameters.clip_high);
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

RowWindows windows_of(const MultivariateModel& model) {
  return {model.metrics(), model.parameters.windows, model.parameters.deviation_weight};
}

}  // namespace

MultivariateModel fit_multivariate(std::span<const double> rows, std::size_t metrics,
                                   const MultivariateParameters& parameters) {
  check(parameters);
  if (metrics == 0 || rows.size() < metrics || rows.size() % metrics != 0)
    throw std::invalid_argument("multivariate: found no whole rows to learn from");
  const std::size_t n = rows.size() / metrics;
  MultivariateModel model;
  model.parameters = parameters;
  for (auto* numbers : {&model.low, &model.range, &model.typical}) numbers->resize(metrics);
  learn_scale(rows, model);

  RowWindows windows = windows_of(model);
  const std::size_t width = windows.features(), kept = std::min(n, parameters.references_max);
  std::vector<double> present = model.typical;
  std::vector<float> row(width), references;
  references.reserve(kept * width);
  for (std::size_t i = 0; i < n; ++i) {
    take_present(model, rows.subspan(i * metrics, metrics), present);
    windows.push(present, row);
    const std::size_t taken = references.size() / width;
    if (taken < kept && (kept == 1 || i == taken * (n - 1) / (kept - 1)))
      references.insert(references.end(), row.begin(), row.end());
  }
  model.references = nearest::distinct_rows({references.data(), kept, width, width});
  return model;
}

MultivariateDetector::MultivariateDetector(Device& device, std::shared_ptr<const MultivariateModel> model)
    : device_(&device),
      model_(std::move(model)),
      index_(nearest::make_index(device, model_->references)),
      windows_(windows_of(*model_)),
      present_(model_->typical),
      kept_(model_->parameters.smoothing * windows_.features()),
      split_(windows_.features()) {
  recent_.reserve(model_->parameters.smoothing + 1);
}

double MultivariateDetector::push(std::span<const double> row) {
  return push_rows(row).front();
}

std::vector<double> MultivariateDetector::push_rows(std::span<const double> rows) {
  const std::size_t metrics = model_->metrics(), n = rows.size() / metrics, width = windows_.features();
  if (rows.empty() || rows.size() % metrics != 0)
    throw std::invalid_argument("multivariate: found " + std::to_string(rows.size()) +
                                " values, allowed rows of " + std::to_string(metrics));
  make_room(std::min(n, batch_rows));
  Stream stream = device_->stream();
  std::vector<double> scores;
  scores.reserve(n);
  for (std::size_t begin = 0; begin < n; begin += batch_rows) {
    const std::size_t count = std::min(batch_rows, n - begin);
    for (std::size_t i = 0; i < count; ++i) {
      take_present(*model_, rows.subspan((begin + i) * metrics, metrics), present_);
      windows_.push(present_, staged_.span().subspan(i * width, width));
    }
    stream.copy_in(features_, staged_, count * width);
    nearest::distances(stream, *index_, {features_.data(), count, width, width},
                       model_->parameters.neighbours, nearest::Count::rows, nearest::Summary::kth, {},
                       workspace_.span(), distances_.span().first(count));
    stream.copy_out(found_, distances_, count);
    stream.synchronize();
    for (std::size_t i = 0; i < count; ++i) {
      scores.push_back(smoothed(found_[i]));
      keep(staged_.span().subspan(i * width, width));
    }
  }
  return scores;
}

void MultivariateDetector::make_room(std::size_t rows) {
  if (rows <= room_) return;
  features_ = device_->array<float>(rows * windows_.features());
  distances_ = device_->array<float>(rows);
  workspace_ = device_->array<std::byte>(
      index_->workspace_bytes(rows, model_->parameters.neighbours, nearest::Count::rows));
  staged_ = device_->pinned<float>(rows * windows_.features());
  found_ = device_->pinned<float>(rows);
  room_ = rows;
}

double MultivariateDetector::smoothed(double distance) {
  recent_.push_back(distance);
  if (recent_.size() > model_->parameters.smoothing) recent_.erase(recent_.begin());
  double sum = 0;
  for (const double each : recent_) sum += each;
  return sum / static_cast<double>(recent_.size());
}

void MultivariateDetector::keep(std::span<const float> features) {
  std::copy(features.begin(), features.end(),
            kept_.begin() + static_cast<std::ptrdiff_t>(next_kept_ * features.size()));
  next_kept_ = (next_kept_ + 1) % model_->parameters.smoothing;
}

std::span<const float> MultivariateDetector::kept(std::size_t back) const {
  const std::size_t smoothing = model_->parameters.smoothing, width = windows_.features();
  return std::span(kept_).subspan((next_kept_ + smoothing - 1 - back) % smoothing * width, width);
}

void MultivariateDetector::contributions(std::span<double> contributions) {
  const std::size_t metrics = model_->metrics(), width = windows_.features(), rows = recent_.size();
  const std::size_t k = model_->parameters.neighbours;
  if (contributions.size() != metrics)
    throw std::invalid_argument("multivariate: found room for " + std::to_string(contributions.size()) +
                                " contributions, allowed " + std::to_string(metrics));
  if (rows == 0) throw std::invalid_argument("multivariate: found no row to explain");
  make_room_to_explain();
  Stream stream = device_->stream();
  std::fill(split_.begin(), split_.end(), 0.0);
  for (std::size_t left = rows; left > 0;) {
    const std::size_t count = std::min(left, explained_at_a_time);
    for (std::size_t i = 0; i < count; ++i)
      std::ranges::copy(kept(left - 1 - i), staged_explained_.data() + i * width);
    stream.copy_in(explained_, staged_explained_, count * width);
    nearest::search(stream, *index_, {explained_.data(), count, width, width}, k, nearest::Count::rows, {},
                    explained_workspace_.span(),
                    {k, explained_rows_.data(), explained_distances_.data(), explained_taken_.data(),
                     explained_counts_.data()});
    stream.copy_out(found_rows_, explained_rows_, count * k);
    stream.copy_out(found_distances_, explained_distances_, count * k);
    stream.copy_out(found_counts_, explained_counts_, count);
    stream.synchronize();
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t kth = i * k + found_counts_[i] - 1;
      add_split(staged_explained_.data() + i * width, model_->references.view().row(found_rows_[kth]), width,
                found_distances_[kth], split_.data());
    }
    left -= count;
  }
  std::fill(contributions.begin(), contributions.end(), 0.0);
  for (std::size_t f = 0; f < width; ++f) contributions[f % metrics] += split_[f];
  for (double& contribution : contributions) contribution /= static_cast<double>(rows);
}

void MultivariateDetector::make_room_to_explain() {
  if (explained_.size() > 0) return;
  constexpr std::size_t rows = explained_at_a_time;
  const std::size_t width = windows_.features(), k = model_->parameters.neighbours;
  explained_ = device_->array<float>(rows * width);
  explained_distances_ = device_->array<float>(rows * k);
  for (auto* numbers : {&explained_rows_, &explained_taken_})
    *numbers = device_->array<std::uint32_t>(rows * k);
  explained_counts_ = device_->array<std::uint32_t>(rows);
  explained_workspace_ = device_->array<std::byte>(index_->workspace_bytes(rows, k, nearest::Count::rows));
  staged_explained_ = device_->pinned<float>(rows * width);
  found_distances_ = device_->pinned<float>(rows * k);
  found_rows_ = device_->pinned<std::uint32_t>(rows * k);
  found_counts_ = device_->pinned<std::uint32_t>(rows);
}

std::uint64_t MultivariateDetector::model_fingerprint() const {
  const MultivariateParameters& p = model_->parameters;
  std::vector<double> numbers{p.deviation_weight, p.clip_low, p.clip_high, static_cast<double>(p.neighbours),
                              static_cast<double>(p.smoothing)};
  for (const std::size_t window : p.windows) numbers.push_back(static_cast<double>(window));
  for (const auto* learned : {&model_->low, &model_->range, &model_->typical})
    numbers.insert(numbers.end(), learned->begin(), learned->end());
  return fingerprint(std::as_bytes(std::span(numbers))) ^
         fingerprint(std::as_bytes(std::span(model_->references.values)));
}

std::vector<std::byte> MultivariateDetector::snapshot() const {
  SnapshotWriter writer(snapshot_name, model_fingerprint());
  windows_.save(writer);
  writer.numbers(present_);
  writer.whole(recent_.size());
  writer.numbers(recent_);
  for (std::size_t back = recent_.size(); back-- > 0;) {
    const std::vector<double> features(kept(back).begin(), kept(back).end());
    writer.numbers(features);
  }
  return std::move(writer).finish();
}

void MultivariateDetector::restore(std::span<const std::byte> bytes) {
  SnapshotReader reader(bytes, snapshot_name, model_fingerprint());
  const double metric_most = std::max(-model_->parameters.clip_low, model_->parameters.clip_high);
  RowWindows windows = windows_of(*model_);
  windows.load(reader, metric_most);
  std::vector<double> present(model_->metrics());
  reader.numbers(present, -metric_most, metric_most);
  std::vector<double> recent(reader.whole(model_->parameters.smoothing));
  reader.numbers(recent, 0, std::numeric_limits<float>::max());
  const std::size_t width = windows.features();
  constexpr double feature_most = std::numeric_limits<float>::max();
  std::vector<float> kept(kept_.size());
  std::vector<double> features(width);
  for (std::size_t i = 0; i < recent.size(); ++i) {
    reader.numbers(features, -feature_most, feature_most);
    std::ranges::copy(features, kept.begin() + static_cast<std::ptrdiff_t>(i * width));
  }
  reader.finish();
  windows_ = std::move(windows);
  present_ = std::move(present);
  recent_ = std::move(recent);
  kept_ = std::move(kept);
  next_kept_ = recent_.size() % model_->parameters.smoothing;
}

}  // namespace lanner::engine
