#include "engine/evaluate/server_metrics.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

#include "engine/evaluate/hit_rate.hpp"
#include "engine/evaluate/metrics.hpp"
#include "engine/evaluate/range_metrics.hpp"
#include "engine/evaluate/seconds.hpp"

namespace lanner::engine {
namespace {

// Calls each(begin, end) for every run of labels that aren't 0.
template <class F>
void for_events(std::span<const int> labels, F each) {
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] == 0) continue;
    const std::size_t begin = i;
    while (i < labels.size() && labels[i] != 0) ++i;
    each(begin, i);
  }
}

// Where an event begins that is to be explained, and the detector as it was before it.
struct Before {
  const ExplainedEvent* event;
  std::vector<std::byte> snapshot;
};

std::size_t event_end(const LabelledMachine& machine, const ExplainedEvent& event) {
  const std::vector<int>& labels = machine.labels;
  if (event.begin >= labels.size() || labels[event.begin] == 0 ||
      (event.begin > 0 && labels[event.begin - 1] != 0))
    throw std::invalid_argument(machine.name + ": found an event explained at row " +
                                std::to_string(event.begin) + ", where none begins");
  const auto from = labels.begin() + static_cast<std::ptrdiff_t>(event.begin);
  return static_cast<std::size_t>(std::find(from, labels.end(), 0) - labels.begin());
}

void add_hits(const LabelledMachine& machine, const ExplainedEvent& event,
              std::span<const double> contributions, MachineEvaluation& out) {
  const std::size_t listed = event.metrics.size();
  // Looking at one metric for one listed of g finds at most 1 / g of them.
  const double one = 1 / static_cast<double>(listed);
  out.hits.first += hit_rate(contributions, event.metrics, one) / one;
  out.hits.hit_rate_100 += hit_rate(contributions, event.metrics, 1);
  out.hits.hit_rate_150 += hit_rate(contributions, event.metrics, 1.5);
  out.random_hits.first += static_cast<double>(listed) / static_cast<double>(machine.metrics);
  out.random_hits.hit_rate_100 += random_hit_rate(machine.metrics, listed, 1);
  out.random_hits.hit_rate_150 += random_hit_rate(machine.metrics, listed, 1.5);
}

// A second pass over the events alone: which row is the highest is known only after the first.
void explain(const LabelledMachine& machine, std::span<const float> scores, std::span<const Before> events,
             MultivariateDetector& detector, MachineEvaluation& out) {
  std::vector<double> contributions(machine.metrics);
  for (const auto& [event, snapshot] : events) {
    const auto first = scores.begin() + static_cast<std::ptrdiff_t>(event->begin);
    const auto last = scores.begin() + static_cast<std::ptrdiff_t>(event_end(machine, *event));
    const auto rows = static_cast<std::size_t>(std::max_element(first, last) - first) + 1;
    detector.restore(snapshot);
    detector.push_rows(
        std::span(machine.test).subspan(event->begin * machine.metrics, rows * machine.metrics));
    detector.contributions(contributions);
    add_hits(machine, *event, contributions, out);
  }
  const auto count = static_cast<double>(events.size());
  for (HitRates* rates : {&out.hits, &out.random_hits})
    for (double* rate : {&rates->first, &rates->hit_rate_100, &rates->hit_rate_150}) *rate /= count;
  out.events_explained = events.size();
}

}  // namespace

std::size_t event_count(std::span<const int> labels) {
  std::size_t events = 0;
  for_events(labels, [&](std::size_t, std::size_t) { ++events; });
  return events;
}

double event_recall(std::span<const int> labels, std::span<const float> scores, double share) {
  if (labels.size() != scores.size()) throw std::invalid_argument("there must be a label for every score");
  std::vector<float> normal;
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (labels[i] == 0) normal.push_back(scores[i]);
  std::sort(normal.begin(), normal.end(), std::greater<>());
  const auto allowed = static_cast<std::size_t>(share * static_cast<double>(normal.size()));
  const float most_quiet =
      allowed < normal.size() ? normal[allowed] : -std::numeric_limits<float>::infinity();
  double events = 0, found = 0;
  for_events(labels, [&](std::size_t begin, std::size_t end) {
    const auto event = scores.subspan(begin, end - begin);
    found += *std::max_element(event.begin(), event.end()) > most_quiet;
    ++events;
  });
  return events > 0 ? found / events : std::numeric_limits<double>::quiet_NaN();
}

MachineEvaluation evaluate_machine(Device& device, const LabelledMachine& machine,
                                   const MultivariateParameters& parameters) {
  if (machine.metrics == 0 || machine.labels.size() * machine.metrics != machine.test.size())
    throw std::invalid_argument(machine.name + ": there must be a label for every test row");
  for (const ExplainedEvent& event : machine.explained) event_end(machine, event);
  const auto fit_start = std::chrono::steady_clock::now();
  MultivariateDetector detector(device, std::make_shared<const MultivariateModel>(
                                            fit_multivariate(machine.train, machine.metrics, parameters)));
  MachineEvaluation out;
  out.fit_s = seconds_since(fit_start);

  std::vector<float> scores;
  std::vector<Before> events;
  const auto score_until = [&](std::size_t end) {
    const std::size_t begin = scores.size();
    if (begin == end) return;
    const auto start = std::chrono::steady_clock::now();
    const std::vector<double> wide = detector.push_rows(
        std::span(machine.test).subspan(begin * machine.metrics, (end - begin) * machine.metrics));
    out.score_s += seconds_since(start);
    scores.insert(scores.end(), wide.begin(), wide.end());
  };
  for (const ExplainedEvent& event : machine.explained) {
    score_until(event.begin);
    events.push_back({&event, detector.snapshot()});
  }
  score_until(machine.labels.size());
  explain(machine, scores, events, detector, out);

  out.name = machine.name;
  out.rows = scores.size();
  out.events = event_count(machine.labels);
  out.auc_roc = auc_roc(machine.labels, scores);
  out.average_precision = average_precision(machine.labels, scores);
  out.vus_pr = vus_pr(machine.labels, scores, range_buffer_max);
  out.event_recall = event_recall(machine.labels, scores, false_alarm_share);
  return out;
}

}  // namespace lanner::engine
