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
  const std::int64_t begun = clock_.steady_ns() - light_work_ns_;
  const auto [batch, scored] = intake_.take(source, message_, *in_use_);
  if (batch && scored) {
    remember(*batch);
    stage_.begin(*batch);
    move_on();
  } else if (batch) {
    learn(*batch);
    finish_at_once(*batch);
  }
  counters_.intake.add(clock_.steady_ns() - light_work_ns_ - begun);
  return true;
}

// -> features -> stage
void Pipeline::move_on() {
  const std::int64_t now = clock_.steady_ns();
  if (Batch* batch = stage_.advance(now)) {
    intake_.staged(*batch, stage_.refusals());
    if (batch->done(1)) finish_at_once(*batch);
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
  if (!slots_under_way_ && !to_score_.wait(wait)) return false;
  Slot* finished;
  {
    std::lock_guard lock(scoring_mutex_);
    for (Slot* slot; scoring_.has_room() && to_score_.try_pop(slot);) scoring_.begin(*slot);
    finished = scoring_.finish();
    slots_under_way_ = scoring_.under_way();
  }
  if (finished) {
    finish_scored(*finished, &Pipeline::finish);
  } else {
    std::this_thread::sleep_for(gpu_asked_again);
  }
  return true;
}

void Pipeline::finish_scored(Slot& slot, void (Pipeline::*finish)(Batch&)) {
  for (const Slot::Segment& segment : slot.segments)
    if (segment.batch->done(segment.count)) (this->*finish)(*segment.batch);
  slot.route.reset();
  free_slots_.push(&slot);
  ports_.room();
}

void Pipeline::filled(Slot& slot) {
  if (!score_at_once(slot)) to_score_.push(&slot);
}

// Only where nothing is before it: the order of decisions is that of intake.
bool Pipeline::score_at_once(Slot& slot) {
  if (!does_light_work_ || !ports_.gpus.empty()) return false;
  {
    std::unique_lock lock(scoring_mutex_, std::try_to_lock);
    if (!lock || to_score_.size() > 0) return false;
    const auto expected_ns = slot.route->costs->expected_ns(CostModel::Where::cpu, slot.count);
    if (!expected_ns || *expected_ns > worth_a_thread_ns) return false;
    const std::int64_t begun = clock_.steady_ns();
    scoring_.begin(slot);
    scoring_.finish();
    light_work_ns_ += clock_.steady_ns() - begun;
  }
  finish_scored(slot, &Pipeline::finish_at_once);
  return true;
}

// -> publish -> alert -> store -> sync
bool Pipeline::put_out(std::chrono::nanoseconds wait) {
  const bool some = finished_.wait(wait);
  std::lock_guard lock(outlet_mutex_);
  for (Batch* batch; finished_.try_pop(batch);) outlet_.add(*batch);
  put_out_added();
  return some;
}

void Pipeline::finish_at_once(Batch& batch) {
  if (!put_out_at_once(batch)) finish(batch);
}

bool Pipeline::put_out_at_once(Batch& batch) {
  if (!does_light_work_ || ports_.open_results) return false;
  std::unique_lock lock(outlet_mutex_, std::try_to_lock);
  if (!lock) return false;
  const std::int64_t begun = clock_.steady_ns();
  outlet_.add(batch);
  put_out_added();
  light_work_ns_ += clock_.steady_ns() - begun;
  return true;
}

void Pipeline::put_out_added() {
  outlet_.publish_ready();
  const std::span<Batch* const> durable = outlet_.commit();
  const bool awaited =
      std::any_of(durable.begin(), durable.end(), [](const Batch* done) { return done->acked; });
  for (Batch* done : durable) settled_.push(done);
  if (!durable.empty()) outlet_.committed();
  outlet_.sync_idle();
  if (awaited) ports_.answers();
  ports_.room();
}

void Pipeline::publish_status(std::string_view json) {
  std::lock_guard lock(outlet_mutex_);
  outlet_.publish_status(json);
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
      stage_(
          ports_.device, ports_.gpus, stage_options(config), counters_, [this](Slot& slot) { filled(slot); },
          free_slots_),
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
