#include "engine/series/multivariate_scorer.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "engine/detectors/references.hpp"
#include "kernels/arithmetic/environment.hpp"

namespace lanner::engine {
namespace {

constexpr std::size_t explained_at_a_time = 16;
constexpr std::size_t none = static_cast<std::size_t>(-1);

}  // namespace

MachineState::MachineState(const MultivariateModel& model)
    : width_(model.features()), windows_(model), kept_(2 * model.parameters.smoothing * width_) {
  recent_.reserve(model.parameters.smoothing + 1);
}

double MachineState::smoothed(double distance, std::size_t smoothing) {
  recent_.push_back(distance);
  if (recent_.size() > smoothing) recent_.erase(recent_.begin());
  double sum = 0;
  for (const double each : recent_) sum += each;
  return sum / static_cast<double>(recent_.size());
}

void MachineState::save(SnapshotWriter& writer) const {
  writer.whole(rows_);
  windows_.save(writer);
  writer.whole(recent_.size());
  writer.numbers(recent_);
  const auto features = std::span(kept_).subspan(half_ * kept_.size() / 2, recent_.size() * width_);
  for (const float feature : features) writer.number(static_cast<double>(feature));
}

void MachineState::load(const MultivariateModel& model, SnapshotReader& reader) {
  const std::size_t smoothing = model.parameters.smoothing;
  MachineState fresh(model);
  fresh.rows_ = reader.whole(model.warm_up());
  fresh.windows_.load(model, reader);
  fresh.recent_.resize(reader.whole(smoothing));
  reader.numbers(fresh.recent_, 0, std::numeric_limits<float>::max());
  fresh.kept_rows_[0] = fresh.recent_.size();
  constexpr double feature_most = std::numeric_limits<float>::max();
  for (std::size_t i = 0; i < fresh.recent_.size() * fresh.width_; ++i)
    fresh.kept_[i] = static_cast<float>(reader.number(-feature_most, feature_most));
  *this = std::move(fresh);
}

MultivariateScorer::MultivariateScorer(Device& device, std::shared_ptr<const MultivariateModel> model)
    : device_(&device),
      model_(std::move(model)),
      index_(nearest::make_index(device, model_->references)),
      split_(model_->features()) {
  explaining_.reserve(model_->parameters.smoothing);
}

std::span<const float> MultivariateScorer::pushed(std::size_t row) const {
  return staged_.span().subspan(row * model_->features(), model_->features());
}

std::span<const float> MultivariateScorer::kept(const MachineState& machine, std::size_t half,
                                                std::size_t i) const {
  const std::size_t width = model_->features();
  return std::span(machine.kept_).subspan((half * model_->parameters.smoothing + i) * width, width);
}

void MultivariateScorer::push(std::span<const MachineRow> rows, std::span<MultivariateScore> scores) {
  const std::size_t n = rows.size(), metrics = model_->metrics(), width = model_->features();
  if (n == 0) return;
  make_room(n);
  machines_.resize(n);
  next_.resize(n);
  before_.resize(n);
  waiting_.clear();
  for (std::size_t i = 0; i < n; ++i) {
    MachineState& machine = *(machines_[i] = rows[i].machine);
    if (!machine.waits_) {
      machine.waits_ = true;
      machine.first_ = i;
      before_[i] = none;
      waiting_.push_back(&machine);
    } else {
      next_[machine.last_] = i;
      before_[i] = machine.last_;
    }
    machine.last_ = i;
  }
  Stream stream = device_->stream();
  auto look_back = [&](std::size_t begin, std::size_t end, unsigned) {
    const FloatEnvironment environment;
    for (MachineState* machine : std::span(waiting_).subspan(begin, end - begin)) {
      for (std::size_t i = machine->first_;; i = next_[i]) {
        machine->windows_.push(*model_, {rows[i].values, metrics}, staged_.span().subspan(i * width, width));
        machine->rows_ = std::min(machine->rows_ + 1, model_->warm_up());
        scores[i].warming_up = machine->rows_ < model_->warm_up();
        if (i == machine->last_) break;
      }
    }
  };
  if (device_->backend() == Backend::cpu) {
    stream.for_range(waiting_.size(), 1, look_back);
  } else {
    look_back(0, waiting_.size(), 0);
  }
  stream.copy_in(features_, staged_, n * width);
  nearest::distances(stream, *index_, {features_.data(), n, width, width}, model_->parameters.neighbours,
                     nearest::Count::rows, nearest::Summary::kth, {}, workspace_.span(),
                     distances_.span().first(n));
  stream.copy_out(found_, distances_, n);
  stream.synchronize();
  for (MachineState* machine : waiting_) {
    for (std::size_t i = machine->first_;; i = next_[i]) {
      scores[i].score = machine->smoothed(found_[i], model_->parameters.smoothing);
      if (i == machine->last_) break;
    }
    keep(*machine);
  }
}

// The half that counted is left as it was.
void MultivariateScorer::keep(MachineState& machine) {
  const std::size_t before = machine.half_, now = 1 - before, width = model_->features();
  const std::size_t count = machine.recent_.size();
  machine.kept_rows_[now] = count;
  std::size_t at = machine.last_, older = machine.kept_rows_[before];
  for (std::size_t i = count; i-- > 0;) {
    const std::span<const float> features = at != none ? pushed(at) : kept(machine, before, --older);
    std::ranges::copy(features,
                      machine.kept_.begin() +
                          static_cast<std::ptrdiff_t>((now * model_->parameters.smoothing + i) * width));
    if (at != none) at = before_[at];
  }
  machine.half_ = now;
  machine.waits_ = false;
}

void MultivariateScorer::make_room(std::size_t rows) {
  if (rows <= room_) return;
  features_ = device_->array<float>(rows * model_->features());
  distances_ = device_->array<float>(rows);
  workspace_ = device_->array<std::byte>(
      index_->workspace_bytes(rows, model_->parameters.neighbours, nearest::Count::rows));
  staged_ = device_->pinned<float>(rows * model_->features());
  found_ = device_->pinned<float>(rows);
  room_ = rows;
}

void MultivariateScorer::contributions(std::size_t row, std::span<double> contributions) {
  const std::size_t smoothing = model_->parameters.smoothing;
  explaining_.clear();
  for (std::size_t at = row; at != none && explaining_.size() < smoothing; at = before_[at])
    explaining_.push_back(pushed(at).data());
  const MachineState& machine = *machines_[row];
  const std::size_t half = 1 - machine.half_;
  for (std::size_t i = machine.kept_rows_[half]; i-- > 0 && explaining_.size() < smoothing;)
    explaining_.push_back(kept(machine, half, i).data());
  explain(contributions);
}

void MultivariateScorer::contributions(const MachineState& machine, std::span<double> contributions) {
  explaining_.clear();
  for (std::size_t i = machine.kept_rows_[machine.half_]; i-- > 0;)
    explaining_.push_back(kept(machine, machine.half_, i).data());
  if (explaining_.empty()) throw std::invalid_argument("multivariate: found no row to explain");
  explain(contributions);
}

void MultivariateScorer::explain(std::span<double> contributions) {
  const std::size_t metrics = model_->metrics(), width = model_->features(), rows = explaining_.size();
  const std::size_t k = model_->parameters.neighbours;
  if (contributions.size() != metrics)
    throw std::invalid_argument("multivariate: found room for " + std::to_string(contributions.size()) +
                                " contributions, allowed " + std::to_string(metrics));
  make_room_to_explain();
  Stream stream = device_->stream();
  std::fill(split_.begin(), split_.end(), 0.0);
  for (std::size_t left = rows; left > 0;) {
    const std::size_t count = std::min(left, explained_at_a_time);
    for (std::size_t i = 0; i < count; ++i)
      std::copy_n(explaining_[left - 1 - i], width, staged_explained_.data() + i * width);
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

void MultivariateScorer::make_room_to_explain() {
  if (explained_.size() > 0) return;
  constexpr std::size_t rows = explained_at_a_time;
  const std::size_t width = model_->features(), k = model_->parameters.neighbours;
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

}  // namespace lanner::engine
