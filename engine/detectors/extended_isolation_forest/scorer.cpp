#include "engine/detectors/extended_isolation_forest/scorer.hpp"

#include "engine/detectors/slot.hpp"

namespace lanner::engine::extended_isolation_forest {

ObliqueForestScorer::ObliqueForestScorer(Device& device, const oblique_forest::ObliqueForest& forest)
    : forest_(oblique_forest::make_resident(device, forest)),
      score_(forest.rate, length_at_roots(forest.length, forest.tree_begin)) {}

std::size_t ObliqueForestScorer::workspace_bytes(std::size_t rows_max) const {
  return workspace_alignment + piece_bytes<double>(rows_max) + forest_->workspace_bytes();
}

void ObliqueForestScorer::score(Stream& stream, Rows rows, std::span<std::byte> workspace,
                                std::span<float> scores) const {
  check_scores(rows, width(), scores);
  if (rows.count > 0)
    oblique_forest::isolation(stream, *forest_, rows, WorkspacePieces(workspace).rest(),
                              scores.first(rows.count));
}

void ObliqueForestScorer::contributions(Stream& stream, Rows rows, std::span<std::byte> workspace,
                                        MutableRows out) const {
  check_contributions(rows, width(), out);
  if (rows.count == 0) return;
  WorkspacePieces pieces(workspace);
  const std::span<double> lengths = pieces.take<double>(rows.count);
  oblique_forest::attribution(stream, *forest_, rows, pieces.rest(), out, lengths);
  for (std::size_t i = 0; i < rows.count; ++i)
    score_.split(std::span(out.row(i), width()), lengths[i], out.row(i));
}

}  // namespace lanner::engine::extended_isolation_forest
