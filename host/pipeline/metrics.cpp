#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>

#include "host/pipeline/status.hpp"

namespace lanner::host {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

class Families {
 public:
  ClientMetric& add(const std::string& name, const std::string& help, MetricType type, Labels labels = {}) {
    if (families_.empty() || families_.back().name != name) families_.push_back({name, help, type, {}});
    ClientMetric& metric = families_.back().metric.emplace_back();
    metric.label = std::move(labels);
    return metric;
  }
  void counter(const std::string& name, const std::string& help, std::uint64_t value, Labels labels = {}) {
    add(name, help, MetricType::Counter, std::move(labels)).counter.value = static_cast<double>(value);
  }
  void gauge(const std::string& name, const std::string& help, double value, Labels labels = {}) {
    add(name, help, MetricType::Gauge, std::move(labels)).gauge.value = value;
  }
  void durations(const std::string& name, const std::string& help, const Durations& durations,
                 Labels labels) {
    ClientMetric& metric = add(name, help, MetricType::Histogram, std::move(labels));
    const auto counts = durations.counts();
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      sum += counts[i];
      const double bound =
          i < Durations::bounds_s.size() ? Durations::bounds_s[i] : std::numeric_limits<double>::infinity();
      metric.histogram.bucket.push_back({sum, bound});
    }
    metric.histogram.sample_count = sum;
    metric.histogram.sample_sum = durations.sum_s();
  }
  std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  std::vector<MetricFamily> families_;
};

}  // namespace

std::string metrics_text(const Standing& standing, const Counters& counters, const StreamCounterTable& table,
                         const Routes& routes) {
  Families families;
  families.gauge("lanner_build_info", "Constant 1; the version and device are in the labels.", 1,
                 {{"version", LANNER_VERSION}, {"device", standing.device}});
  families.gauge("lanner_uptime_seconds", "Since the start.", standing.uptime_s);
  families.gauge("lanner_ready", "1 while events are taken in.", standing.ready ? 1 : 0);
  families.gauge("lanner_degraded", "Reasons why the host is not all it should be.",
                 static_cast<double>(standing.degraded.size()));

  families.counter("lanner_events_in_total", "Events of decoded batches.", counters.events_in);
  families.counter("lanner_events_scored_total", "Events that were scored.", counters.events_scored);
  families.counter("lanner_events_refused_total", "Events refused inside batches that were taken.",
                   counters.events_refused);
  families.counter("lanner_events_learning_total", "Events that passed while their stream had no model yet.",
                   counters.events_learning);
  families.counter("lanner_alerts_total", "Events flagged by active models.", counters.alerts);
  families.counter("lanner_batches_in_total", "Batches taken in, refused ones included.",
                   counters.batches_in);
  families.counter("lanner_batches_settled_total", "Batches that are through.", counters.batches_settled);
  families.counter("lanner_batches_repeated_total", "Batches that were known already.",
                   counters.batches_repeated);
  families.counter("lanner_bytes_in_total", "Payload bytes received.", counters.bytes_in);
  for (std::size_t i = 0; i < refusal_kinds; ++i)
    families.counter("lanner_refused_total", "Refusals by reason: rows for 'row', messages for the others.",
                     counters.refused[i], {{"reason", std::string(name(static_cast<Refusal>(i)))}});
  families.counter("lanner_published_dropped_total",
                   "LaneIdentity messages at whose sending some subscriber's queue was found full.",
                   counters.published_dropped);
  families.counter("lanner_replies_lost_total", "Answers to producers that were gone or not reading.",
                   counters.replies_lost);
  families.gauge("lanner_producers", "Names of acked producers known.",
                 static_cast<double>(counters.producers));
  families.gauge("lanner_acked_in_flight", "Acked batches taken and not answered yet.",
                 static_cast<double>(counters.acked_in_flight));

  const auto in_flight = standing.batches - std::min<std::uint64_t>(standing.batches, counters.batches_free);
  const std::string depth = "Things waiting before a stage.";
  families.gauge("lanner_queue_depth", depth, static_cast<double>(standing.slots_queued),
                 {{"queue", "score"}});
  families.gauge("lanner_queue_depth", depth, static_cast<double>(standing.batches_queued),
                 {{"queue", "publish"}});
  families.gauge("lanner_queue_depth", depth, static_cast<double>(in_flight), {{"queue", "in_flight"}});

  families.counter("lanner_slots_scored_total", "Slots of rows scored.", counters.slots_scored);
  families.counter("lanner_slots_scored_on_gpu_total", "Slots of rows scored on a GPU.",
                   counters.slots_scored_on_gpu);
  families.counter("lanner_gpu_failures_total", "Slots that a GPU failed on and the CPU scored again.",
                   counters.gpu_failures);
  families.counter("lanner_rows_staged_total", "Rows copied or computed into slots.", counters.rows_staged);
  families.counter("lanner_rows_direct_total", "Rows scored where they lay in the message.",
                   counters.rows_direct);
  families.counter("lanner_results_rows_total", "Rows written to the results.", counters.results_rows);
  families.counter("lanner_results_syncs_total", "Syncs of the results.", counters.results_syncs);
  families.counter("lanner_results_failures_total", "Failures to write the results.",
                   counters.results_failures);
  families.counter("lanner_reloads_total", "Configurations taken over.", counters.reloads);
  families.counter("lanner_reloads_refused_total", "Configurations refused.", counters.reloads_refused);

  const std::string stages = "Time a batch or slot takes in a stage; 'total' from receipt to publication.";
  families.durations("lanner_stage_seconds", stages, counters.intake, {{"stage", "intake"}});
  families.durations("lanner_stage_seconds", stages, counters.score, {{"stage", "score"}});
  families.durations("lanner_stage_seconds", stages, counters.outlet, {{"stage", "publish"}});
  families.durations("lanner_stage_seconds", stages, counters.total, {{"stage", "total"}});

  const auto streams = table.all();
  const auto per_stream = [&](const std::string& name, const std::string& help,
                              Counter StreamCounters::*counter) {
    for (const auto& [stream, values] : streams)
      families.counter(name, help, (*values).*counter, {{"stream", stream}});
  };
  per_stream("lanner_stream_events_in_total", "Events by stream.", &StreamCounters::events_in);
  per_stream("lanner_stream_events_scored_total", "Events scored, by stream.",
             &StreamCounters::events_scored);
  per_stream("lanner_stream_events_refused_total", "Events refused, by stream.",
             &StreamCounters::events_refused);
  per_stream("lanner_stream_events_learning_total", "Events before there was a model, by stream.",
             &StreamCounters::events_learning);
  per_stream("lanner_stream_alerts_total", "Alerts by stream.", &StreamCounters::alerts);
  per_stream("lanner_stream_learn_failures_total", "Fits that failed, by stream.",
             &StreamCounters::learn_failures);
  for (const auto& [outcome, counter] : {std::pair{"taken_over", &StreamCounters::refits},
                                         std::pair{"refused", &StreamCounters::refits_refused},
                                         std::pair{"failed", &StreamCounters::refits_failed}})
    for (const auto& [stream, values] : streams)
      families.counter("lanner_stream_refits_total",
                       "Models fitted again, by stream: taken over; refused for doing worse; failed.",
                       (*values).*counter, {{"stream", stream}, {"outcome", outcome}});
  for (const auto& [stream, route] : routes) {
    families.gauge("lanner_stream_learning", "1 while the stream has no model yet.", route->learning ? 1 : 0,
                   {{"stream", stream}});
  }
  for (const auto& [stream, route] : routes) {
    for (std::size_t i = 0; i < route->results(); ++i) {
      const LaneIdentity& lane = route->identity(i);
      families.gauge("lanner_model_info", "Constant 1; the models at work are in the labels.", 1,
                     {{"stream", stream},
                      {"model", lane.name},
                      {"role", lane.role == Role::active ? "active" : "shadow"},
                      {"detector", lane.detector},
                      {"model_hash", lane.hash}});
    }
  }
  const auto per_watch = [&](const std::string& name, const std::string& help, auto&& value) {
    for (const auto& [stream, route] : routes)
      for (const auto& lane : route->lanes)
        if (lane->drift)
          families.gauge(name, help, value(*lane->drift), {{"stream", stream}, {"model", lane->name}});
  };
  per_watch("lanner_model_drifted", "1 once the guarantee is withdrawn: the data has drifted.",
            [](const Drift& drift) { return drift.withdrawn_at() != 0 ? 1.0 : 0.0; });
  per_watch("lanner_model_drift_distance",
            "Largest Kolmogorov distance, of the score and the watched features, from the calibration rows.",
            [](const Drift& drift) { return static_cast<double>(drift.distances(1).front().second); });
  const auto each_series = [&](auto&& receive) {
    for (const auto& [stream, route] : routes)
      for (const auto& lane : route->series)
        receive(*lane->counters, *lane, Labels{{"stream", stream}, {"model", lane->name}});
  };
  each_series([&](const SeriesCounters& state, const SeriesLane&, Labels labels) {
    families.gauge("lanner_series", "Series that are held, one an entity.",
                   static_cast<double>(state.entities), std::move(labels));
  });
  each_series([&](const SeriesCounters& state, const SeriesLane&, Labels labels) {
    families.gauge("lanner_series_warm", "Of these, those whose warm-up is over.",
                   static_cast<double>(state.warm), std::move(labels));
  });
  each_series([&](const SeriesCounters& state, const SeriesLane&, Labels labels) {
    families.gauge("lanner_series_warm_up_rows", "Rows of warm-ups that have passed.",
                   static_cast<double>(state.warm_up_rows), std::move(labels));
  });
  each_series([&](const SeriesCounters& state, const SeriesLane& lane, Labels labels) {
    families.gauge("lanner_series_warm_up_rows_wanted", "Rows of the warm-ups of all series that are held.",
                   static_cast<double>(state.entities) * static_cast<double>(lane.warm_up),
                   std::move(labels));
  });
  each_series([&](const SeriesCounters& state, const SeriesLane&, Labels labels) {
    families.counter("lanner_series_evicted_total", "Series unseen longest that made way for others.",
                     state.evicted, std::move(labels));
  });
  return families.text();
}

}  // namespace lanner::host
