#include "host/pipeline/scoring.hpp"

#include <algorithm>
#include <exception>
#include <functional>
#include <numeric>

#include <spdlog/spdlog.h>

#include "kernels/device/error.hpp"

namespace lanner::host {
namespace {

// Flagged rows explained at a time: few are, and the rest of them wait a moment longer.
constexpr std::size_t explained_at_a_time = 64;
// Slots under way on each GPU: one is copied in, one computed, one copied out.
constexpr std::size_t under_way_a_gpu = 3;

template <class T>
std::span<T> part(std::vector<T>& all, std::size_t begin, std::size_t count) {
  return std::span(all).subspan(begin, count);
}

// Where one lane's results of a slot go: with one batch in it straight to the batch.
struct Results {
  std::span<float> scores;
  std::span<double> p_values;
  std::span<std::uint8_t> extrapolated;
};

Results results_of(Slot& slot, std::size_t lane) {
  if (slot.segments.size() == 1) {
    const auto [batch, begin, count] = slot.segments[0];
    Scores& scores = batch->scores[lane];
    return {part(scores.score, begin, count), part(scores.p_value, begin, count),
            part(scores.extrapolated, begin, count)};
  }
  return {slot.scores.span().first(slot.count), slot.p_values.span().first(slot.count),
          slot.extrapolated.span().first(slot.count)};
}

void hand_out(Slot& slot, std::size_t lane, const Results& results, bool on_gpu) {
  const bool whole = slot.segments.size() == 1;
  std::size_t at = 0;
  for (const Slot::Segment& segment : slot.segments) {
    const auto [batch, begin, count] = segment;
    Scores& scores = batch->scores[lane];
    scores.on_gpu |= on_gpu;
    if (!whole) {
      std::ranges::copy(results.scores.subspan(at, count), part(scores.score, begin, count).begin());
      std::ranges::copy(results.p_values.subspan(at, count), part(scores.p_value, begin, count).begin());
      std::ranges::copy(results.extrapolated.subspan(at, count),
                        part(scores.extrapolated, begin, count).begin());
    }
    at += count;
  }
}

}  // namespace

Scoring::Scoring(const Clock& clock, Device& cpu, Gpus gpus, const Options& options, Counters& counters)
    : clock_(clock),
      device_(cpu),
      stream_(cpu.stream()),
      gpus_(std::move(gpus)),
      options_(options),
      explain_max_(std::min(options.rows_max, explained_at_a_time)),
      counters_(counters),
      none_refused_(cpu.pinned<std::uint8_t>(options.rows_max)) {
  under_way_.reserve(options_.slots);
  spare_.reserve(options_.slots);
}

bool Scoring::has_room() const {
  // The ring keeps a slot to stage into.
  const std::size_t most = std::min(gpus_.size() * under_way_a_gpu, options_.slots - 1);
  return under_way_.size() < std::max<std::size_t>(most, 1);
}

void Scoring::begin(Slot& slot) {
  UnderWay work;
  work.slot = &slot;
  if (!spare_.empty()) {
    work.trips = std::move(spare_.back());
    spare_.pop_back();
  }
  if (!slot.direct && slot.pinned_by_gpu && !slot.route->lanes.empty()) {
    std::size_t least = gpus_.size();
    for (std::size_t g = 0; g < gpus_.size(); ++g) {
      if (!gpus_[g]->usable()) continue;
      const auto& lanes = slot.route->lanes;
      const auto resident = [g](const auto& lane) { return g < lane->on_gpu.size() && lane->on_gpu[g]; };
      if (!std::ranges::all_of(lanes, resident)) continue;
      if (least == gpus_.size() || gpus_[g]->under_way < gpus_[least]->under_way) least = g;
    }
    if (least < gpus_.size() &&
        (options_.offload_always || slot.route->costs->choose(slot.count) == CostModel::Where::gpu)) {
      begin_on(*gpus_[least], least, work);
    }
  }
  work.begun_ns = clock_.steady_ns();
  under_way_.push_back(std::move(work));
}

void Scoring::begin_on(Gpu& gpu, std::size_t number, UnderWay& work) {
  Slot& slot = *work.slot;
  work.gpu = &gpu;
  ++gpu.under_way;
  try {
    for (std::size_t l = 0; l < slot.route->lanes.size(); ++l) {
      const engine::ModelScorer& scorer = *slot.route->lanes[l]->on_gpu[number];
      engine::RoundTrip& trip = *work.trips.emplace_back(gpu.take());
      trip.make_room(scorer, options_.rows_max);
      trip.begin(scorer, slot.rows(l, options_.rows_max), slot.calibrations_of(l, options_.rows_max));
    }
  } catch (const DeviceError& error) {
    gpu.failed(error);
    fall_back(work, error.what());
  }
}

Slot* Scoring::finish() {
  UnderWay& work = under_way_.front();
  const bool was_on_gpu = work.gpu != nullptr;
  if (was_on_gpu && !collect(work)) return nullptr;
  Slot& slot = *work.slot;
  const std::int64_t now = clock_.steady_ns();
  const std::int64_t begun = std::max(work.begun_ns, last_finished_ns_);
  const bool on_gpu = work.gpu != nullptr;
  if (on_gpu) {
    counters_.slots_scored_on_gpu.add();
    leave(work);
  } else {
    score_on_cpu(slot);
  }
  decide(slot);
  watch_series(slot);
  last_finished_ns_ = clock_.steady_ns();
  // What a GPU was given and the CPU did in the end says nothing about either.
  if (on_gpu == was_on_gpu)
    slot.route->costs->learn(on_gpu ? CostModel::Where::gpu : CostModel::Where::cpu, slot.count,
                             last_finished_ns_ - (on_gpu ? begun : now));
  counters_.slots_scored.add();
  counters_.score.add(last_finished_ns_ - begun);
  spare_.push_back(std::move(work.trips));
  under_way_.erase(under_way_.begin());
  return &slot;
}

// The results of a GPU, if they are there. It may turn out that they never will be: then the work is the
// CPU's.
bool Scoring::collect(UnderWay& work) {
  Slot& slot = *work.slot;
  try {
    for (const auto& trip : work.trips) {
      if (trip->done()) continue;
      if (clock_.steady_ns() - work.begun_ns <= options_.watchdog_ns) return false;
      const char* const why = "a kernel has not ended in time";
      work.gpu->lose(why, true);
      fall_back(work, why);
      return true;
    }
  } catch (const DeviceError& error) {
    work.gpu->failed(error);
    fall_back(work, error.what());
    return true;
  }
  for (std::size_t l = 0; l < work.trips.size(); ++l) {
    const engine::RoundTrip& trip = *work.trips[l];
    const Results results = results_of(slot, l);
    std::ranges::copy(trip.scores(), results.scores.begin());
    std::ranges::copy(trip.p_values(), results.p_values.begin());
    std::ranges::copy(trip.extrapolated(), results.extrapolated.begin());
    engine::settle_refused(slot.refused_of(l, options_.rows_max), results.scores, results.p_values,
                           results.extrapolated);
    hand_out(slot, l, results, true);
  }
  return true;
}

void Scoring::leave(UnderWay& work) {
  for (auto& trip : work.trips) work.gpu->give_back(std::move(trip));
  work.trips.clear();
  --work.gpu->under_way;
  work.gpu = nullptr;
}

// The GPU may still be reading the slot's rows, which does no harm, and writing to its own memory, which is
// kept.
void Scoring::fall_back(UnderWay& work, const char* why) {
  Gpu& gpu = *work.gpu;
  spdlog::error("{}: {}; the batch is scored again on the cpu", gpu.device().description(), why);
  counters_.gpu_failures.add();
  for (auto& trip : work.trips) gpu.abandon(std::move(trip), work.slot->route);
  work.trips.clear();
  --gpu.under_way;
  work.gpu = nullptr;
}

void Scoring::score_on_cpu(Slot& slot) {
  for (std::size_t l = 0; l < slot.route->lanes.size(); ++l) {
    const Results results = results_of(slot, l);
    slot.route->lanes[l]->scorer->score(
        stream_, slot.rows(l, options_.rows_max),
        slot.direct ? std::span<const std::uint8_t>() : slot.refused_of(l, options_.rows_max),
        slot.workspace.span(), results.scores, results.p_values, results.extrapolated,
        slot.calibrations_of(l, options_.rows_max));
    hand_out(slot, l, results, false);
  }
}

void Scoring::decide(Slot& slot) {
  for (std::size_t l = 0; l < slot.route->lanes.size(); ++l) {
    const Lane& lane = *slot.route->lanes[l];
    const std::span<const std::uint8_t> refused =
        slot.direct ? none_refused_.span().first(slot.count) : slot.refused_of(l, options_.rows_max);
    std::size_t at = 0;
    for (const Slot::Segment& segment : slot.segments) {
      const auto [batch, begin, count] = segment;
      Scores& results = batch->scores[l];
      const std::span<const std::int64_t> time = batch->records.time;
      lane.decider->decide(part(results.p_value, begin, count), part(results.extrapolated, begin, count),
                           refused.subspan(at, count), time.empty() ? time : time.subspan(begin, count),
                           part(results.threshold, begin, count), part(results.flag, begin, count),
                           lane.least_p_value);
      if (lane.drift && lane.drift->watch(slot.rows(l, options_.rows_max).slice(at, at + count),
                                          part(results.score, begin, count), refused.subspan(at, count),
                                          part(results.flag, begin, count)))
        spdlog::warn("{}", drift_text(slot.route->stream, lane.name, *lane.drift));
      if (lane.role == Role::active) explain(slot, l, segment, at);
      at += count;
    }
  }
}

void Scoring::watch_series(Slot& slot) {
  for (std::size_t s = 0; s < slot.route->series.size(); ++s) {
    const std::size_t result = slot.route->lanes.size() + s;
    slot.route->series[s]->score(stream_, slot.segments, slot.refused_of(result, options_.rows_max), result);
  }
}

void Scoring::explain(Slot& slot, std::size_t l, const Slot::Segment& segment, std::size_t at) {
  const auto [batch, begin, count] = segment;
  const std::span flags = part(batch->scores[l].flag, begin, count);
  if (!(std::reduce(flags.begin(), flags.end(), std::uint8_t{0}, std::bit_or<>()) & engine::flag_anomalous))
    return;
  const Lane& lane = *slot.route->lanes[l];
  const std::size_t width = lane.width();
  const Rows rows = slot.rows(l, options_.rows_max);
  std::size_t gathered = 0;
  const auto explain_gathered = [&] {
    const MutableRows out{contributions_.data(), gathered, width, width};
    lane.scorer->scorer().contributions(stream_, {rows_.data(), gathered, width, width},
                                        slot.workspace.span(), out);
    batch->flagged_values.insert(batch->flagged_values.end(), rows_.data(), rows_.data() + gathered * width);
    batch->flagged_contributions.insert(batch->flagged_contributions.end(), out.data,
                                        out.data + gathered * width);
    gathered = 0;
  };
  for (std::size_t i = 0; i < count; ++i) {
    if (!(flags[i] & engine::flag_anomalous)) continue;
    if (rows_.size() < explain_max_ * width) {
      rows_ = device_.pinned<float>(explain_max_ * width);
      contributions_ = device_.pinned<float>(explain_max_ * width);
    }
    std::copy_n(rows.row(at + i), width, rows_.data() + gathered * width);
    batch->flagged.push_back({static_cast<std::uint32_t>(begin + i), static_cast<std::uint32_t>(l),
                              batch->flagged_values.size() + gathered * width});
    if (++gathered == explain_max_) explain_gathered();
  }
  if (gathered > 0) explain_gathered();
}

}  // namespace lanner::host
