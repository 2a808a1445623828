#include "engine/detectors/nearest_neighbours/scorer.hpp"

#include <algorithm>
#include <utility>

#include "engine/detectors/references.hpp"
#include "engine/detectors/slot.hpp"

namespace lanner::engine::nearest_neighbours {

using nearest::Count;

NeighbourScorer::NeighbourScorer(Device& device, std::shared_ptr<const nearest::ReferenceSet> references,
                                 std::size_t k, nearest::Summary summary)
    : references_(std::move(references)),
      index_(nearest::make_index(device, *references_, k)),
      k_(k),
      summary_(summary),
      threads_(device.threads()) {}

std::size_t NeighbourScorer::workspace_bytes(std::size_t rows_max) const {
  const std::size_t block = block_rows(rows_max, k_);
  const std::size_t for_scores = index_->workspace_bytes(rows_max, k_, Count::rows);
  const std::size_t for_contributions = neighbour_bytes(block, k_) + piece_bytes<double>(threads_ * width()) +
                                        index_->workspace_bytes(block, k_, Count::rows);
  return workspace_alignment + std::max(for_scores, for_contributions);
}

void NeighbourScorer::score(Stream& stream, Rows rows, std::span<std::byte> workspace,
                            std::span<float> scores) const {
  check_scores(rows, width(), scores);
  if (rows.count == 0) return;
  nearest::distances(stream, *index_, rows, k_, Count::rows, summary_, {}, WorkspacePieces(workspace).rest(),
                     scores.first(rows.count));
}

void NeighbourScorer::contributions(Stream& stream, Rows rows, std::span<std::byte> workspace,
                                    MutableRows out) const {
  check_contributions(rows, width(), out);
  const std::size_t block = block_rows(rows.count, k_);
  for (std::size_t begin = 0; begin < rows.count; begin += block) {
    const Rows part = rows.slice(begin, std::min(begin + block, rows.count));
    WorkspacePieces pieces(workspace);
    const nearest::Neighbours found = take_neighbours(pieces, block, k_);
    const std::span<double> sums = pieces.take<double>(threads_ * width());
    nearest::search(stream, *index_, part, k_, Count::rows, {}, pieces.rest(), found);
    auto task = [&](std::size_t first, std::size_t last, unsigned worker) {
      for (std::size_t i = first; i < last; ++i)
        split(part.row(i), found, i, sums.subspan(worker * width(), width()), out.row(begin + i));
    };
    stream.for_range(part.count, 1, task);
  }
}

void NeighbourScorer::split(const float* row, const nearest::Neighbours& found, std::size_t i,
                            std::span<double> sums, float* out) const {
  std::fill(sums.begin(), sums.end(), 0.0);
  const std::size_t begin = i * k_, end = begin + found.count[i];
  double taken = 0;
  for (std::size_t e = begin; e < end; ++e) taken += found.taken[e];
  // The k-th distance alone counts for `kth`: its entry is the last.
  for (std::size_t e = summary_ == nearest::Summary::kth ? end - 1 : begin; e < end; ++e) {
    const double share = summary_ == nearest::Summary::kth ? 1 : found.taken[e] / taken;
    add_split(row, references_->view().row(found.row[e]), width(), found.distance[e] * share, sums.data());
  }
  for (std::size_t j = 0; j < width(); ++j) out[j] = finite_float(sums[j]);
}

}  // namespace lanner::engine::nearest_neighbours
