// Fitting: features, the seeded split, the detector, the calibration; and the calibration of what was fitted
// elsewhere.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "engine/choose/choose.hpp"
#include "engine/features/row_pieces.hpp"
#include "engine/features/scaling.hpp"
#include "engine/model/model.hpp"
#include "engine/model/parts.hpp"
#include "engine/model/shuffle.hpp"

namespace lanner::engine {
namespace {

constexpr std::size_t folds = 5;
constexpr std::size_t rows_a_piece = 8192;

// Rows that the features accept, in their order.
struct Matrix {
  std::vector<float> values;
  std::size_t count = 0, width = 0;
  Rows view() const { return {values.data(), count, width, width}; }
};

struct AcceptedRows {
  Matrix matrix;
  std::vector<std::size_t> records;  // which record each row came from
};

AcceptedRows accepted_rows(const FeaturePlan& plan, const Records& records) {
  const std::size_t width = plan.width();
  AcceptedRows accepted{{std::vector<float>(records.count * width), 0, width}, {}};
  Matrix& matrix = accepted.matrix;
  std::string why = records.refused.empty() ? "" : records.refused[0].reason;
  bool by_plan = false;
  const auto state = plan.make_state();
  std::vector<float> room(std::clamp(records.count, std::size_t{1}, rows_a_piece) * width);
  RowPieces pieces(plan, records, state.get(), room);
  while (pieces.next()) {
    if (!by_plan && !pieces.reasons().empty()) why = pieces.reasons()[0].reason, by_plan = true;
    for (std::size_t i = 0; i < pieces.rows().count; ++i) {
      if (pieces.refused()[i]) continue;
      std::copy_n(pieces.rows().row(i), width, matrix.values.data() + matrix.count++ * width);
      accepted.records.push_back(pieces.begin() + i);
    }
  }
  matrix.values.resize(matrix.count * width);
  if (matrix.count == 0)
    throw std::invalid_argument("every row is refused" + (why.empty() ? "" : ", the first for: " + why));
  return accepted;
}

// Which records are set aside to calibrate on (1), of those not refused already.
std::vector<std::uint8_t> hold_out(const Records& records, double share, std::uint64_t seed) {
  std::vector<std::uint8_t> aside(records.count);
  for (const RowRefusal& refusal : records.refused)
    if (refusal.row < records.count) aside[refusal.row] = 1;
  std::vector<std::size_t> eligible;
  for (std::size_t row = 0; row < records.count; ++row)
    if (!aside[row]) eligible.push_back(row);
  std::fill(aside.begin(), aside.end(), std::uint8_t{0});
  const auto wanted = static_cast<std::size_t>(std::floor(share * static_cast<double>(eligible.size())));
  const std::vector<std::size_t> order = shuffled(eligible.size(), seed);
  for (std::size_t i = 0; i < std::min(std::max<std::size_t>(wanted, 1), order.size()); ++i)
    aside[eligible[order[i]]] = 1;
  return aside;
}

bool has_window(const FeatureSpec& spec) {
  const auto kinds = feature_kinds();
  const auto info =
      std::find_if(kinds.begin(), kinds.end(), [&](const auto& kind) { return kind.kind == spec.kind; });
  return info != kinds.end() && info->takes_window;
}

bool learns(const FeatureSpec& spec) {
  return spec.scale != Scale::none || spec.missing == Missing::mean || spec.missing == Missing::median ||
         spec.kind == FeatureKind::one_hot || spec.kind == FeatureKind::rarity;
}

// Features learn from the rows that are fitted on alone: a scale that had seen the calibration rows would
// treat them unlike the rows to come. Where there are windows they learn from all, because a window that
// misses every fifth event counts less than it will in service.
FeaturePlan fit_features(const Schema& schema, std::vector<FeatureSpec> specs, const Records& records,
                         const std::vector<std::uint8_t>& aside, const FeatureLimits& limits) {
  const bool windows = std::any_of(specs.begin(), specs.end(), has_window);
  if (aside.empty() || windows || std::none_of(specs.begin(), specs.end(), learns))
    return FeaturePlan::fit(schema, std::move(specs), records, limits);
  Records fitted_on = records;
  std::vector<std::uint8_t> refused = aside;
  for (const RowRefusal& refusal : records.refused)
    if (refusal.row < refused.size()) refused[refusal.row] = 1;
  fitted_on.refused.clear();
  for (std::size_t row = 0; row < refused.size(); ++row)
    if (refused[row]) fitted_on.refused.push_back({static_cast<std::uint32_t>(row), {}});
  return FeaturePlan::fit(schema, std::move(specs), fitted_on, limits);
}

Matrix chosen_rows(Rows rows, std::span<const std::size_t> chosen) {
  Matrix matrix{{}, chosen.size(), rows.width};
  matrix.values.reserve(chosen.size() * rows.width);
  for (std::size_t i : chosen)
    matrix.values.insert(matrix.values.end(), rows.row(i), rows.row(i) + rows.width);
  return matrix;
}

// A part of the progress of the whole.
Progress part_of(const Progress& progress, double from, double to) {
  if (!progress) return {};
  return [&progress, from, to](double done, std::string_view what) {
    progress(from + (to - from) * done, what);
  };
}

std::vector<float> scores_of(Device& device, const Fitted& fitted, Rows rows, const Progress& progress) {
  std::vector<float> scores(rows.count);
  if (rows.count == 0) return scores;
  Stream stream = device.stream();
  const auto scorer = fitted.resident(device);
  const std::size_t piece = std::min(rows.count, rows_a_piece);
  auto workspace = device.array<std::byte>(scorer->workspace_bytes(piece));
  for (std::size_t begin = 0; begin < rows.count; begin += piece) {
    const std::size_t end = std::min(rows.count, begin + piece);
    scorer->score(stream, rows.slice(begin, end), workspace.span(),
                  std::span(scores).subspan(begin, end - begin));
    if (progress)
      progress(static_cast<double>(end) / static_cast<double>(rows.count), "calibration rows scored");
  }
  return scores;
}

// One fit after another, each with its part of the progress.
class Fitting {
 public:
  Fitting(Device& device, Device* gpu, const Detector& detector, const Settings& settings, std::uint64_t seed,
          const Progress& progress)
      : device_(device),
        gpu_(gpu),
        detector_(detector),
        settings_(settings),
        seed_(seed),
        progress_(progress) {}

  std::shared_ptr<const Fitted> fit(Rows rows, double from, double to) const {
    return detector_.fit({device_, rows, settings_, seed_, part_of(progress_, from, to), gpu_});
  }

  std::vector<float> scores(const Fitted& fitted, Rows rows, double from, double to) const {
    return scores_of(device_, fitted, rows, part_of(progress_, from, to));
  }

  // Scores of every row by a detector that wasn't fitted on it, by folds (Vovk 2015, cross-conformal
  // prediction).
  std::vector<float> cross_scores(Rows rows, double from, double to) const {
    const std::vector<std::size_t> order = shuffled(rows.count, seed_);
    const std::size_t parts = std::min(folds, rows.count);
    std::vector<float> all(rows.count);
    for (std::size_t fold = 0; fold < parts; ++fold) {
      std::vector<std::size_t> inside, outside;
      for (std::size_t i = 0; i < order.size(); ++i)
        (i % parts == fold ? outside : inside).push_back(order[i]);
      std::sort(inside.begin(), inside.end());  // the order of time, where the data are in it
      const double step = (to - from) / static_cast<double>(parts),
                   begin = from + step * static_cast<double>(fold);
      const Matrix fitted_on = chosen_rows(rows, inside), left_out = chosen_rows(rows, outside);
      const double middle = begin + 0.9 * step;
      const auto fitted = fit(fitted_on.view(), begin, middle);
      const std::vector<float> fold_scores = scores(*fitted, left_out.view(), middle, begin + step);
      for (std::size_t i = 0; i < outside.size(); ++i) all[outside[i]] = fold_scores[i];
    }
    return all;
  }

 private:
  Device& device_;
  Device* gpu_;
  const Detector& detector_;
  const Settings& settings_;
  std::uint64_t seed_;
  const Progress& progress_;
};

struct Calibrated {
  std::shared_ptr<const Fitted> fitted;
  std::vector<float> scores;  // empty: no calibration
  std::string how;
  std::shared_ptr<const DriftReference> drift;
};

// Rows that a feature's spread is learned from; of them, those that are kept, fewer of wide ones.
constexpr std::size_t spread_rows_most = 4096, kept_rows_most = 256, kept_rows_least = 16,
                      kept_values_most = std::size_t{1} << 18;

Examples examples_of(Rows rows, const Fitted& fitted, std::uint64_t seed) {
  std::vector<std::size_t> chosen = shuffled(rows.count, seed);
  chosen.resize(std::min(chosen.size(), spread_rows_most));
  Examples examples;
  std::vector<double> values(chosen.size());
  for (std::size_t j = 0; j < rows.width; ++j) {
    for (std::size_t i = 0; i < chosen.size(); ++i) values[i] = static_cast<double>(rows.row(chosen[i])[j]);
    const double spread = learn_scaling(Scale::robust, values).divisor;
    examples.spread.push_back(static_cast<float>(
        std::clamp<double>(spread, std::numeric_limits<float>::min(), std::numeric_limits<float>::max())));
  }
  if (fitted.reference_rows().count > 0) return examples;
  chosen.resize(
      std::min(chosen.size(), std::clamp(kept_values_most / rows.width, kept_rows_least, kept_rows_most)));
  examples.rows = chosen_rows(rows, chosen).values;
  return examples;
}

// What a watch for drift can look at: time goes on and windows overlap, so that features of either change
// from event to event without any drift.
std::vector<std::uint32_t> watched_columns(const FeaturePlan& plan) {
  std::set<std::string> unwatched;
  for (const FeatureSpec& spec : plan.specs()) {
    if (has_window(spec)) unwatched.insert(spec.name);
    if (spec.kind == FeatureKind::time_of_day || spec.kind == FeatureKind::time_of_week)
      unwatched.insert({spec.name + ".sin", spec.name + ".cos"});
  }
  std::vector<std::uint32_t> columns;
  const auto names = plan.column_names();
  for (std::size_t column = 0; column < names.size(); ++column)
    if (!unwatched.contains(names[column])) columns.push_back(static_cast<std::uint32_t>(column));
  return columns;
}

std::shared_ptr<const DriftReference> drift_of(Rows rows, std::span<const float> scores,
                                               std::span<const std::uint32_t> columns) {
  auto reference = drift_reference(rows, scores, columns);
  return reference ? std::make_shared<const DriftReference>(std::move(*reference)) : nullptr;
}

struct Parts {
  Matrix training, calibration;
  std::vector<std::size_t> calibration_records;  // which record each row to calibrate on came from
};

Parts parts_of(const AcceptedRows& rows, const std::vector<std::uint8_t>& aside) {
  // In their order: ties between rows go to the lower index, and that should be the data's.
  std::vector<std::size_t> training, calibration, calibration_records;
  for (std::size_t i = 0; i < rows.records.size(); ++i) {
    const std::size_t record = rows.records[i];
    (aside[record] ? calibration : training).push_back(i);
    if (aside[record]) calibration_records.push_back(record);
  }
  if (training.empty() || calibration.empty())
    throw std::invalid_argument("found " + std::to_string(training.size()) + " rows to fit on and " +
                                std::to_string(calibration.size()) +
                                " held out, allowed at least 1 of each (or calibration=none)");
  return {chosen_rows(rows.matrix.view(), training), chosen_rows(rows.matrix.view(), calibration),
          std::move(calibration_records)};
}

Calibrated fit_and_hold_out(const Fitting& fitting, const Parts& parts,
                            std::span<const std::uint32_t> watched) {
  auto fitted = fitting.fit(parts.training.view(), 0.1, 0.85);
  auto scores = fitting.scores(*fitted, parts.calibration.view(), 0.85, 0.95);
  auto drift = drift_of(parts.calibration.view(), scores, watched);
  return {std::move(fitted), std::move(scores), "held out", std::move(drift)};
}

Calibrated fit_and_cross(Device& device, const Fitting& fitting, Rows rows,
                         std::span<const std::uint32_t> watched) {
  if (rows.count < 2)
    throw std::invalid_argument("found 1 row, allowed at least 2 to cross-calibrate (or calibration=none)");
  auto fitted = fitting.fit(rows, 0.1, 0.3);
  auto scores = fitted->leave_one_out_scores(device);
  std::string how = "leave one out";
  if (scores.empty()) {
    scores = fitting.cross_scores(rows, 0.3, 0.9);
    how = std::to_string(std::min(folds, rows.count)) + " folds";
  }
  auto drift = drift_of(rows, scores, watched);
  return {std::move(fitted), std::move(scores), std::move(how), std::move(drift)};
}

// The field of text that says the segment; none: the entity. Throws InvalidSettings where it is neither.
std::optional<std::size_t> segment_field(const Schema& schema, const Records& records,
                                         std::string_view name) {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < schema.fields.size(); ++i) {
    if (schema.fields[i].kind != ColumnKind::text) continue;
    if (schema.fields[i].name == name) return i;
    names.push_back(schema.fields[i].name);
  }
  if (!schema.entity.empty() && !records.entity.empty()) {
    if (schema.entity == name) return std::nullopt;
    names.push_back(schema.entity);
  }
  std::string allowed = "a field of text or the entity: none";
  for (const std::string_view known : names) allowed += ", " + std::string(known);
  throw InvalidSettings({{"segment", "'" + std::string(name) + "'", allowed, nearest_name(name, names)}});
}

std::vector<std::string_view> segment_names(const Records& records, std::optional<std::size_t> field,
                                            std::span<const std::size_t> rows) {
  std::vector<std::string_view> segments;
  for (const std::size_t row : rows) segments.push_back(segment_text(records, field, row));
  return segments;
}

struct Calibrations {
  std::optional<tail::Calibration> all;
  std::optional<SegmentCalibrations> segments;
};

// segment_of: of each score; none: one calibration for all.
Calibrations calibrations_of(Device& device, const Settings& settings, std::span<const float> scores,
                             std::span<const std::string_view> segment_of,
                             std::map<std::string, std::string>& provenance) {
  std::size_t trimmed = 0;
  std::string about;
  const auto calibrated = [&](std::span<const float> some) {
    CalibrationReport report;
    auto made =
        engine::calibrate(device, some, {settings.boolean("trim"), settings.boolean("extrapolate")}, &report);
    trimmed += report.trimmed;
    about = report.tail;
    return made;
  };
  Calibrations made;
  if (segment_of.empty()) {
    made.all = calibrated(scores);
  } else {
    const std::string field(settings.word("segment"));
    const SegmentScores split =
        split_by_segment(scores, segment_of, static_cast<std::size_t>(settings.integer("segment_rows")));
    if (!split.names.empty()) made.segments.emplace(SegmentCalibrations{Segments(field, split.names), {}});
    for (const auto& own : split.scores) made.segments->own.push_back(calibrated(own));
    made.all = calibrated(split.pool);
    provenance["segments"] =
        std::to_string(split.names.size()) + " of their own, " + std::to_string(split.pooled) +
        " pooled; the pool's rows: " + std::to_string(split.pool.size()) + (split.pool_is_all ? ", all" : "");
  }
  provenance["rows_trimmed"] = std::to_string(trimmed);
  provenance["tail"] = about;
  return made;
}

// What is fitted: what was asked for, or what was chosen, with the settings of every fit as they were.
struct Fittable {
  const Detector* detector;
  Settings settings;
  std::string reasons;  // empty: nothing was chosen
};

// Rows that are calibrated on have no say: they must be to the choice what rows to come are.
Fittable chosen_for(Rows training, const Settings& given, const FitWork& work) {
  const Choice choice = choose(summary_of(training), time_budget(given), work);
  std::map<std::string, std::string> settings = choice.settings;
  for (const Parameter& parameter : fit_parameters())
    settings.emplace(parameter.name, given.word(parameter.name));
  std::string reasons;
  for (const std::string& reason : choice.reasons) reasons += (reasons.empty() ? "" : "; ") + reason;
  return {find_detector(choice.detector), Settings::parse(all_parameters(choice.detector), settings),
          std::move(reasons)};
}

// A model of features and a detector that were fitted before, calibrated on all of these records.
std::vector<std::byte> calibrated_on_all(Device& device, Device* gpu, const std::string& name,
                                         const Detector* detector,
                                         const std::shared_ptr<const Fitted>& fitted,
                                         const Settings& settings, const FeaturePlan& plan,
                                         const Records& records, std::uint64_t seed,
                                         std::map<std::string, std::string> provenance,
                                         const Progress& progress) {
  const bool none = settings.is("calibration", "none");
  const AcceptedRows rows = accepted_rows(plan, records);
  const Rows matrix = rows.matrix.view();
  provenance["rows"] = std::to_string(records.count);
  provenance["rows_refused"] = std::to_string(records.count - matrix.count);
  provenance["rows_calibrated_on"] = std::to_string(none ? 0 : matrix.count);
  provenance["rows_sha256"] = sha256(std::as_bytes(std::span(rows.matrix.values)));
  provenance["calibration"] = none ? "none" : "all rows";
  provenance["seed"] = std::to_string(seed);
  Calibrations calibrations;
  std::shared_ptr<const DriftReference> drift;
  if (!none) {
    const std::vector<float> scores = scores_of(device, *fitted, matrix, part_of(progress, 0.1, 0.95));
    drift = drift_of(matrix, scores, watched_columns(plan));
    std::vector<std::string_view> segment_of;
    if (!settings.is("segment", "none"))
      segment_of = segment_names(records, segment_field(plan.schema(), records, settings.word("segment")),
                                 rows.records);
    calibrations = calibrations_of(gpu ? *gpu : device, settings, scores, segment_of, provenance);
  }
  return model_bytes({name, detector, settings, plan, fitted, calibrations.all, calibrations.segments, drift,
                      examples_of(matrix, *fitted, seed), provenance});
}

}  // namespace

std::span<const Parameter> fit_parameters() {
  static const std::vector<Parameter> table{
      {"calibration",
       Kind::number,
       "0.2",
       "share of the rows held out to calibrate on; cross: every row, scored by a detector not fitted on it; "
       "none: no p-values",
       {"cross", "none"},
       0.001,
       0.9},
      {"scale",
       Kind::word,
       "none",
       "scale of the features that none is declared for",
       {"none", "standard", "robust", "minmax"}},
      {"trim", Kind::boolean, "true", "leave suspected anomalies out of the calibration scores"},
      {"extrapolate", Kind::boolean, "true",
       "rank what lies beyond the calibration scores by a Pareto tail, marked as such"},
      {"segment",
       Kind::text,
       "none",
       "field of text, or the entity, whose values are calibrated each by its own rows; none: one "
       "calibration",
       {"none"}},
      {"segment_rows",
       Kind::integer,
       "1000",
       "calibration rows that a segment needs for its own; the others share one",
       {},
       2,
       1'000'000'000},
  };
  return table;
}

std::vector<Parameter> all_parameters(std::string_view detector) {
  const Detector* found = find_detector(detector);
  if (!found && detector != auto_name) {
    std::vector<std::string_view> names;
    for (const Detector& known : catalogue()) names.push_back(known.name);
    names.push_back(auto_name);
    std::string allowed;
    for (const std::string_view name : names) allowed += (allowed.empty() ? "" : ", ") + std::string(name);
    throw InvalidSettings(
        {{"detector", "'" + std::string(detector) + "'", allowed, nearest_name(detector, names)}});
  }
  const std::span<const Parameter> own = found ? found->parameters : auto_parameters();
  std::vector<Parameter> table(own.begin(), own.end());
  table.insert(table.end(), fit_parameters().begin(), fit_parameters().end());
  return table;
}

std::shared_ptr<const Model> Model::fit(Device& device, const Schema& schema, const Records& records,
                                        const FitOptions& options, Progress progress) {
  const std::vector<Parameter> table = all_parameters(options.detector);
  const Settings settings = Settings::parse(table, options.settings);
  const Scale scale = *parse_scale(settings.word("scale"));
  std::vector<FeatureSpec> specs = options.features;
  if (specs.empty()) {
    specs = identity_features(schema, scale);
  } else {
    for (FeatureSpec& spec : specs)
      if (spec.scale == Scale::none) spec.scale = scale;
  }
  const bool by_segment = !settings.is("segment", "none");
  const auto segments_from =
      by_segment ? segment_field(schema, records, settings.word("segment")) : std::nullopt;
  if (progress) progress(0, "features");
  const bool none = settings.is("calibration", "none"), cross = settings.is("calibration", "cross");
  const std::vector<std::uint8_t> aside =
      none || cross ? std::vector<std::uint8_t>()
                    : hold_out(records, settings.number("calibration"), options.seed);
  const FeaturePlan plan = fit_features(schema, std::move(specs), records, aside, options.limits);
  const AcceptedRows rows = accepted_rows(plan, records);

  std::optional<Parts> parts;
  if (!none && !cross) parts = parts_of(rows, aside);
  Fittable fittable{find_detector(options.detector), settings, {}};
  if (!fittable.detector) {
    FitWork work;
    // On all rows once, and on four fifths of them five times.
    if (cross) work = {static_cast<double>(folds), static_cast<double>(rows.matrix.count)};
    if (parts) work.rows_to_score = static_cast<double>(parts->calibration.count);
    fittable = chosen_for(parts ? parts->training.view() : rows.matrix.view(), settings, work);
  }

  const Fitting fitting(device, options.gpu, *fittable.detector, fittable.settings, options.seed, progress);
  const std::vector<std::uint32_t> watched = watched_columns(plan);
  Calibrated result;
  if (none) {
    result = {fitting.fit(rows.matrix.view(), 0.1, 0.95), {}, "none", nullptr};
  } else if (cross) {
    result = fit_and_cross(device, fitting, rows.matrix.view(), watched);
  } else {
    result = fit_and_hold_out(fitting, *parts, watched);
  }
  const Examples examples =
      examples_of(parts ? parts->calibration.view() : rows.matrix.view(), *result.fitted, options.seed);

  std::map<std::string, std::string> provenance{
      {"rows", std::to_string(records.count)},
      {"rows_refused", std::to_string(records.count - rows.matrix.count)},
      {"rows_calibrated_on", std::to_string(result.scores.size())},
      {"rows_fitted_on", std::to_string(rows.matrix.count - (aside.empty() ? 0 : result.scores.size()))},
      {"rows_sha256", sha256(std::as_bytes(std::span(rows.matrix.values)))},
      {"calibration", result.how},
      {"seed", std::to_string(options.seed)},
  };
  if (!fittable.reasons.empty()) provenance["auto"] = fittable.reasons;
  provenance.insert(options.provenance.begin(), options.provenance.end());
  Calibrations calibrations;
  if (!result.scores.empty()) {
    if (progress) progress(0.95, "calibration");
    std::vector<std::string_view> segment_of;
    if (by_segment)
      segment_of = segment_names(records, segments_from, parts ? parts->calibration_records : rows.records);
    calibrations =
        calibrations_of(options.gpu ? *options.gpu : device, settings, result.scores, segment_of, provenance);
  }
  auto model =
      from_bytes(model_bytes({options.name, fittable.detector, fittable.settings, plan, result.fitted,
                              calibrations.all, calibrations.segments, result.drift, examples, provenance}));
  if (progress) progress(1, "done");
  return model;
}

std::shared_ptr<const Model> Model::calibrate(Device& device, const Schema& schema, const Records& records,
                                              const Imported& imported, const FitOptions& options,
                                              Progress progress) {
  std::map<std::string, std::string> given = imported.settings;
  given.insert(options.settings.begin(), options.settings.end());
  const Settings settings = Settings::parse(all_parameters(imported.detector), given);
  if (!settings.is("scale", "none"))
    throw InvalidSettings({{"scale", "'" + std::string(settings.word("scale")) + "'",
                            "none: an imported detector takes rows as they are", ""}});
  if (settings.is("calibration", "cross"))
    throw InvalidSettings({{"calibration", "'cross'",
                            "none, or any share: an imported detector is calibrated on all rows given", ""}});
  if (progress) progress(0, "features");
  const FeaturePlan plan = FeaturePlan::fit(
      schema, options.features.empty() ? identity_features(schema, Scale::none) : options.features, records,
      options.limits);
  if (plan.width() != imported.fitted->width())
    throw std::invalid_argument("found rows of " + std::to_string(plan.width()) +
                                " features, allowed those of the imported " + std::string(imported.detector) +
                                ": " + std::to_string(imported.fitted->width()));
  auto model = from_bytes(calibrated_on_all(device, options.gpu, options.name,
                                            find_detector(imported.detector), imported.fitted, settings, plan,
                                            records, options.seed, {{"imported", imported.from}}, progress));
  if (progress) progress(1, "done");
  return model;
}

std::shared_ptr<const Model> Model::recalibrated(Device& device, const Records& records, std::uint64_t seed,
                                                 Progress progress,
                                                 std::map<std::string, std::string> provenance) const {
  if (!calibration_) throw std::invalid_argument("a model without calibration can't be calibrated again");
  if (progress) progress(0, "features");
  provenance.insert(provenance_.begin(), provenance_.end());
  provenance["recalibrated"] = "of " + hash_;
  auto model = from_bytes(calibrated_on_all(device, nullptr, name_, detector_, fitted_, *settings_,
                                            *features_, records, seed, std::move(provenance), progress));
  if (progress) progress(1, "done");
  return model;
}

}  // namespace lanner::engine
