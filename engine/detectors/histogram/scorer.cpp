#include "engine/detectors/histogram/scorer.hpp"

#include "engine/detectors/slot.hpp"

namespace lanner::engine::histogram {

std::size_t HistogramScorer::workspace_bytes(std::size_t rows_max) const {
  return workspace_alignment + piece_bytes<float>(rows_max);
}

void HistogramScorer::score(Stream& stream, Rows rows, std::span<std::byte>, std::span<float> scores) const {
  check_scores(rows, width(), scores);
  if (rows.count > 0) density::look_up(stream, *histograms_, rows, scores.first(rows.count), {});
}

void HistogramScorer::contributions(Stream& stream, Rows rows, std::span<std::byte> workspace,
                                    MutableRows out) const {
  check_contributions(rows, width(), out);
  if (rows.count == 0) return;
  WorkspacePieces pieces(workspace);
  density::look_up(stream, *histograms_, rows, pieces.take<float>(rows.count), out);
}

}  // namespace lanner::engine::histogram
