#include "engine/series/series_model.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "engine/calibrate/calibrate.hpp"
#include "engine/calibrate/calibration_tensors.hpp"
#include "engine/detectors/references.hpp"
#include "engine/model_file/tensors.hpp"
#include "engine/series/multivariate_scorer.hpp"
#include "engine/series/series_settings.hpp"

namespace lanner::engine {
namespace {

constexpr std::size_t rows_a_piece = 4096;

void check_metrics(const Schema& schema) {
  if (schema.fields.empty()) throw std::invalid_argument("found no fields, allowed at least one metric");
  for (const FieldSpec& field : schema.fields)
    if (field.kind != ColumnKind::number)
      throw std::invalid_argument(field.name + ": found text, allowed numbers: each field is a metric");
}

/// Rows that are taken, and whose they are.
struct MachineRows {
  std::vector<double> values;  // [n, metrics]
  std::vector<std::uint32_t> machine;
  std::size_t machines = 0;
};

MachineRows rows_of(const Schema& schema, const Records& records) {
  const std::size_t metrics = schema.fields.size();
  MachineRows rows;
  rows.values.reserve(records.count * metrics);
  std::unordered_map<std::string_view, std::uint32_t> known;
  auto refused = records.refused.begin();
  for (std::size_t row = 0; row < records.count; ++row) {
    if (refused != records.refused.end() && refused->row == row) {
      ++refused;
      continue;
    }
    const std::string_view entity = records.entity.empty() ? std::string_view() : records.entity[row];
    if (!schema.entity.empty() && entity.empty()) continue;
    const auto [place, is_new] = known.emplace(entity, static_cast<std::uint32_t>(known.size()));
    rows.machine.push_back(place->second);
    for (std::size_t j = 0; j < metrics; ++j) rows.values.push_back(records.number(row, j));
  }
  rows.machines = known.size();
  return rows;
}

/// Of rows that begin each machine anew, the scores of those whose machine is warm.
std::vector<float> warm_scores(Device& device, const std::shared_ptr<const MultivariateModel>& model,
                               const MachineRows& rows, std::size_t begin, const Progress& progress) {
  const std::size_t metrics = model->metrics(), n = rows.machine.size();
  MultivariateScorer scorer(device, model);
  std::vector<std::optional<MachineState>> machines(rows.machines);
  std::vector<MachineRow> piece;
  std::vector<MultivariateScore> scores;
  std::vector<float> warm;
  for (std::size_t at = begin; at < n; at += rows_a_piece) {
    const std::size_t end = std::min(n, at + rows_a_piece);
    piece.clear();
    for (std::size_t i = at; i < end; ++i) {
      std::optional<MachineState>& machine = machines[rows.machine[i]];
      if (!machine) machine.emplace(*model);
      piece.push_back({&*machine, &rows.values[i * metrics]});
    }
    scores.resize(piece.size());
    scorer.push(piece, scores);
    for (const MultivariateScore& one : scores)
      if (!one.warming_up) warm.push_back(static_cast<float>(one.score));
    if (progress)
      progress(0.3 + 0.6 * static_cast<double>(end - begin) / static_cast<double>(n - begin),
               "calibration rows scored");
  }
  return warm;
}

std::string text_of(std::size_t number) {
  return std::to_string(number);
}

struct Parts {
  const std::string& name;
  const Settings& settings;
  const Schema& schema;
  const MultivariateModel& learned;
  const std::optional<tail::Calibration>& calibration;
  const std::map<std::string, std::string>& provenance;
};

std::vector<std::byte> bytes_of(const Parts& parts) {
  TensorWriter writer;
  nlohmann::json metrics = nlohmann::json::array();
  for (const FieldSpec& field : parts.schema.fields) metrics.push_back(field.name);
  writer.metadata("lanner.format_version", format_version_of_series);
  writer.metadata("lanner.name", parts.name);
  writer.metadata("lanner.detector", multivariate_name);
  writer.metadata("lanner.settings", nlohmann::json(parts.settings.values()).dump());
  writer.metadata("lanner.series", nlohmann::json({{"metrics", std::move(metrics)},
                                                   {"entity", parts.schema.entity},
                                                   {"time", parts.schema.time},
                                                   {"id", parts.schema.id}})
                                       .dump());
  writer.metadata("lanner.provenance", nlohmann::json(parts.provenance).dump());
  const MultivariateModel& learned = parts.learned;
  for (const auto& [name, values] : {std::pair{"metrics.low", &learned.low},
                                     {"metrics.range", &learned.range},
                                     {"metrics.typical", &learned.typical}})
    writer.add(name, {values->size()}, std::span(*values));
  save_references(learned.references, writer);
  if (parts.calibration) save_calibration(*parts.calibration, writer);
  return writer.bytes();
}

Schema schema_of(const TensorReader& reader) {
  const auto json = nlohmann::json::parse(reader.metadata("lanner.series"), nullptr, false);
  const auto is_text = [](const auto& item) { return item.is_string(); };
  const auto has_text = [&](const char* key) { return json.contains(key) && json[key].is_string(); };
  if (!json.is_object() || json.size() != 4 || !has_text("entity") || !has_text("time") || !has_text("id") ||
      !json.contains("metrics") || !json["metrics"].is_array() || json["metrics"].empty() ||
      !std::ranges::all_of(json["metrics"], is_text))
    throw InvalidModel("lanner.series: found no metrics, entity, time and id");
  Schema schema;
  for (const auto& name : json["metrics"]) schema.fields.push_back({name.template get<std::string>()});
  schema.entity = json["entity"].get<std::string>();
  schema.time = json["time"].get<std::string>();
  schema.id = json["id"].get<std::string>();
  return schema;
}

MultivariateModel learned_of(const TensorReader& reader, const Settings& settings, std::size_t metrics) {
  MultivariateModel learned;
  try {
    learned.parameters = multivariate_parameters(settings);
    check(learned.parameters);
  } catch (const std::invalid_argument& error) {
    throw InvalidModel(error.what());
  }
  const auto read = [&](const char* name, double least, double most) {
    std::vector<double> values = reader.doubles(name);
    // What isn't a number is in no range.
    const bool within =
        std::ranges::all_of(values, [&](double value) { return value >= least && value <= most; });
    require(values.size() == metrics && within,
            std::string(name) + ": found no number in its range for every metric");
    return values;
  };
  constexpr double largest = std::numeric_limits<double>::max();
  learned.low = read("metrics.low", -largest, largest);
  learned.range = read("metrics.range", 1e-9, largest);
  learned.typical = read("metrics.typical", 0, 1);
  learned.references = load_references(reader);
  require(learned.references.width == learned.features(),
          "references: found rows of " + text_of(learned.references.width) + " features, allowed " +
              text_of(learned.features()) + ": each metric, its means and its deviations");
  return learned;
}

}  // namespace

std::shared_ptr<const SeriesModel> SeriesModel::fit(Device& device, const Schema& schema,
                                                    const Records& records, const SeriesFitOptions& options,
                                                    const Progress& progress) {
  const Settings settings = Settings::parse(series_model_settings(), options.settings);
  check_metrics(schema);
  if (progress) progress(0, "rows");
  const MachineRows rows = rows_of(schema, records);
  const std::size_t n = rows.machine.size(), metrics = schema.fields.size();
  const bool calibrated = !settings.is("calibration", "none");
  const std::size_t held_out =
      calibrated ? std::max<std::size_t>(
                       static_cast<std::size_t>(settings.number("calibration") * static_cast<double>(n)), 1)
                 : 0;
  if (n <= held_out)
    throw std::invalid_argument("found " + text_of(n) + " rows that are taken, allowed at least " +
                                text_of(held_out + 1));
  const std::size_t fitted_on = n - held_out;
  const auto learned = std::make_shared<const MultivariateModel>(
      fit_multivariate(std::span(rows.values).first(fitted_on * metrics), metrics,
                       multivariate_parameters(settings), std::span(rows.machine).first(fitted_on)));
  std::map<std::string, std::string> provenance{
      {"rows", text_of(records.count)},
      {"rows_refused", text_of(records.count - n)},
      {"rows_fitted_on", text_of(fitted_on)},
      {"rows_calibrated_on", "0"},
      {"rows_sha256", sha256(std::as_bytes(std::span(rows.values)))},
      {"calibration", calibrated ? "held out, the last rows" : "none"},
      {"entities", text_of(rows.machines)},
  };
  std::optional<tail::Calibration> calibration;
  if (calibrated) {
    const std::vector<float> scores = warm_scores(device, learned, rows, fitted_on, progress);
    if (scores.empty())
      throw std::invalid_argument(
          "calibration: found " + text_of(held_out) + " rows held out, and none of them the " +
          text_of(learned->warm_up()) +
          "th of its entity or later; allowed more rows, a larger share, shorter windows, or none");
    CalibrationReport report;
    calibration =
        calibrate(device, scores, {settings.boolean("trim"), settings.boolean("extrapolate")}, &report);
    provenance["rows_calibrated_on"] = text_of(scores.size());
    provenance["rows_trimmed"] = text_of(report.trimmed);
    provenance["tail"] = report.tail;
  }
  auto model = from_bytes(bytes_of({options.name, settings, schema, *learned, calibration, provenance}));
  if (progress) progress(1, "done");
  return model;
}

std::shared_ptr<const SeriesModel> SeriesModel::from_bytes(std::vector<std::byte> bytes) {
  const std::shared_ptr<SeriesModel> model(new SeriesModel);
  model->hash_ = sha256(bytes);
  const TensorReader reader(bytes);
  model->bytes_ = std::move(bytes);
  const std::string& version = reader.metadata("lanner.format_version");
  if (version != format_version_of_series)
    throw InvalidModel("lanner.format_version: found '" + version + "', allowed " +
                       std::string(format_version_of_series) + ", a model of series");
  if (const std::string& detector = reader.metadata("lanner.detector"); detector != multivariate_name)
    throw InvalidModel("lanner.detector: found '" + detector + "', allowed " +
                       std::string(multivariate_name));
  model->name_ = reader.metadata("lanner.name");
  try {
    model->settings_ = Settings::parse(series_model_settings(), reader.metadata_map("lanner.settings"));
  } catch (const std::invalid_argument& error) {
    throw InvalidModel(error.what());
  }
  model->schema_ = schema_of(reader);
  model->learned_ = std::make_shared<const MultivariateModel>(
      learned_of(reader, *model->settings_, model->schema_.fields.size()));
  model->calibration_ = load_calibration(reader);
  model->provenance_ = reader.metadata_map("lanner.provenance");
  return model;
}

std::shared_ptr<const SeriesModel> SeriesModel::load(const std::filesystem::path& path) {
  try {
    return from_bytes(read_file(path));
  } catch (const InvalidModel& error) {
    throw InvalidModel(path.string() + ": " + error.what());
  }
}

void SeriesModel::save(const std::filesystem::path& path) const {
  write_file(path, bytes_);
}

bool is_series_model(std::span<const std::byte> file) {
  return metadata_of(file, "lanner.format_version") == format_version_of_series;
}

}  // namespace lanner::engine
