#include "engine/detectors/autoencoder/scorer.hpp"

#include "engine/detectors/slot.hpp"

namespace lanner::engine::autoencoder {

std::size_t AutoencoderScorer::workspace_bytes(std::size_t rows_max) const {
  return workspace_alignment + piece_bytes<float>(rows_max) + network_->workspace_bytes(rows_max);
}

void AutoencoderScorer::score(Stream& stream, Rows rows, std::span<std::byte> workspace,
                              std::span<float> scores) const {
  check_scores(rows, width(), scores);
  if (rows.count > 0)
    mlp::reconstruction_error(stream, *network_, rows, workspace, scores.first(rows.count), {});
}

void AutoencoderScorer::contributions(Stream& stream, Rows rows, std::span<std::byte> workspace,
                                      MutableRows out) const {
  check_contributions(rows, width(), out);
  if (rows.count == 0) return;
  WorkspacePieces pieces(workspace);
  const std::span<float> scores = pieces.take<float>(rows.count);
  out.count = rows.count;
  mlp::reconstruction_error(stream, *network_, rows, pieces.rest(), scores, out);
}

}  // namespace lanner::engine::autoencoder
