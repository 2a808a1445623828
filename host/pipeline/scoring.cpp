#include "host/pipeline/scoring.hpp"

#include <algorithm>

namespace lanner::host {
namespace {

// Flagged rows explained at a time: few are, and the rest of them wait a moment longer.
constexpr std::size_t explained_at_a_time = 64;

template <class T>
std::span<T> part(std::vector<T>& all, std::size_t begin, std::size_t count) {
  return std::span(all).subspan(begin, count);
}

}  // namespace

Scoring::Scoring(const Clock& clock, Device& device, std::size_t rows_max, Counters& counters)
    : clock_(clock),
      device_(device),
      stream_(device.stream()),
      rows_max_(rows_max),
      explain_max_(std::min(rows_max, explained_at_a_time)),
      counters_(counters),
      none_refused_(device.pinned<std::uint8_t>(rows_max)) {}

void Scoring::score(Slot& slot) {
  const std::int64_t begun = clock_.steady_ns();
  // The results of a slot with one batch in it are written where they belong at once.
  const bool whole = slot.segments.size() == 1;
  for (std::size_t l = 0; l < slot.route->lanes.size(); ++l) {
    const Lane& lane = *slot.route->lanes[l];
    const std::span<const std::uint8_t> refused =
        slot.direct ? none_refused_.span().first(slot.count) : slot.refused_of(l, rows_max_);
    std::span<float> scores = slot.scores.span().first(slot.count);
    std::span<double> p_values = slot.p_values.span().first(slot.count);
    std::span<std::uint8_t> extrapolated = slot.extrapolated.span().first(slot.count);
    if (whole) {
      const auto [batch, begin, count] = slot.segments[0];
      scores = part(batch->scores[l].score, begin, count);
      p_values = part(batch->scores[l].p_value, begin, count);
      extrapolated = part(batch->scores[l].extrapolated, begin, count);
    }
    lane.scorer->score(stream_, slot.rows(l, rows_max_),
                       slot.direct ? std::span<const std::uint8_t>() : refused, slot.workspace.span(), scores,
                       p_values, extrapolated);

    std::size_t at = 0;
    for (const Slot::Segment& segment : slot.segments) {
      const auto [batch, begin, count] = segment;
      Scores& results = batch->scores[l];
      if (!whole) {
        std::copy_n(scores.begin() + static_cast<std::ptrdiff_t>(at), count,
                    results.score.begin() + static_cast<std::ptrdiff_t>(begin));
        std::copy_n(p_values.begin() + static_cast<std::ptrdiff_t>(at), count,
                    results.p_value.begin() + static_cast<std::ptrdiff_t>(begin));
        std::copy_n(extrapolated.begin() + static_cast<std::ptrdiff_t>(at), count,
                    results.extrapolated.begin() + static_cast<std::ptrdiff_t>(begin));
      }
      const std::span<const std::int64_t> time = batch->records.time;
      lane.decider->decide(part(results.p_value, begin, count), part(results.extrapolated, begin, count),
                           refused.subspan(at, count), time.empty() ? time : time.subspan(begin, count),
                           part(results.threshold, begin, count), part(results.flag, begin, count));
      if (lane.role == Role::active) explain(slot, l, segment, at);
      at += count;
    }
  }
  counters_.slots_scored.add();
  counters_.score.add(clock_.steady_ns() - begun);
}

void Scoring::explain(Slot& slot, std::size_t l, const Slot::Segment& segment, std::size_t at) {
  const auto [batch, begin, count] = segment;
  const std::vector<std::uint8_t>& flags = batch->scores[l].flag;
  const Lane& lane = *slot.route->lanes[l];
  const std::size_t width = lane.width();
  const Rows rows = slot.rows(l, rows_max_);
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
    if (!(flags[begin + i] & engine::flag_anomalous)) continue;
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
