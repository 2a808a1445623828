#include "engine/detectors/isolation_forest/scorer.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/detectors/slot.hpp"
#include "kernels/forest/forest_formula.hpp"

namespace lanner::engine::isolation_forest {

IsolationScorer::IsolationScorer(Device& device, std::shared_ptr<const Grown> grown)
    : grown_(std::move(grown)),
      forest_(forest::make_resident(device, grown_->forest)),
      threads_(device.threads()) {
  const forest::Forest& forest = grown_->forest;
  for (std::size_t t = 0; t < forest.trees(); ++t) expected_ += forest.length[forest.tree_begin[t]];
}

std::size_t IsolationScorer::workspace_bytes(std::size_t) const {
  return workspace_alignment + std::max(forest_->workspace_bytes(), piece_bytes<double>(threads_ * width()));
}

void IsolationScorer::score(Stream& stream, Rows rows, std::span<std::byte> workspace,
                            std::span<float> scores) const {
  check_scores(rows, width(), scores);
  if (rows.count > 0)
    forest::isolation(stream, *forest_, rows, WorkspacePieces(workspace).rest(), scores.first(rows.count));
}

double IsolationScorer::score_of(double length) const {
  return forest::isolation_of(length, grown_->forest.rate);
}

float IsolationScorer::base() const {
  return static_cast<float>(score_of(expected_));
}

void IsolationScorer::contributions(Stream& stream, Rows rows, std::span<std::byte> workspace,
                                    MutableRows out) const {
  check_contributions(rows, width(), out);
  if (rows.count == 0) return;
  const std::span<double> moved = WorkspacePieces(workspace).take<double>(threads_ * width());
  auto task = [&](std::size_t begin, std::size_t end, unsigned worker) {
    for (std::size_t i = begin; i < end; ++i)
      split(rows.row(i), moved.subspan(worker * width(), width()), out.row(i));
  };
  stream.for_range(rows.count, 16, task);
}

double IsolationScorer::attribute(const float* row, std::span<double> moved) const {
  const forest::Forest& forest = grown_->forest;
  std::fill(moved.begin(), moved.end(), 0.0);
  double length = 0;
  for (std::size_t t = 0; t < forest.trees(); ++t) {
    const std::size_t begin = forest.tree_begin[t];
    std::size_t at = begin;
    while (forest.left[at] != 0) {
      const std::uint32_t feature = forest.feature[at];
      const std::size_t next =
          begin + forest.left[at] + static_cast<std::size_t>(row[feature] > forest.threshold[at]);
      moved[feature] += static_cast<double>(forest.length[next]) - static_cast<double>(forest.length[at]);
      at = next;
    }
    length += static_cast<double>(forest.length[at]);
  }
  for (std::size_t c = 0; c < forest.constants(); ++c) {
    const std::uint32_t feature = forest.constant_feature[c];
    if (row[feature] == forest.constant_value[c]) continue;
    moved[feature] -= forest.unseen;
    length -= forest.unseen;
  }
  return length;
}

void IsolationScorer::split(const float* row, std::span<double> moved, float* out) const {
  const double length = attribute(row, moved);
  const double score = score_of(length), above = length - expected_;
  const double slope = above == 0 ? -grown_->forest.rate * score : (score - score_of(expected_)) / above;
  double sum = 0, sizes = 0;
  for (const double part : moved) {
    sum += part * slope;
    sizes += std::fabs(part * slope);
  }
  // The score and the base are float32: what their rounding leaves over.
  const double rest = static_cast<double>(static_cast<float>(score)) - static_cast<double>(base()) - sum;
  const double spread = sizes > 0 ? rest / sizes : 0;
  for (std::size_t j = 0; j < width(); ++j)
    out[j] = static_cast<float>(moved[j] * slope + std::fabs(moved[j] * slope) * spread);
}

}  // namespace lanner::engine::isolation_forest
