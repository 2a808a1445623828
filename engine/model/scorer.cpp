#include <algorithm>
#include <limits>
#include <stdexcept>

#include "engine/model/model.hpp"

namespace lanner::engine {

ModelScorer::ModelScorer(std::shared_ptr<const Model> model, Device& device)
    : model_(std::move(model)), scorer_(model_->fitted().resident(device)) {
  if (const auto& calibration = model_->calibration()) tail_ = tail::make_tail(device, *calibration);
}

std::size_t ModelScorer::workspace_bytes(std::size_t rows_max) const {
  return scorer_->workspace_bytes(rows_max);
}

void ModelScorer::score(Stream& stream, Rows rows, std::span<const std::uint8_t> refused,
                        std::span<std::byte> workspace, std::span<float> scores, std::span<double> p_values,
                        std::span<std::uint8_t> extrapolated) const {
  const std::size_t n = rows.count;
  if (scores.size() < n || p_values.size() < n || extrapolated.size() < n ||
      (!refused.empty() && refused.size() < n))
    throw std::invalid_argument("there is no room for every row's score");
  scorer_->score(stream, rows, workspace, scores.first(n));
  if (tail_) {
    tail::p_values(stream, *tail_, scores.first(n), p_values.first(n), extrapolated.first(n));
  } else {
    std::fill_n(p_values.begin(), n, 1.0);
    std::fill_n(extrapolated.begin(), n, std::uint8_t{0});
  }
  for (std::size_t i = 0; i < std::min(n, refused.size()); ++i) {
    if (!refused[i]) continue;
    scores[i] = std::numeric_limits<float>::quiet_NaN();
    p_values[i] = 1;
    extrapolated[i] = 0;
  }
}

}  // namespace lanner::engine
