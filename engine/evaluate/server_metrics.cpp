#include "engine/evaluate/server_metrics.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>

#include "engine/evaluate/metrics.hpp"
#include "engine/evaluate/range_metrics.hpp"

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

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
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
  const auto fit_start = std::chrono::steady_clock::now();
  MultivariateDetector detector(device, std::make_shared<const MultivariateModel>(
                                            fit_multivariate(machine.train, machine.metrics, parameters)));
  const double fit_s = seconds_since(fit_start);
  const auto score_start = std::chrono::steady_clock::now();
  const std::vector<double> wide = detector.push_rows(machine.test);
  const double score_s = seconds_since(score_start);
  const std::vector<float> scores(wide.begin(), wide.end());
  return {machine.name,
          scores.size(),
          event_count(machine.labels),
          auc_roc(machine.labels, scores),
          average_precision(machine.labels, scores),
          vus_pr(machine.labels, scores, range_buffer_max),
          event_recall(machine.labels, scores, false_alarm_share),
          fit_s,
          score_s};
}

}  // namespace lanner::engine
