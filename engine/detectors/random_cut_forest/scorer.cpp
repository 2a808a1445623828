#include "engine/detectors/random_cut_forest/scorer.hpp"

#include "engine/detectors/slot.hpp"

namespace lanner::engine::random_cut_forest {

CutForestScorer::CutForestScorer(Device& device, const Grown& grown)
    : forest_(cut_forest::make_resident(device, grown.forest)), base_(score_at_leaves(grown)) {}

std::size_t CutForestScorer::workspace_bytes(std::size_t) const {
  return workspace_alignment + forest_->workspace_bytes();
}

void CutForestScorer::score(Stream& stream, Rows rows, std::span<std::byte> workspace,
                            std::span<float> scores) const {
  check_scores(rows, width(), scores);
  if (rows.count > 0)
    cut_forest::separation(stream, *forest_, rows, WorkspacePieces(workspace).rest(),
                           scores.first(rows.count));
}

void CutForestScorer::contributions(Stream& stream, Rows rows, std::span<std::byte> workspace,
                                    MutableRows out) const {
  check_contributions(rows, width(), out);
  if (rows.count > 0)
    cut_forest::attribution(stream, *forest_, rows, WorkspacePieces(workspace).rest(), base_, out);
}

}  // namespace lanner::engine::random_cut_forest
