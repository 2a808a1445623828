#include "engine/detectors/loda/scorer.hpp"

#include <algorithm>

#include "engine/detectors/slot.hpp"

namespace lanner::engine::loda {
namespace {

// Explained together: bounds the workspace, whatever the batch.
constexpr std::size_t explained_block = 64;

}  // namespace

ProjectionScorer::ProjectionScorer(Device& device, std::shared_ptr<const Learned> learned)
    : network_(mlp::make_resident(device, learned->projections)),
      tables_(density::make_histograms(device, learned->tables)) {
  const mlp::Layer& layer = learned->projections.layers.front();
  for (std::size_t j = 0; j < layer.inputs; ++j) {
    for (std::size_t p = 0; p < layer.outputs; ++p)
      if (layer.weight[p * layer.inputs + j] != 0) users_.push_back(static_cast<std::uint32_t>(p));
    user_begin_.push_back(users_.size());
  }
}

std::size_t ProjectionScorer::workspace_bytes(std::size_t rows_max) const {
  const std::size_t block = std::min(rows_max, explained_block);
  const std::size_t scored =
      piece_bytes<float>(rows_max * projections()) + network_->workspace_bytes(rows_max);
  const std::size_t explained = piece_bytes<float>(block) + 2 * piece_bytes<float>(block * projections()) +
                                network_->workspace_bytes(block);
  return workspace_alignment + std::max(scored, explained);
}

void ProjectionScorer::score(Stream& stream, Rows rows, std::span<std::byte> workspace,
                             std::span<float> scores) const {
  check_scores(rows, width(), scores);
  if (rows.count == 0) return;
  WorkspacePieces pieces(workspace);
  const MutableRows projected = {pieces.take<float>(rows.count * projections()).data(), rows.count,
                                 projections(), projections()};
  mlp::forward(stream, *network_, rows, pieces.rest(), projected);
  density::look_up(stream, *tables_, projected, scores.first(rows.count), {});
}

void ProjectionScorer::contributions(Stream& stream, Rows rows, std::span<std::byte> workspace,
                                     MutableRows out) const {
  check_contributions(rows, width(), out);
  explain_in_blocks(explained_block, rows, out,
                    [&](Rows block, MutableRows of_block) { explain(stream, block, workspace, of_block); });
}

void ProjectionScorer::explain(Stream& stream, Rows rows, std::span<std::byte> workspace,
                               MutableRows out) const {
  WorkspacePieces pieces(workspace);
  const std::span<float> scores = pieces.take<float>(rows.count);
  const std::size_t values = rows.count * projections();
  const MutableRows projected = {pieces.take<float>(values).data(), rows.count, projections(), projections()};
  const std::span<float> penalties = pieces.take<float>(values);
  mlp::forward(stream, *network_, rows, pieces.rest(), projected);
  density::look_up(stream, *tables_, projected, scores,
                   {penalties.data(), rows.count, projections(), projections()});
  for (std::size_t i = 0; i < rows.count; ++i)
    split(penalties.subspan(i * projections(), projections()), scores[i], {out.row(i), width()});
}

void ProjectionScorer::split(std::span<const float> penalties, float score, std::span<float> out) const {
  double all = 0, positive = 0;
  for (const float penalty : penalties) all += static_cast<double>(penalty);
  for (std::size_t j = 0; j < out.size(); ++j) {
    const std::size_t users = user_begin_[j + 1] - user_begin_[j], others = penalties.size() - users;
    double of_users = 0;
    for (std::size_t u = user_begin_[j]; u < user_begin_[j + 1]; ++u)
      of_users += static_cast<double>(penalties[users_[u]]);
    const double difference = users == 0 || others == 0 ? 0
                                                        : of_users / static_cast<double>(users) -
                                                              (all - of_users) / static_cast<double>(others);
    out[j] = static_cast<float>(std::max(difference, 0.0));
    positive += static_cast<double>(out[j]);
  }
  const double whole = static_cast<double>(score);
  for (float& part : out)
    part = static_cast<float>(positive > 0 ? whole * (static_cast<double>(part) / positive)
                                           : whole / static_cast<double>(out.size()));
}

}  // namespace lanner::engine::loda
