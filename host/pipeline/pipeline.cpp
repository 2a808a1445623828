#include "host/pipeline/pipeline.hpp"

#include <algorithm>
#include <cmath>
#include <thread>

namespace lanner::host {
namespace {

// How often a GPU is asked whether it is done.
constexpr std::chrono::microseconds gpu_asked_again{20};

}  // namespace

// ingest -> decode
bool Pipeline::take_in(std::uint32_t source) {
  if (!has_room() || !ports_.sources[source]->receive(message_)) return false;
  const std::int64_t begun = clock_.steady_ns();
  const auto [batch, scored] = intake_.take(source, message_, *in_use_);
  if (batch && scored) {
    remember(*batch);
    stage_.begin(*batch);
    move_on();
  } else if (batch) {
    learn(*batch);
    finish(*batch);
  }
  counters_.intake.add(clock_.steady_ns() - begun);
  return true;
}

// -> features -> stage
void Pipeline::move_on() {
  const std::int64_t now = clock_.steady_ns();
  if (Batch* batch = stage_.advance(now)) {
    intake_.staged(*batch, stage_.refusals());
    if (batch->done(1)) finish(*batch);
  }
  stage_.close_expired(now);
  if (!pool_.available()) stage_.close_all();
  if (!stage_.under_way() && routes_replaced_.exchange(false)) {
    stage_.close_all();
    in_use_ = routes();
  }
}

// -> score -> decide -> explain
bool Pipeline::score(std::chrono::nanoseconds wait) {
  Slot* slot;
  if (!scoring_.under_way()) {
    if (!to_score_.pop(slot, wait)) return false;
    scoring_.begin(*slot);
  }
  while (scoring_.has_room() && to_score_.try_pop(slot)) scoring_.begin(*slot);
  slot = scoring_.finish();
  if (!slot) {
    std::this_thread::sleep_for(gpu_asked_again);
    return true;
  }
  for (const Slot::Segment& segment : slot->segments)
    if (segment.batch->done(segment.count)) finish(*segment.batch);
  slot->route.reset();
  free_slots_.push(slot);
  ports_.room();
  return true;
}

// -> publish -> alert -> store -> sync
bool Pipeline::put_out(std::chrono::nanoseconds wait) {
  Batch* batch;
  const bool some = finished_.pop(batch, wait);
  if (some) {
    do outlet_.add(*batch);
    while (finished_.try_pop(batch));
    outlet_.publish_ready();
  }
  const std::span<Batch* const> durable = outlet_.commit();
  const bool awaited =
      std::any_of(durable.begin(), durable.end(), [](const Batch* done) { return done->acked; });
  for (Batch* done : durable) settled_.push(done);
  if (!durable.empty()) outlet_.committed();
  outlet_.sync_idle();
  if (awaited) ports_.answers();
  ports_.room();
  return some;
}

// -> acknowledge
bool Pipeline::settle() {
  Batch* batch;
  while (settled_.try_pop(batch)) intake_.settle(*batch);
  counters_.batches_free.set(pool_.free());
  return !intake_.answer();
}

void Pipeline::learn(Batch& batch) {
  if (!batch.route || batch.rows() == 0) return;
  intake_.staged(batch, {});
  const auto& learning = batch.route->learning;
  if (!learning || learning->complete()) return;
  if (learning->collect(batch.records, clock_.unix_ns())) ports_.learn(batch.route->stream, learning);
  batch.route->counters->learned_rows.set(learning->rows());
}

void Pipeline::remember(const Batch& batch) {
  const auto& refitting = batch.route->refitting;
  if (!refitting) return;
  const Lane& lane = *batch.route->lanes[batch.route->refitted];
  const bool drifted = lane.drift && lane.drift->withdrawn_at() != 0;
  if (refitting->take(batch.records, clock_.unix_ns(), drifted))
    ports_.refit(batch.route->stream, refitting, lane.scorer->model_pointer());
}

void Pipeline::finish(Batch& batch) {
  finished_.push(&batch);
}

Pipeline::Pipeline(const DeviceConfig& config, Ports ports, Routes routes, Counters& counters)
    : ports_(std::move(ports)),
      clock_(ports_.clock),
      counters_(counters),
      to_score_(config.slots),
      free_slots_(config.slots),
      finished_(batch_count),
      settled_(batch_count),
      routes_(std::make_shared<const Routes>(std::move(routes))),
      in_use_(routes_),
      results_(ports_.open_results ? ports_.open_results() : nullptr),
      pool_(batch_count, in_flight_bytes_max(ports_.sources)),
      intake_(clock_, ports_.sources, results_ ? results_->settled() : Settled{}, pool_, counters_),
      stage_(ports_.device, ports_.gpus, stage_options(config), counters_, to_score_, free_slots_),
      scoring_(clock_, ports_.device, ports_.gpus, scoring_options(config), counters_),
      outlet_(clock_, ports_.publishers, std::move(results_), ports_.open_results, batch_count, counters_) {
  for (const auto& [name, route] : *routes_) stage_.make_room(*route);
}

std::uint64_t Pipeline::in_flight_bytes_max(std::span<Source* const> sources) {
  std::uint64_t bytes = std::uint64_t{256} << 20;
  for (const Source* source : sources) bytes = std::max(bytes, 2 * source->config().batch_bytes_max);
  return bytes;
}

Stage::Options Pipeline::stage_options(const DeviceConfig& config) {
  return {config.slots, config.batch_max, static_cast<std::int64_t>(std::llround(config.wait_ms_max * 1e6)),
          batch_count};
}

Scoring::Options Pipeline::scoring_options(const DeviceConfig& config) {
  return {config.batch_max, config.slots, config.offload == Offload::always,
          static_cast<std::int64_t>(std::llround(config.watchdog_s * 1e9))};
}

void Pipeline::replace_routes(Routes routes) {
  auto next = std::make_shared<const Routes>(std::move(routes));
  {
    std::lock_guard lock(routes_mutex_);
    routes_ = std::move(next);
  }
  routes_replaced_.store(true);
  ports_.room();
}

std::shared_ptr<const Routes> Pipeline::routes() const {
  std::lock_guard lock(routes_mutex_);
  return routes_;
}

void Pipeline::close() {
  to_score_.close();
  finished_.close();
}

}  // namespace lanner::host
