#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/calibrate/decide.hpp"
#include "engine/model/model.hpp"
#include "engine/model/round_trip.hpp"
#include "engine/model_file/tensors.hpp"
#include "engine/series/series_model.hpp"
#include "host/cli/commands.hpp"
#include "host/cli/options.hpp"
#include "host/cli/progress_line.hpp"
#include "host/cli/score_explanations.hpp"
#include "host/cli/score_series.hpp"
#include "host/cli/scored.hpp"

namespace lanner::host {
namespace {

struct ScoreArguments {
  std::string model, data, out, explain, device = "cpu";
  std::optional<double> false_alarm_rate, false_alarms_per_day, false_discovery_rate;
  ReadOptions columns;
};

constexpr std::size_t rows_a_piece = 8192;
// On a GPU: one is copied in, one computed, one copied out.
constexpr std::size_t pieces_under_way = 3;

// Scores pieces one after the other; on a GPU several are under way, and `put` is done with one when `finish`
// says so.
class Pieces {
 public:
  Pieces(const engine::ModelScorer& scorer, Device& device, std::size_t rows_max, Scored& out)
      : scorer_(scorer), on_gpu_(device.backend() != Backend::cpu), out_(out), stream_(device.stream()) {
    const std::size_t width = scorer.model().features().width();
    if (const auto& reference = scorer.model().drift()) drift_.emplace(reference);
    for (std::size_t i = 0; i < (on_gpu_ ? pieces_under_way : 1); ++i)
      rows_.push_back(device.pinned<float>(rows_max * width));
    if (!on_gpu_) {
      workspace_ = device.array<std::byte>(scorer.workspace_bytes(rows_max));
      return;
    }
    for (std::size_t i = 0; i < pieces_under_way; ++i) {
      trips_.push_back(std::make_unique<engine::RoundTrip>(device));
      trips_.back()->make_room(scorer, rows_max);
    }
  }

  /// Where the next piece's segments go.
  std::span<std::uint32_t> segments(std::size_t count) {
    segments_.resize(count);
    return segments_;
  }
  /// Where the next piece's rows go.
  float* rows() {
    if (on_gpu_ && begun_ - finished_ == pieces_under_way) finish_one();
    return rows_[begun_ % rows_.size()].data();
  }
  void score(Rows rows, std::size_t begin) {
    const std::span refused(out_.refused.data() + begin, rows.count);
    if (on_gpu_) {
      trips_[begun_ % pieces_under_way]->begin(scorer_, rows, segments_);
      place_[begun_ % pieces_under_way] = {begin, rows.count};
    } else {
      scorer_.score(stream_, rows, refused, workspace_.span(), {out_.score.data() + begin, rows.count},
                    {out_.p_value.data() + begin, rows.count}, {out_.extrapolated.data() + begin, rows.count},
                    segments_);
      watch(rows, begin);
    }
    ++begun_;
  }
  void finish() {
    while (on_gpu_ && finished_ < begun_) finish_one();
  }

 private:
  struct Place {
    std::size_t begin = 0, count = 0;
  };

  void watch(Rows rows, std::size_t begin) {
    if (!drift_ || drift_->withdrawn()) return;
    const std::size_t first = drift_->watch(rows, {out_.score.data() + begin, rows.count},
                                            {out_.refused.data() + begin, rows.count});
    if (!drift_->withdrawn()) return;
    out_.withdrawn_from = begin + first;
    out_.drifted = "score";
    if (const std::size_t cause = drift_->cause(); cause > 0)
      out_.drifted = scorer_.model().features().column_names()[scorer_.model().drift()->columns[cause - 1]];
  }

  void finish_one() {
    const engine::RoundTrip& trip = *trips_[finished_ % pieces_under_way];
    const auto [begin, count] = place_[finished_ % pieces_under_way];
    trip.wait();
    const std::span score(out_.score.data() + begin, count);
    const std::span p_value(out_.p_value.data() + begin, count);
    const std::span extrapolated(out_.extrapolated.data() + begin, count);
    std::ranges::copy(trip.scores(), score.begin());
    std::ranges::copy(trip.p_values(), p_value.begin());
    std::ranges::copy(trip.extrapolated(), extrapolated.begin());
    engine::settle_refused({out_.refused.data() + begin, count}, score, p_value, extrapolated);
    const std::size_t width = scorer_.model().features().width();
    watch({rows_[finished_ % pieces_under_way].data(), count, width, width}, begin);
    ++finished_;
  }

  const engine::ModelScorer& scorer_;
  bool on_gpu_;
  Scored& out_;
  Stream stream_;
  std::vector<Pinned<float>> rows_;
  std::vector<std::uint32_t> segments_;
  Array<std::byte> workspace_;  // the CPU's
  std::optional<engine::DriftWatch> drift_;
  std::vector<std::unique_ptr<engine::RoundTrip>> trips_;
  std::array<Place, pieces_under_way> place_;
  std::size_t begun_ = 0, finished_ = 0;
};

Scored score_all(const engine::ModelScorer& scorer, Device& device, const engine::Records& records) {
  const std::size_t n = records.count, width = scorer.model().features().width();
  Scored out;
  out.score.resize(n);
  for (auto* values : {&out.p_value, &out.threshold}) values->resize(n);
  for (auto* bits : {&out.extrapolated, &out.refused, &out.flag}) bits->resize(n);
  const std::size_t piece = std::min(rows_a_piece, std::max<std::size_t>(n, 1));
  Pieces pieces(scorer, device, piece, out);
  const auto state = scorer.model().features().make_state();
  std::vector<engine::RowRefusal> reasons;
  ProgressLine line("score");
  for (std::size_t begin = 0; begin < n; begin += piece) {
    const std::size_t end = std::min(n, begin + piece), count = end - begin;
    const MutableRows matrix{pieces.rows(), count, width, width};
    scorer.model().features().transform(records, begin, end, state.get(), matrix,
                                        std::span(out.refused.data() + begin, count), reasons);
    scorer.model().segments_of(records, begin, end, pieces.segments(count));
    pieces.score(matrix, begin);
    line.show(static_cast<double>(end) / static_cast<double>(n), std::to_string(end) + " rows");
  }
  pieces.finish();
  constexpr std::size_t shown_max = 5;
  for (std::size_t i = 0; i < std::min(reasons.size(), shown_max); ++i)
    std::cerr << "row " << reasons[i].row << " refused: " << reasons[i].reason << '\n';
  if (reasons.size() > shown_max)
    std::cerr << "... and " << reasons.size() - shown_max << " more rows refused\n";
  return out;
}

void decide(const ScoreArguments& arguments, const engine::Records& records, Scored& scored) {
  if (arguments.false_discovery_rate) {
    std::vector<double> p_values = scored.p_value;
    for (std::size_t i = 0; i < p_values.size(); ++i)
      if (scored.refused[i]) p_values[i] = std::numeric_limits<double>::quiet_NaN();
    const double threshold =
        engine::false_discovery_rate(p_values, *arguments.false_discovery_rate, scored.flag);
    for (std::size_t i = 0; i < p_values.size(); ++i) {
      scored.threshold[i] = threshold;
      if (scored.refused[i]) scored.flag[i] |= engine::flag_refused;
      if (scored.extrapolated[i]) scored.flag[i] |= engine::flag_extrapolated;
    }
    return;
  }
  engine::DecisionRule rule = engine::FalseAlarmRate{arguments.false_alarm_rate.value_or(0.001)};
  if (arguments.false_alarms_per_day) {
    if (records.time.empty())
      throw UsageError("--false-alarms-per-day: found no event times, allowed with --time COLUMN");
    rule = engine::FalseAlarmsPerDay{*arguments.false_alarms_per_day};
  }
  engine::Decider decider(rule);
  decider.decide(scored.p_value, scored.extrapolated, scored.refused, records.time, scored.threshold,
                 scored.flag);
}

engine::Records read_records(const ScoreArguments& arguments, const engine::Schema& schema) {
  ReadOptions columns = arguments.columns;
  if (columns.entity.empty()) columns.entity = schema.entity;
  if (columns.time.empty()) columns.time = schema.time;
  if (columns.id.empty()) columns.id = schema.id;
  return in_schema_order(read_data(arguments.data, columns), schema, arguments.data);
}

void write(const ScoreArguments& arguments, const Scored& scored) {
  write_scores(arguments.out, scored.score, scored.p_value, scored.threshold, scored.flag);
}

void tell(const ScoreArguments& arguments, const Device& device, const engine::Records& records,
          const Scored& scored) {
  std::size_t flagged = 0, refused = 0;
  for (std::uint8_t flag : scored.flag) {
    flagged += flag & engine::flag_anomalous;
    refused += (flag & engine::flag_refused) != 0;
  }
  std::cout << arguments.out << ": " << records.count << " rows, " << flagged << " flagged, " << refused
            << " refused (" << device.description() << ")\n";
}

Decided decided(const Scored& scored) {
  return {scored.score, scored.p_value, scored.threshold, scored.flag};
}

int score_with_series(const ScoreArguments& arguments, Device& device) {
  const auto model = engine::SeriesModel::load(arguments.model);
  const engine::Records records = read_records(arguments, model->schema());
  Scored scored = score_series(model, device, records);
  decide(arguments, records, scored);
  write(arguments, scored);
  if (!arguments.explain.empty())
    write_series_explanations(arguments.explain, model, records, decided(scored));
  tell(arguments, device, records, scored);
  return exit_done;
}

int score(const ScoreArguments& arguments) {
  const auto device = device_named(arguments.device);
  if (engine::is_series_model(engine::read_file(arguments.model)))
    return score_with_series(arguments, *device);
  const auto model = engine::Model::load(arguments.model);
  const engine::Records records = read_records(arguments, model->features().schema());
  const engine::ModelScorer scorer(model, *device);
  Scored scored = score_all(scorer, *device, records);
  decide(arguments, records, scored);
  if (scored.withdrawn_from < records.count) {
    for (std::size_t row = scored.withdrawn_from; row < records.count; ++row)
      scored.flag[row] |= engine::flag_withdrawn;
    std::cerr << "from row " << scored.withdrawn_from
              << " on the data has drifted from the calibration rows (" << scored.drifted
              << "): p-values are not guaranteed; calibrate on recent data\n";
  }
  write(arguments, scored);
  if (!arguments.explain.empty()) write_explanations(arguments.explain, model, records, decided(scored));
  tell(arguments, *device, records, scored);
  return exit_done;
}

}  // namespace

void add_score(CLI::App& app, Action& chosen) {
  auto arguments = std::make_shared<ScoreArguments>();
  CLI::App* command = app.add_subcommand("score", "Score the rows of a file with a model");
  command->add_option("--model", arguments->model, "The model file")->required();
  command->add_option("--data", arguments->data, "Rows: .csv, .npy, .npz, .arrow, .feather")->required();
  command->add_option("--out", arguments->out, "Scores: .csv, or .npy (structured)")->required();
  command->add_option("--explain", arguments->explain,
                      "Why rows were flagged, and what would have been normal: JSON, a line a flagged row");
  command
      ->add_option(
          "--device", arguments->device,
          "cpu or cuda (cuda: every row on the GPU, or exit status 3; emulated: on a GPU made of the "
          "CPU, for tests)")
      ->check(CLI::IsMember({"cpu", "cuda", "emulated"}));
  auto* rate = command->add_option("--false-alarm-rate", arguments->false_alarm_rate,
                                   "Flag where the p-value is at most this (default 0.001)");
  auto* day = command
                  ->add_option("--false-alarms-per-day", arguments->false_alarms_per_day,
                               "A budget in event time; needs times")
                  ->excludes(rate);
  command
      ->add_option("--false-discovery-rate", arguments->false_discovery_rate,
                   "Over the whole file (Benjamini and Hochberg)")
      ->excludes(rate)
      ->excludes(day);
  add_column_options(*command, arguments->columns);
  command->footer(
      "Example: lanner score --model payments.lanner --data today.csv --out scores.csv --explain why.jsonl");
  command->callback([&chosen, arguments] { chosen = [arguments] { return score(*arguments); }; });
}

}  // namespace lanner::host
