#include "engine/refit/gate.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

#include "engine/evaluate/metrics.hpp"
#include "engine/features/row_pieces.hpp"
#include "engine/refit/planted.hpp"

namespace lanner::engine {
namespace {

constexpr double flagged_at = 0.01;
constexpr double deviations_allowed = 4;
constexpr std::size_t rows_a_piece = 1024;

struct Scored {
  std::vector<float> scores;
  std::vector<double> p_values;
  std::vector<std::uint8_t> refused;
};

class Side {
 public:
  Side(Device& device, std::shared_ptr<const Model> model)
      : device_(device),
        scorer_(std::move(model), device),
        room_(device.pinned<float>(rows_a_piece * scorer_.model().features().width())),
        workspace_(device.array<std::byte>(scorer_.workspace_bytes(rows_a_piece))) {}

  Scored score(const Records& before, const Records& records) {
    const FeaturePlan& plan = scorer_.model().features();
    const auto state = plan.make_state();
    if (state) {
      RowPieces passing(plan, before, state.get(), room_.span());
      while (passing.next()) {
      }
    }
    Scored out{std::vector<float>(records.count), std::vector<double>(records.count, 1.0),
               std::vector<std::uint8_t>(records.count)};
    std::vector<std::uint8_t> extrapolated(rows_a_piece);
    std::vector<std::uint32_t> segments(rows_a_piece);
    Stream stream = device_.stream();
    RowPieces pieces(plan, records, state.get(), room_.span());
    while (pieces.next()) {
      const std::size_t begin = pieces.begin(), count = pieces.end() - begin;
      std::ranges::copy(pieces.refused(), out.refused.begin() + static_cast<std::ptrdiff_t>(begin));
      scorer_.model().segments_of(records, begin, pieces.end(), std::span(segments).first(count));
      scorer_.score(stream, pieces.rows(), pieces.refused(), workspace_.span(),
                    std::span(out.scores).subspan(begin, count),
                    std::span(out.p_values).subspan(begin, count), std::span(extrapolated).first(count),
                    std::span(segments).first(count));
    }
    return out;
  }

 private:
  Device& device_;
  ModelScorer scorer_;
  Pinned<float> room_;
  Array<std::byte> workspace_;
};

struct Result {
  std::size_t flagged = 0;
  double ranked = 0;
};

}  // namespace

Gate compare(Device& device, const std::shared_ptr<const Model>& now,
             const std::shared_ptr<const Model>& next, const Records& before, const Records& held_out,
             std::uint64_t seed) {
  const Planted planted = plant(now->features(), held_out, seed);
  Side sides[] = {{device, now}, {device, next}};
  Scored usual[2], altered[2];
  for (std::size_t i = 0; i < 2; ++i) {
    usual[i] = sides[i].score(before, held_out);
    altered[i] = sides[i].score(before, planted.records);
  }
  Gate gate;
  std::vector<int> labels;
  std::vector<float> scores[2];
  for (std::size_t row = 0; row < held_out.count; ++row) {
    if (!usual[0].refused[row] && !usual[1].refused[row]) {
      ++gate.events;
      gate.flagged_now += usual[0].p_values[row] <= flagged_at;
      gate.flagged_next += usual[1].p_values[row] <= flagged_at;
    }
    if (altered[0].refused[row] || altered[1].refused[row]) continue;
    labels.push_back(planted.altered[row]);
    gate.planted += static_cast<std::size_t>(planted.altered[row]);
    for (std::size_t i = 0; i < 2; ++i) scores[i].push_back(altered[i].scores[row]);
  }
  if (gate.planted > 0) {
    gate.ranked_now = auc_roc(labels, scores[0]);
    gate.ranked_next = auc_roc(labels, scores[1]);
  }
  const double events = static_cast<double>(gate.events),
               rows = next->calibration() ? static_cast<double>(next->calibration()->scores.size()) : events;
  gate.flagged_allowed = static_cast<std::size_t>(
      events * flagged_at + deviations_allowed * std::sqrt(events * flagged_at * (1 - flagged_at) *
                                                           (1 + events / std::max(rows, 1.0))));
  return gate;
}

std::string Gate::text() const {
  char text[320];
  std::snprintf(
      text, sizeof text,
      "on %zu recent events it flags %zu at .01 (the model at work %zu, allowed %zu) and ranks %zu planted "
      "anomalies at %.3f (%.3f)%s%s",
      events, flagged_next, flagged_now, flagged_allowed, planted, ranked_next, ranked_now,
      flags_no_worse() ? "" : "; too many flags", ranks_no_worse() ? "" : "; ranked lower");
  return text;
}

}  // namespace lanner::engine
