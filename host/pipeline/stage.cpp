#include "host/pipeline/stage.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include <spdlog/spdlog.h>

#include "kernels/device/error.hpp"
#include "kernels/finite/finite.hpp"

namespace lanner::host {
namespace {

// Below this it pays to copy rows together with those of other batches; above, to leave them where they are.
constexpr std::size_t direct_rows_min = 256;

template <class T>
void grow(Device& device, Pinned<T>& block, std::size_t count) {
  if (block.size() < count) block = device.pinned<T>(count);
}

}  // namespace

Rows Slot::rows(std::size_t lane, std::size_t rows_max) {
  const std::size_t width = route->lanes[lane]->width();
  if (direct)
    return {segments[0].batch->records.dense.floats + segments[0].begin * width, count, width, width};
  return {values_of(lane, rows_max), count, width, width};
}

float* Slot::values_of(std::size_t lane, std::size_t rows_max) {
  std::size_t before = 0;
  for (std::size_t l = 0; l < lane; ++l) before += route->lanes[l]->width();
  return values.data() + before * rows_max;
}

std::span<std::uint8_t> Slot::refused_of(std::size_t result, std::size_t rows_max) {
  return refused.span().subspan(result * rows_max, count);
}

std::span<std::uint32_t> Slot::calibrations_of(std::size_t lane, std::size_t rows_max) {
  if (!route->lanes[lane]->model().segments()) return {};
  return calibrations.span().subspan(lane * rows_max, count);
}

Stage::Stage(Device& cpu, Gpus gpus, const Options& options, Counters& counters,
             std::function<void(Slot&)> filled, Queue<Slot*>& free)
    : device_(cpu),
      gpus_(std::move(gpus)),
      options_(options),
      counters_(counters),
      filled_(std::move(filled)),
      free_(free) {
  for (std::size_t i = 0; i < options_.slots; ++i) {
    Slot& slot = *slots_.emplace_back(std::make_unique<Slot>());
    slot.segments.reserve(options_.batches);
    free_.push(&slot);
  }
  open_.reserve(options_.slots);
}

void Stage::make_room(const Route& route) {
  for (const auto& slot : slots_) make_room(*slot, route);
}

void Stage::make_room(Slot& slot, const Route& route) {
  const std::size_t rows = options_.rows_max;
  std::size_t workspace = 0;
  for (const auto& lane : route.lanes) workspace = std::max(workspace, lane->scorer->workspace_bytes(rows));
  if (slot.values.size() < rows * route.width()) make_values(slot, rows * route.width());
  grow(device_, slot.refused, rows * route.results());
  if (std::ranges::any_of(route.lanes, [](const auto& lane) { return lane->model().segments().has_value(); }))
    grow(device_, slot.calibrations, rows * route.lanes.size());
  grow(device_, slot.extrapolated, rows);
  grow(device_, slot.scores, rows);
  grow(device_, slot.p_values, rows);
  grow(device_, slot.workspace, workspace);
}

void Stage::make_values(Slot& slot, std::size_t count) {
  slot.pinned_by_gpu = false;
  if (!gpus_.empty() && !gpus_[0]->lost()) {
    try {
      slot.values = gpus_[0]->device().pinned<float>(count);
      slot.pinned_by_gpu = true;
      return;
    } catch (const DeviceError& error) {
      spdlog::error("{}: {}", gpus_[0]->device().description(), error.what());
      gpus_[0]->failed(error);
    }
  }
  slot.values = device_.pinned<float>(count);
}

bool Stage::gpus_in_use() const {
  return std::ranges::any_of(gpus_, [](const auto& gpu) { return gpu->usable(); });
}

// The frame's memory is the feature matrix itself: nothing to compute, nothing to copy, once no value is
// refused.
bool Stage::is_direct(const Batch& batch) const {
  const engine::Records& records = batch.records;
  if (records.count < direct_rows_min || !records.dense.floats || gpus_in_use()) return false;
  if (!records.refused.empty() || batch.route->lanes.empty() || !batch.route->series.empty()) return false;
  for (const auto& lane : batch.route->lanes) {
    if (!lane->model().features().is_identity() || lane->width() != records.dense.width) return false;
  }
  return finite::all_finite(device_.tier(), records.dense.floats, records.count * records.dense.width);
}

void Stage::begin(Batch& batch) {
  batch_ = &batch;
  batch.pending.store(batch.rows() + 1, std::memory_order_relaxed);
  next_row_ = 0;
  refusals_.clear();
  direct_ = is_direct(batch);
  if (!direct_) return;
  // Rows of this stream that wait in a slot came before.
  for (Slot* slot : open_) {
    if (slot->route == batch.route) {
      close(slot);
      break;
    }
  }
}

Slot* Stage::take_free(const std::shared_ptr<Route>& route, std::int64_t now_ns) {
  Slot* slot = nullptr;
  if (!free_.try_pop(slot)) return nullptr;
  make_room(*slot, *route);
  slot->route = route;
  slot->segments.clear();
  slot->count = 0;
  slot->opened_ns = now_ns;
  slot->direct = false;
  return slot;
}

Slot* Stage::open_slot(const std::shared_ptr<Route>& route, std::int64_t now_ns) {
  for (Slot* slot : open_)
    if (slot->route == route) return slot;
  Slot* slot = take_free(route, now_ns);
  if (slot) {
    open_.push_back(slot);
  } else if (!open_.empty()) {
    close(open_.front());  // every slot may be some other stream's open one
  }
  return slot;
}

void Stage::close(Slot* slot) {
  std::erase(open_, slot);
  filled_(*slot);
}

Batch* Stage::advance(std::int64_t now_ns) {
  if (!batch_) return nullptr;
  Batch& batch = *batch_;
  while (next_row_ < batch.rows()) {
    Slot* slot = direct_ ? take_free(batch.route, now_ns) : open_slot(batch.route, now_ns);
    if (!slot) return nullptr;
    const std::size_t count = std::min(batch.rows() - next_row_, options_.rows_max - slot->count);
    const std::size_t at = slot->count;
    slot->segments.push_back({&batch, next_row_, count});
    slot->count += count;
    slot->direct = direct_;
    for (std::size_t l = 0; l < batch.route->lanes.size(); ++l) {
      const std::span which = slot->calibrations_of(l, options_.rows_max);
      if (!which.empty())
        batch.route->lanes[l]->model().segments_of(batch.records, next_row_, next_row_ + count,
                                                   which.subspan(at, count));
    }
    if (direct_) {
      counters_.rows_direct.add(count);
      next_row_ += count;
      filled_(*slot);
      continue;
    }
    for (std::size_t l = 0; l < batch.route->lanes.size(); ++l) {
      const Lane& lane = *batch.route->lanes[l];
      const std::size_t width = lane.width();
      const MutableRows rows{slot->values_of(l, options_.rows_max) + at * width, count, width, width};
      lane.model().features().transform(batch.records, next_row_, next_row_ + count, lane.state.get(), rows,
                                        slot->refused_of(l, options_.rows_max).subspan(at, count), refusals_);
    }
    for (std::size_t s = 0; s < batch.route->series.size(); ++s)
      batch.route->series[s]->refuse(
          batch.records, next_row_, next_row_ + count,
          slot->refused_of(batch.route->lanes.size() + s, options_.rows_max).subspan(at, count), refusals_);
    counters_.rows_staged.add(count);
    next_row_ += count;
    if (slot->count == options_.rows_max) close(slot);
  }
  return std::exchange(batch_, nullptr);
}

void Stage::close_expired(std::int64_t now_ns) {
  while (!open_.empty() && now_ns - open_.front()->opened_ns >= options_.wait_ns) close(open_.front());
}

void Stage::close_if_idle() {
  if (free_.size() + open_.size() == slots_.size()) close_all();
}

void Stage::close_all() {
  while (!open_.empty()) close(open_.front());
}

std::int64_t Stage::next_expiry_ns() const {
  if (open_.empty()) return std::numeric_limits<std::int64_t>::max();
  return open_.front()->opened_ns + options_.wait_ns;
}

}  // namespace lanner::host
