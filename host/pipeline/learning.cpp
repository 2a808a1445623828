#include "host/pipeline/learning.hpp"

#include <algorithm>
#include <vector>

#include "engine/features/row_pieces.hpp"

namespace lanner::host {

engine::FitOptions fit_options(const StreamConfig& stream) {
  const LearnConfig& learn = *stream.learn;
  engine::FitOptions options;
  options.detector = learn.fit.detector;
  options.settings = learn.fit.settings;
  options.features = stream.features;
  options.limits = stream.limits;
  options.seed = learn.fit.seed;
  options.name = learn.name.empty() ? stream.name : learn.name;
  return options;
}

Learning::Learning(const StreamConfig& config) : config_(config) {
  records_.columns.resize(config_.schema.fields.size());
}

bool Learning::collect(const engine::Records& from, std::int64_t now_ns) {
  if (complete_) return false;
  const bool by_rows = learn().rows > 0;
  const std::size_t wanted = by_rows ? std::min(learn().rows, rows_max) : rows_max;
  const auto& fields = config_.schema.fields;
  std::size_t refusal = 0;
  for (std::size_t row = 0; row < from.count && records_.count < wanted; ++row) {
    if (refusal < from.refused.size() && from.refused[refusal].row == row) {
      ++refusal;
      continue;
    }
    const std::int64_t at = from.time.empty() ? now_ns : from.time[row];
    first_ns_ = records_.count == 0 ? at : std::min(first_ns_, at);
    last_ns_ = records_.count == 0 ? at : std::max(last_ns_, at);
    records_.append_row(from, row, fields);
  }
  complete_ =
      records_.count >= wanted || (!by_rows && records_.count > 0 && last_ns_ - first_ns_ >= learn().for_ns);
  return complete_;
}

std::shared_ptr<const engine::Model> Learning::fit(Device& device, engine::Progress progress) const {
  return engine::Model::fit(device, config_.schema, records_, fit_options(config_), std::move(progress));
}

std::unique_ptr<engine::FeatureState> Learning::state_after(const engine::Model& model) const {
  const engine::FeaturePlan& plan = model.features();
  if (!plan.has_windows()) return nullptr;
  auto state = plan.make_state();
  std::vector<float> room(1024 * plan.width());
  engine::RowPieces pieces(plan, records_, state.get(), room);
  while (pieces.next()) {
  }
  return state;
}

}  // namespace lanner::host
