#include "engine/detectors/ensemble/scorer.hpp"

#include <algorithm>
#include <cmath>

#include "engine/detectors/slot.hpp"
#include "kernels/blend/blend_formula.hpp"

namespace lanner::engine::ensemble {

namespace {

// Explained together: bounds the workspace, whatever the batch.
constexpr std::size_t explained_block = 32;

}  // namespace

struct EnsembleScorer::Pieces {
  MutableRows mapped;
  std::span<float> scores;
  std::span<std::byte> rest;
};

EnsembleScorer::EnsembleScorer(Device& device, std::shared_ptr<const Learned> learned)
    : learned_(std::move(learned)), blend_(blend::make_blend(device, learned_->blend)) {
  std::vector<float> bases;
  for (const Member& member : learned_->members) {
    members_.push_back(
        {member.map ? mlp::make_resident(device, *member.map) : nullptr, member.fitted->resident(device)});
    bases.push_back(members_.back().scorer->base());
  }
  base_ = blend::blended(learned_->blend.data(), bases.size(), bases.data(), 1);
}

std::size_t EnsembleScorer::workspace_bytes(std::size_t rows_max) const {
  const auto of_members = [&](std::size_t rows) {
    std::size_t most = 0;
    for (const Resident& member : members_) {
      most = std::max(most, member.scorer->workspace_bytes(rows));
      if (member.map) most = std::max(most, member.map->workspace_bytes(rows));
    }
    return workspace_alignment + piece_bytes<float>(rows * width()) +
           piece_bytes<float>(rows * members_.size()) + most;
  };
  const std::size_t block = std::min(rows_max, explained_block);
  const std::size_t explained = piece_bytes<float>(block) + piece_bytes<float>(block * width()) +
                                piece_bytes<double>(block * width()) + of_members(block);
  return workspace_alignment + std::max(of_members(rows_max), explained);
}

EnsembleScorer::Pieces EnsembleScorer::cut(std::span<std::byte> workspace, std::size_t rows) const {
  WorkspacePieces pieces(workspace);
  const std::span<float> mapped = pieces.take<float>(rows * width());
  const std::span<float> scores = pieces.take<float>(rows * members_.size());
  return {{mapped.data(), rows, width(), width()}, scores, pieces.rest()};
}

Rows EnsembleScorer::mapped(Stream& stream, const Resident& member, Rows rows, const Pieces& pieces) const {
  if (!member.map) return rows;
  mlp::forward(stream, *member.map, rows, pieces.rest, pieces.mapped);
  return {pieces.mapped.data, rows.count, width(), width()};
}

void EnsembleScorer::score_members(Stream& stream, Rows rows, const Pieces& pieces) const {
  for (std::size_t m = 0; m < members_.size(); ++m)
    members_[m].scorer->score(stream, mapped(stream, members_[m], rows, pieces), pieces.rest,
                              pieces.scores.subspan(m * rows.count, rows.count));
}

void EnsembleScorer::score(Stream& stream, Rows rows, std::span<std::byte> workspace,
                           std::span<float> scores) const {
  check_scores(rows, width(), scores);
  if (rows.count == 0) return;
  const Pieces pieces = cut(workspace, rows.count);
  score_members(stream, rows, pieces);
  blend::blend(stream, *blend_, pieces.scores, rows.count, scores.first(rows.count));
}

// Of the member's part in the blend over its score, from its base to here.
double EnsembleScorer::slope_of(std::size_t member, float member_score) const {
  const double offset = static_cast<double>(learned_->blend[member].offset);
  const double weight = static_cast<double>(learned_->blend[member].weight);
  const double base = std::max(static_cast<double>(members_[member].scorer->base()), 0.0);
  const double score = std::max(static_cast<double>(member_score), 0.0);
  if (score == base) return weight / (score + offset);
  return weight * (std::log(score + offset) - std::log(base + offset)) / (score - base);
}

std::size_t EnsembleScorer::highest_member(const float* scores, std::size_t stride) const {
  std::size_t highest = 0;
  for (std::size_t m = 1; m < members_.size(); ++m)
    if (blend::scaled(learned_->blend[m], scores[m * stride]) >
        blend::scaled(learned_->blend[highest], scores[highest * stride]))
      highest = m;
  return highest;
}

void EnsembleScorer::contributions(Stream& stream, Rows rows, std::span<std::byte> workspace,
                                   MutableRows out) const {
  check_contributions(rows, width(), out);
  explain_in_blocks(explained_block, rows, out,
                    [&](Rows block, MutableRows of_block) { explain(stream, block, workspace, of_block); });
}

void EnsembleScorer::explain(Stream& stream, Rows rows, std::span<std::byte> workspace,
                             MutableRows out) const {
  WorkspacePieces own(workspace);
  const std::span<float> scores = own.take<float>(rows.count);
  const std::span<float> parts = own.take<float>(rows.count * width());
  const std::span<double> sums = own.take<double>(rows.count * width());
  const Pieces pieces = cut(own.rest(), rows.count);
  score_members(stream, rows, pieces);
  blend::blend(stream, *blend_, pieces.scores, rows.count, scores);
  std::fill(sums.begin(), sums.end(), 0.0);
  for (std::size_t m = 0; m < members_.size(); ++m) {
    members_[m].scorer->contributions(stream, mapped(stream, members_[m], rows, pieces), pieces.rest,
                                      {parts.data(), rows.count, width(), width()});
    for (std::size_t i = 0; i < rows.count; ++i) {
      const double slope = slope_of(m, pieces.scores[m * rows.count + i]);
      const bool highest = highest_member(pieces.scores.data() + i, rows.count) == m;
      const double share = 0.5 / static_cast<double>(members_.size()) + (highest ? 0.5 : 0);
      for (std::size_t j = 0; j < width(); ++j)
        sums[i * width() + j] += share * slope * static_cast<double>(parts[i * width() + j]);
    }
  }
  for (std::size_t i = 0; i < rows.count; ++i) {
    const std::span<const double> row = sums.subspan(i * width(), width());
    double sum = static_cast<double>(base_), sizes = 0;
    for (const double part : row) {
      sum += part;
      sizes += std::fabs(part);
    }
    const double left = sizes > 0 ? (static_cast<double>(scores[i]) - sum) / sizes : 0;
    for (std::size_t j = 0; j < width(); ++j) out.row(i)[j] = finite_float(row[j] + left * std::fabs(row[j]));
  }
}

}  // namespace lanner::engine::ensemble
