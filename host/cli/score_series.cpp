#include "host/cli/score_series.hpp"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <limits>
#include <numeric>
#include <system_error>
#include <vector>

#include <nlohmann/json.hpp>

#include "engine/calibrate/decide.hpp"
#include "engine/series/series_scorer.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/progress_line.hpp"
#include "kernels/arithmetic/environment.hpp"

namespace lanner::host {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t rows_a_piece = 4096;
constexpr std::size_t entities_max = std::numeric_limits<std::size_t>::max();  // a file has an end

/// Rows of a file on their way through a scorer, a piece at a time; those without an entity are left out.
class Pieces {
 public:
  Pieces(const std::shared_ptr<const engine::SeriesModel>& model, Device& device,
         const engine::Records& records)
      : scorer_(device, model), records_(records), has_entity_(!model->schema().entity.empty()) {}

  /// false: there was none left.
  bool next() {
    if (end_ == records_.count) return false;
    const std::size_t begin = end_, metrics = scorer_.model().schema().fields.size();
    end_ = std::min(records_.count, begin + rows_a_piece);
    places_.clear();
    rows_.clear();
    values_.resize((end_ - begin) * metrics);
    for (std::size_t row = begin; row < end_; ++row) {
      const std::string_view entity = has_entity_ ? records_.entity[row] : std::string_view();
      if (has_entity_ && entity.empty()) continue;
      double* const values = &values_[rows_.size() * metrics];
      for (std::size_t j = 0; j < metrics; ++j) values[j] = records_.number(row, j);
      rows_.push_back({entity, values});
      places_.push_back(row);
    }
    scores_.resize(rows_.size());
    p_values_.resize(rows_.size());
    unguaranteed_.resize(rows_.size());
    scorer_.push_rows(rows_, entities_max, scores_, p_values_, unguaranteed_);
    return true;
  }

  /// Of the piece: which rows of the records were scored, and how.
  std::span<const std::size_t> places() const { return places_; }
  float score(std::size_t i) const { return scores_[i]; }
  double p_value(std::size_t i) const { return p_values_[i]; }
  std::uint8_t unguaranteed(std::size_t i) const { return unguaranteed_[i]; }
  void contributions(std::size_t i, std::span<double> out) { scorer_.machines().contributions(i, out); }

  void show(ProgressLine& line) const {
    line.show(static_cast<double>(end_) / static_cast<double>(records_.count),
              std::to_string(end_) + " rows");
  }

 private:
  engine::SeriesScorer scorer_;
  const engine::Records& records_;
  bool has_entity_;
  std::size_t end_ = 0;
  std::vector<std::size_t> places_;
  std::vector<engine::EntityRow> rows_;
  std::vector<double> values_, p_values_;
  std::vector<float> scores_;
  std::vector<std::uint8_t> unguaranteed_;
};

Json listed(const engine::Schema& schema, const engine::Records& records, std::size_t row,
            std::span<const double> parts) {
  std::vector<std::size_t> order(parts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return parts[a] > parts[b]; });
  Json list = Json::array();
  for (const std::size_t j : order)
    list.push_back(
        {{"feature", schema.fields[j].name}, {"value", records.number(row, j)}, {"contribution", parts[j]}});
  return list;
}

}  // namespace

Scored score_series(const std::shared_ptr<const engine::SeriesModel>& model, Device& device,
                    const engine::Records& records) {
  const FloatEnvironment environment;
  const std::size_t n = records.count;
  Scored out;
  out.score.assign(n, std::numeric_limits<float>::quiet_NaN());
  out.p_value.assign(n, 1);
  out.threshold.resize(n);
  out.extrapolated.resize(n);
  out.refused.assign(n, 1);
  out.flag.resize(n);
  std::size_t taken = 0;
  Pieces pieces(model, device, records);
  ProgressLine line("score");
  while (pieces.next()) {
    for (std::size_t i = 0; i < pieces.places().size(); ++i) {
      const std::size_t row = pieces.places()[i];
      out.score[row] = pieces.score(i);
      out.p_value[row] = pieces.p_value(i);
      out.extrapolated[row] = pieces.unguaranteed(i);
      out.refused[row] = 0;
    }
    taken += pieces.places().size();
    pieces.show(line);
  }
  if (taken < n) std::cerr << n - taken << " rows refused: missing entity\n";
  return out;
}

void write_series_explanations(const std::string& path,
                               const std::shared_ptr<const engine::SeriesModel>& model,
                               const engine::Records& records, const Decided& decided) {
  const FloatEnvironment environment;
  std::ofstream out(path);
  if (!out) throw UsageError("--explain: found '" + path + "', allowed a path that can be written");
  const auto device = Device::cpu();
  std::vector<double> parts(model->schema().fields.size());
  Pieces pieces(model, *device, records);
  ProgressLine line("explain");
  while (pieces.next()) {
    for (std::size_t i = 0; i < pieces.places().size(); ++i) {
      const std::size_t row = pieces.places()[i];
      if (!(decided.flag[row] & engine::flag_anomalous)) continue;
      pieces.contributions(i, parts);
      const Json json{{"row", row},
                      {"score", decided.score[row]},
                      {"p_value", decided.p_value[row]},
                      {"threshold", decided.threshold[row]},
                      {"base", 0},
                      {"contributions", listed(model->schema(), records, row, parts)}};
      out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    }
    pieces.show(line);
  }
  if (!out.flush()) throw std::system_error(EIO, std::generic_category(), path);
}

}  // namespace lanner::host
