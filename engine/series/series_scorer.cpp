#include "engine/series/series_scorer.hpp"

#include <algorithm>
#include <utility>

namespace lanner::engine {

SeriesScorer::SeriesScorer(Device& device, std::shared_ptr<const SeriesModel> model)
    : model_(std::move(model)),
      machines_(device, model_->learned()),
      cpu_(Device::cpu({chosen_cpu_tier(), 1})) {
  if (model_->calibration()) tail_ = tail::make_tail(*cpu_, *model_->calibration());
}

void SeriesScorer::push_rows(std::span<const EntityRow> rows, std::size_t entities_max,
                             std::span<float> scores, std::span<double> p_values,
                             std::span<std::uint8_t> unguaranteed) {
  scored_.resize(rows.size());
  machines_.push_rows(rows, entities_max, scored_);
  for (std::size_t i = 0; i < rows.size(); ++i) scores[i] = static_cast<float>(scored_[i].score);
  std::ranges::fill(p_values, 1.0);
  std::ranges::fill(unguaranteed, std::uint8_t{0});
  if (!tail_) return;
  Stream stream = cpu_->stream();
  tail::p_values(stream, *tail_, scores, p_values, unguaranteed);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    unguaranteed[i] = scored_[i].warming_up ? 0 : 1;
    if (scored_[i].warming_up) p_values[i] = 1;
  }
}

}  // namespace lanner::engine
