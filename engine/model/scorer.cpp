#include <algorithm>
#include <limits>
#include <stdexcept>

#include "engine/model/model.hpp"

namespace lanner::engine {

ModelScorer::ModelScorer(std::shared_ptr<const Model> model, Device& device)
    : model_(std::move(model)), scorer_(model_->fitted().resident(device)) {
  if (!model_->calibration()) return;
  std::vector<tail::Calibration> calibrations{*model_->calibration()};
  if (const auto& segments = model_->segments())
    calibrations.insert(calibrations.end(), segments->own.begin(), segments->own.end());
  tail_ = tail::make_tail(device, calibrations);
}

std::size_t ModelScorer::workspace_bytes(std::size_t rows_max) const {
  return scorer_->workspace_bytes(rows_max);
}

void ModelScorer::score_on_device(Stream& stream, Rows rows, std::span<std::byte> workspace,
                                  std::span<float> scores, std::span<double> p_values,
                                  std::span<std::uint8_t> extrapolated,
                                  std::span<const std::uint32_t> segments) const {
  const std::size_t n = rows.count;
  if (scores.size() < n || p_values.size() < n || extrapolated.size() < n)
    throw std::invalid_argument("there is no room for every row's score");
  scorer_->score(stream, rows, workspace, scores.first(n));
  if (!model_->segments()) segments = {};
  if (tail_)
    tail::p_values(stream, *tail_, scores.first(n), p_values.first(n), extrapolated.first(n), segments);
}

void ModelScorer::score(Stream& stream, Rows rows, std::span<const std::uint8_t> refused,
                        std::span<std::byte> workspace, std::span<float> scores, std::span<double> p_values,
                        std::span<std::uint8_t> extrapolated, std::span<const std::uint32_t> segments) const {
  if (!refused.empty() && refused.size() < rows.count)
    throw std::invalid_argument("there is no room for every row's score");
  score_on_device(stream, rows, workspace, scores, p_values, extrapolated, segments);
  if (!tail_) {
    std::fill_n(p_values.begin(), rows.count, 1.0);
    std::fill_n(extrapolated.begin(), rows.count, std::uint8_t{0});
  }
  settle_refused(refused, scores.first(rows.count), p_values.first(rows.count),
                 extrapolated.first(rows.count));
}

void settle_refused(std::span<const std::uint8_t> refused, std::span<float> scores,
                    std::span<double> p_values, std::span<std::uint8_t> extrapolated) {
  for (std::size_t i = 0; i < std::min(scores.size(), refused.size()); ++i) {
    if (!refused[i]) continue;
    scores[i] = std::numeric_limits<float>::quiet_NaN();
    p_values[i] = 1;
    extrapolated[i] = 0;
  }
}

}  // namespace lanner::engine
