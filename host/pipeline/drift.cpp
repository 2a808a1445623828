#include "host/pipeline/drift.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "engine/calibrate/decide.hpp"

namespace lanner::host {
namespace {

// Distances are computed anew after so many events, or such a share of them all.
constexpr std::uint64_t shown_every = 4096, shown_share = 256;

}  // namespace

Drift::Drift(const engine::Model& model)
    : watch_(model.drift()), names_{"score"}, distances_(watch_.watched()) {
  const auto columns = model.features().column_names();
  for (const std::uint32_t column : model.drift()->columns) names_.push_back(columns[column]);
}

bool Drift::watch(Rows rows, std::span<const float> scores, std::span<const std::uint8_t> refused,
                  std::span<std::uint8_t> flags) {
  const bool before = watch_.withdrawn();
  const std::size_t first = watch_.watch(rows, scores, refused);
  for (std::uint8_t& flag : flags.subspan(std::min(first, flags.size())))
    flag = static_cast<std::uint8_t>(flag | engine::flag_withdrawn);
  const bool now = watch_.withdrawn() && !before;
  if (now || watch_.events() - shown_at_ >= std::max(shown_every, watch_.events() / shown_share)) show();
  return now;
}

void Drift::show() {
  shown_at_ = watch_.events();
  for (std::size_t i = 0; i < distances_.size(); ++i)
    distances_[i].store(static_cast<float>(watch_.distance(i)), std::memory_order_relaxed);
  cause_.store(watch_.cause(), std::memory_order_relaxed);
  withdrawn_at_.store(watch_.withdrawn_at(), std::memory_order_release);
}

void Drift::restore(std::span<const double> state) {
  watch_.restore(state);
  show();
}

std::vector<std::pair<std::string, float>> Drift::distances(std::size_t most) const {
  std::vector<std::pair<std::string, float>> all;
  for (std::size_t i = 0; i < distances_.size(); ++i)
    all.emplace_back(names_[i], distances_[i].load(std::memory_order_relaxed));
  std::ranges::stable_sort(all, [](const auto& a, const auto& b) { return a.second > b.second; });
  all.resize(std::min(all.size(), most));
  return all;
}

std::string drift_text(const std::string& stream, const std::string& model, const Drift& drift) {
  return fmt::format(
      "stream {}: {}: the data has drifted from the calibration rows ({}, noticed at event {}): its p-values "
      "are not guaranteed; calibrate on recent data",
      stream, model, drift.cause(), drift.withdrawn_at());
}

}  // namespace lanner::host
