#include "host/pipeline/outlet.hpp"

#include <algorithm>
#include <array>
#include <exception>

#include <spdlog/spdlog.h>

#include "host/pipeline/routes.hpp"

namespace lanner::host {
namespace {

Bytes bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

template <class T>
Bytes bytes_of(const std::vector<T>& items, std::size_t count) {
  return std::as_bytes(std::span(items.data(), count));
}

}  // namespace

Outlet::Outlet(const Clock& clock, std::vector<Publisher*> publishers, std::unique_ptr<ResultsSink> results,
               OpenResults reopen, std::size_t batches, Counters& counters)
    : clock_(clock),
      publishers_(std::move(publishers)),
      results_(std::move(results)),
      reopen_(std::move(reopen)),
      counters_(counters),
      window_(batches),
      synced_ns_(clock.steady_ns()) {
  group_.reserve(batches);
}

void Outlet::add(Batch& batch) {
  window_[batch.order % window_.size()] = &batch;
}

void Outlet::publish_ready() {
  while (Batch* batch = window_[next_order_ % window_.size()]) {
    window_[next_order_ % window_.size()] = nullptr;
    ++next_order_;
    publish(*batch);
    group_.push_back(batch);
  }
}

void Outlet::send(std::string_view topic, std::span<const Bytes> frames) {
  std::uint64_t dropped = 0;
  for (Publisher* publisher : publishers_) {
    publisher->publish(topic, frames);
    dropped += publisher->dropped();
  }
  counters_.published_dropped.set(dropped);
}

void Outlet::publish(Batch& batch) {
  if (!batch.route) return;
  const std::int64_t begun = clock_.steady_ns();
  const Route& route = *batch.route;
  for (std::size_t l = 0; l < batch.lanes; ++l) {
    const Scores& scores = batch.scores[l];
    const LaneIdentity& lane = route.identity(l);
    (scores.on_gpu ? lane.gpu_header : lane.header).write(header_, batch.producer, batch.seq, batch.rows());
    const std::array frames{bytes_of(header_), bytes_of(scores.score, batch.rows()),
                            bytes_of(scores.p_value, batch.rows()), bytes_of(scores.threshold, batch.rows()),
                            bytes_of(scores.flag, batch.rows())};
    send(route.scores_topic, frames);
  }
  raise_alerts(batch);
  const std::uint64_t scored = batch.lanes > 0 ? batch.rows() - batch.rows_refused : 0;
  const std::uint64_t learning = batch.lanes > 0 ? 0 : batch.rows() - batch.rows_refused;
  counters_.events_scored.add(scored);
  counters_.events_learning.add(learning);
  route.counters->events_scored.add(scored);
  route.counters->events_learning.add(learning);
  const std::int64_t now = clock_.steady_ns();
  counters_.outlet.add(now - begun);
  counters_.total.add(now - batch.received_ns);
}

void Outlet::raise_alerts(Batch& batch) {
  const Route& route = *batch.route;
  for (const Flagged& flagged : batch.flagged) {
    const LaneIdentity& lane = route.identity(flagged.lane);
    const Scores& scores = batch.scores[flagged.lane];
    const std::size_t row = flagged.row, width = lane.features.size();
    event_.clear();
    if (!batch.records.id.empty() && !batch.records.id[row].empty()) {
      event_ = batch.records.id[row];
    } else {
      append_event_name(event_, batch.producer, batch.seq, row);
    }
    values_.resize(width);
    for (std::size_t f = 0; f < width; ++f) {
      const int field = lane.raw_field[f];
      values_[f] = field >= 0 ? batch.records.number(row, static_cast<std::size_t>(field))
                              : static_cast<double>(batch.flagged_values[flagged.first + f]);
    }
    Alert alert;
    alert.stream = route.stream;
    alert.event = event_;
    if (!batch.records.entity.empty()) alert.entity = batch.records.entity[row];
    alert.model = lane.name;
    alert.model_hash = lane.hash;
    if (!batch.records.time.empty()) alert.time = &batch.records.time[row];
    alert.score = scores.score[row];
    alert.base = lane.base;
    alert.expected = flagged.expected;
    alert.p_value = scores.p_value[row];
    alert.threshold = scores.threshold[row];
    alert.flag = scores.flag[row];
    alert.names = lane.features;
    alert.values = values_;
    alert.contributions = std::span(batch.flagged_contributions).subspan(flagged.first, width);
    alerts_.write(header_, alert);
    const std::array frames{bytes_of(header_)};
    send(route.alerts_topic, frames);
  }
  counters_.alerts.add(batch.flagged.size());
  route.counters->alerts.add(batch.flagged.size());
}

void Outlet::append(const Batch& batch) {
  for (std::size_t l = 0; l < batch.lanes; ++l) {
    const LaneIdentity& lane = batch.route->identity(l);
    const Scores& scores = batch.scores[l];
    ScoredRows rows;
    rows.stream = batch.route->stream;
    rows.producer = batch.producer;
    rows.seq = batch.seq;
    rows.count = batch.rows();
    rows.model = lane.name;
    rows.model_hash = lane.hash;
    rows.score = scores.score;
    rows.p_value = scores.p_value;
    rows.threshold = scores.threshold;
    rows.flag = scores.flag;
    if (!batch.records.entity.empty()) rows.entity = &batch.records.entity;
    if (!batch.records.id.empty()) rows.id = &batch.records.id;
    rows.time = batch.records.time;
    if (rows.count > 0) results_->append(rows);
  }
  if (batch.acked) results_->settle(batch.producer, batch.seq);
}

std::span<Batch* const> Outlet::commit() {
  if (!reopen_ || (group_.empty() && !failing_)) return group_;
  if (failing_ && clock_.steady_ns() < retry_ns_) return {};
  try {
    if (!results_) {
      results_ = reopen_();
      appended_ = 0;
    }
    bool awaited = failing_;
    for (; appended_ < group_.size(); ++appended_) {
      append(*group_[appended_]);
      awaited |= group_[appended_]->durable;
    }
    unsynced_ = true;
    if (awaited && !sync()) return {};
    counters_.results_rows.set(results_->rows_written());
    if (failing_) spdlog::info("results: written again");
    failing_ = false;
    appended_ = 0;
    return group_;
  } catch (const std::exception& error) {
    fail(error.what());
    return {};
  }
}

void Outlet::sync_idle() {
  if (unsynced_ && clock_.steady_ns() - synced_ns_ >= second_ns) sync();
}

bool Outlet::sync() {
  if (!results_) return !failing_;
  try {
    results_->sync();
    counters_.results_syncs.add();
    unsynced_ = false;
    synced_ns_ = clock_.steady_ns();
    return true;
  } catch (const std::exception& error) {
    fail(error.what());
    return false;
  }
}

bool Outlet::close() {
  if (!sync()) return false;
  results_.reset();
  return true;
}

void Outlet::fail(std::string_view reason) {
  if (!failing_) spdlog::error("results: {}; nothing is acknowledged until it works again", reason);
  counters_.results_failures.add();
  failing_ = true;
  retry_ns_ = clock_.steady_ns() + second_ns;
  // What the kernel was given and didn't sync may be gone: all of the group is written again, by a new sink.
  results_.reset();
}

void Outlet::publish_status(std::string_view json) {
  for (Publisher* publisher : publishers_) publisher->tend();
  const std::array frames{bytes_of(json)};
  send("status", frames);
}

}  // namespace lanner::host
