#include "host/pipeline/gpu.hpp"

#include <algorithm>
#include <bit>

namespace lanner::host {
namespace {

constexpr std::int64_t rest_least_ns = 1'000'000'000, rest_most_ns = 60 * rest_least_ns;

}  // namespace

Gpu::Gpu(std::shared_ptr<Device> device, const Clock& clock)
    : device_(std::move(device)), clock_(clock), rest_ns_(rest_least_ns) {}

Gpu::~Gpu() {
  if (!hangs_) return;
  static_cast<void>(new std::shared_ptr<Device>(device_));
  for (auto& [models, trip] : abandoned_) {
    static_cast<void>(trip.release());
    static_cast<void>(new std::shared_ptr<const void>(models));
  }
  for (auto& trip : free_) static_cast<void>(trip.release());
}

void Gpu::failed(const DeviceError& error) {
  if (error.lost()) return lose(error.what(), false);
  const std::lock_guard lock(mutex_);
  if (lost()) return;
  const std::int64_t rest = rest_ns_;
  usable_from_ns_ = clock_.steady_ns() + rest;
  rest_ns_ = std::min(2 * rest, rest_most_ns);
  trouble_ = device_->description() + ": " + error.what() + "; the cpu scores, and it is tried again";
}

void Gpu::lose(const std::string& why, bool hangs) {
  const std::lock_guard lock(mutex_);
  usable_from_ns_ = never;
  if (hangs) hangs_ = true;
  trouble_ = device_->description() + ": " + why + "; the cpu scores until a restart";
}

std::string Gpu::trouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

std::unique_ptr<engine::RoundTrip> Gpu::take() {
  drop_what_has_ended();
  if (free_.empty()) return std::make_unique<engine::RoundTrip>(*device_);
  auto trip = std::move(free_.back());
  free_.pop_back();
  return trip;
}

void Gpu::give_back(std::unique_ptr<engine::RoundTrip> trip) {
  free_.push_back(std::move(trip));
  if (rest_ns_ == rest_least_ns || lost()) return;
  const std::lock_guard lock(mutex_);
  rest_ns_ = rest_least_ns;
  trouble_.clear();
}

void Gpu::abandon(std::unique_ptr<engine::RoundTrip> trip, std::shared_ptr<const void> models) {
  if (trip) abandoned_.emplace_back(std::move(models), std::move(trip));
}

void Gpu::drop_what_has_ended() {
  std::erase_if(abandoned_, [](const auto& one) {
    try {
      return one.second->ended();
    } catch (const DeviceError&) {
      return false;
    }
  });
}

std::size_t CostModel::place(std::size_t rows) {
  return std::min<std::size_t>(std::bit_width(rows), std::tuple_size_v<decltype(costs_)> - 1);
}

std::optional<double> CostModel::expected_ns(Where where, std::size_t rows) const {
  const double ns_a_row = costs_[place(rows)].ns_a_row[static_cast<std::size_t>(where)];
  if (ns_a_row == 0) return std::nullopt;
  return ns_a_row * static_cast<double>(rows);
}

CostModel::Where CostModel::choose(std::size_t rows) {
  Cost& cost = costs_[place(rows)];
  for (const Where where : {Where::cpu, Where::gpu})
    if (cost.ns_a_row[static_cast<std::size_t>(where)] == 0) return where;
  const Where faster = cost.ns_a_row[1] < cost.ns_a_row[0] ? Where::gpu : Where::cpu;
  if (++cost.since_tried < tried_again_after) return faster;
  cost.since_tried = 0;
  return faster == Where::gpu ? Where::cpu : Where::gpu;
}

void CostModel::learn(Where where, std::size_t rows, std::int64_t ns) {
  double& known = costs_[place(rows)].ns_a_row[static_cast<std::size_t>(where)];
  const double seen =
      std::max(static_cast<double>(ns), 1.0) / static_cast<double>(std::max<std::size_t>(rows, 1));
  // A thread that had to wait for its core once says little about the next time.
  known = known == 0 ? seen : known + (std::min(seen, 2 * known) - known) / 8;
}

}  // namespace lanner::host
