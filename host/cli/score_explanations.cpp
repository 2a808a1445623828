#include "host/cli/score_explanations.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <numeric>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/calibrate/calibrate.hpp"
#include "engine/calibrate/decide.hpp"
#include "engine/explain/explainer.hpp"
#include "engine/features/row_pieces.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/progress_line.hpp"
#include "kernels/arithmetic/environment.hpp"
#include "kernels/device/device.hpp"

namespace lanner::host {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t rows_a_piece = 8192;

struct FlaggedRows {
  std::vector<std::size_t> places;
  std::vector<float> values;  // [places, width]
};

// All rows pass again: windows look back on those that aren't flagged.
FlaggedRows flagged_rows(const engine::FeaturePlan& plan, const engine::Records& records,
                         std::span<const std::uint8_t> flag) {
  const std::size_t width = plan.width();
  const auto state = plan.make_state();
  std::vector<float> room(std::clamp(records.count, std::size_t{1}, rows_a_piece) * width);
  engine::RowPieces pieces(plan, records, state.get(), room);
  FlaggedRows rows;
  while (pieces.next()) {
    for (std::size_t i = pieces.begin(); i < pieces.end(); ++i) {
      if (!(flag[i] & engine::flag_anomalous)) continue;
      rows.places.push_back(i);
      const float* const row = pieces.rows().row(i - pieces.begin());
      rows.values.insert(rows.values.end(), row, row + width);
    }
  }
  return rows;
}

// The highest score of a record that a threshold doesn't flag, by the calibration of the record's segment.
// Thresholds often stay what they were.
class NormalMost {
 public:
  NormalMost(Device& device, const engine::Model& model, const engine::Records& records)
      : device_(device), model_(model), records_(records) {}
  float operator()(std::size_t place, double threshold) {
    std::uint32_t segment = 0;
    model_.segments_of(records_, place, place + 1, std::span(&segment, 1));
    const auto [found, unknown] = most_.try_emplace({segment, threshold}, 0.0f);
    if (unknown) {
      const tail::Calibration& calibration =
          segment == 0 ? *model_.calibration() : model_.segments()->own[segment - 1];
      found->second = std::nextafter(engine::least_score(device_, calibration, threshold),
                                     -std::numeric_limits<float>::infinity());
    }
    return found->second;
  }

 private:
  Device& device_;
  const engine::Model& model_;
  const engine::Records& records_;
  std::map<std::pair<std::uint32_t, double>, float> most_;
};

Json listed(const engine::FeaturePlan& plan, const float* row, std::span<const float> parts) {
  std::vector<std::size_t> order(parts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return std::fabs(parts[a]) > std::fabs(parts[b]); });
  Json list = Json::array();
  for (const std::size_t j : order)
    list.push_back({{"feature", plan.column_names()[j]},
                    {"value", plan.natural(j, row[j])},
                    {"contribution", parts[j]}});
  return list;
}

Json json_of(const engine::FeaturePlan& plan, const std::optional<engine::NormalExample>& example) {
  if (!example) return nullptr;
  Json values = Json::object();
  for (std::size_t j = 0; j < plan.width(); ++j)
    values[plan.column_names()[j]] = plan.natural(j, example->row[j]);
  return {{"distance", example->distance}, {"score", example->score}, {"values", std::move(values)}};
}

Json json_of(const engine::FeaturePlan& plan, const float* row,
             const std::optional<engine::Counterfactual>& change) {
  if (!change) return nullptr;
  return {{"feature", plan.column_names()[change->column]},
          {"value", plan.natural(change->column, row[change->column])},
          {"instead", change->value},
          {"spreads", change->size},
          {"score", change->score}};
}

}  // namespace

std::size_t write_explanations(const std::string& path, const std::shared_ptr<const engine::Model>& model,
                               const engine::Records& records, const Decided& decided) {
  const FloatEnvironment environment;
  std::ofstream out(path);
  if (!out) throw UsageError("--explain: found '" + path + "', allowed a path that can be written");
  const engine::FeaturePlan& plan = model->features();
  const FlaggedRows flagged = flagged_rows(plan, records, decided.flag);
  if (flagged.places.empty()) return 0;
  const auto device = Device::cpu();
  const auto scorer = model->fitted().resident(*device);
  engine::Explainer explainer(model, *device);
  NormalMost normal_most(*device, *model, records);
  auto workspace = device->array<std::byte>(scorer->workspace_bytes(1));
  Stream stream = device->stream();
  const std::size_t width = plan.width();
  std::vector<float> parts(width);
  ProgressLine line("explain");
  for (std::size_t i = 0; i < flagged.places.size(); ++i) {
    const std::size_t place = flagged.places[i];
    const std::span<const float> row = std::span(flagged.values).subspan(i * width, width);
    scorer->contributions(stream, {row.data(), 1, width, width}, workspace.span(),
                          {parts.data(), 1, width, width});
    const float most = normal_most(place, decided.threshold[place]);
    const Json json{{"row", place},
                    {"score", decided.score[place]},
                    {"p_value", decided.p_value[place]},
                    {"threshold", decided.threshold[place]},
                    {"base", scorer->base()},
                    {"contributions", listed(plan, row.data(), parts)},
                    {"nearest_normal", json_of(plan, explainer.nearest_normal(row, most))},
                    {"counterfactual", json_of(plan, row.data(), explainer.counterfactual(row, most))}};
    out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    line.show(static_cast<double>(i + 1) / static_cast<double>(flagged.places.size()),
              std::to_string(i + 1) + " rows");
  }
  if (!out.flush()) throw std::system_error(EIO, std::generic_category(), path);
  return flagged.places.size();
}

}  // namespace lanner::host
