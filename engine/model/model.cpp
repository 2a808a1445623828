// The model file: what a Model is saved as and read back from (docs/model-file.md).
#include "engine/model/model.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/calibrate/calibration_tensors.hpp"
#include "engine/model/parts.hpp"
#include "engine/model_file/tensors.hpp"

namespace lanner::engine {
namespace {

// Calibrations of segments came with version 2: a reader that doesn't know them would use one for all.
constexpr std::string_view format_version = "1", format_version_of_segments = "2";

void write_segments(TensorWriter& writer, const SegmentCalibrations& segments) {
  std::vector<float> scores;
  std::vector<std::int64_t> begin{0};
  std::vector<double> paretos;
  for (const tail::Calibration& own : segments.own) {
    scores.insert(scores.end(), own.scores.begin(), own.scores.end());
    begin.push_back(static_cast<std::int64_t>(scores.size()));
    const auto numbers = numbers_of(own.pareto);
    paretos.insert(paretos.end(), numbers.begin(), numbers.end());
  }
  const auto names = segments.segments.names();
  writer.metadata("lanner.segments",
                  nlohmann::json({{"field", segments.segments.field()},
                                  {"names", std::vector<std::string>(names.begin(), names.end())}})
                      .dump());
  writer.add("segments.scores", {scores.size()}, std::span<const float>(scores));
  writer.add("segments.begin", {begin.size()}, std::span<const std::int64_t>(begin));
  writer.add("segments.pareto", {segments.own.size(), 5}, std::span<const double>(paretos));
}

SegmentCalibrations read_segments(const TensorReader& reader) {
  const auto json = nlohmann::json::parse(reader.metadata("lanner.segments"), nullptr, false);
  const auto is_text = [](const auto& item) { return item.is_string(); };
  if (!json.is_object() || json.size() != 2 || !json.contains("field") || !json["field"].is_string() ||
      !json.contains("names") || !json["names"].is_array() ||
      !std::all_of(json["names"].begin(), json["names"].end(), is_text))
    throw InvalidModel("lanner.segments: found no field and names");
  try {
    SegmentCalibrations read{
        Segments(json["field"].get<std::string>(), json["names"].get<std::vector<std::string>>()), {}};
    const std::size_t count = read.segments.names().size();
    const std::vector<float> scores = reader.floats("segments.scores");
    const std::vector<std::int64_t> begin = reader.integers("segments.begin");
    const std::vector<double> paretos = reader.doubles("segments.pareto");
    if (begin.size() != count + 1 || begin.front() != 0 || !std::is_sorted(begin.begin(), begin.end()) ||
        begin.back() != static_cast<std::int64_t>(scores.size()) || paretos.size() != 5 * count)
      throw InvalidModel("segments: found parts that are not those of " + std::to_string(count) +
                         " segments");
    for (std::size_t i = 0; i < count; ++i)
      read.own.push_back(calibration_of({scores.begin() + begin[i], scores.begin() + begin[i + 1]},
                                        std::span(paretos).subspan(5 * i, 5), "segments"));
    return read;
  } catch (const std::invalid_argument& error) {
    throw InvalidModel(error.what());
  }
}

std::shared_ptr<const DriftReference> read_drift(const TensorReader& reader, std::size_t width) {
  auto drift = std::make_shared<DriftReference>();
  const std::vector<std::int64_t> rows = reader.integers("drift.rows");
  const std::vector<float> beyond = reader.floats("drift.beyond");
  const std::vector<std::uint32_t> beyond_tie = reader.unsigned_integers("drift.beyond_tie");
  if (rows.size() != 1 || rows[0] < 0 || beyond.size() != 1 || beyond_tie.size() != 1)
    throw InvalidModel("drift: found no rows and score beyond which none is looked at");
  drift->rows = static_cast<std::uint64_t>(rows[0]);
  drift->beyond = beyond[0];
  drift->beyond_tie = beyond_tie[0];
  drift->columns = reader.unsigned_integers("drift.columns");
  drift->edges = {reader.floats("drift.edges"), reader.unsigned_integers("drift.ties")};
  try {
    validate(*drift, width);
  } catch (const std::invalid_argument& error) {
    throw InvalidModel(error.what());
  }
  return drift;
}

void write_drift(TensorWriter& writer, const DriftReference& drift) {
  const std::int64_t rows[] = {static_cast<std::int64_t>(drift.rows)};
  const std::vector<std::size_t> shape{drift.columns.size() + 1, drift_bins - 1};
  writer.add("drift.rows", {1}, std::span<const std::int64_t>(rows));
  writer.add("drift.beyond", {1}, std::span<const float>(&drift.beyond, 1));
  writer.add("drift.beyond_tie", {1}, std::span<const std::uint32_t>(&drift.beyond_tie, 1));
  writer.add("drift.columns", {drift.columns.size()}, std::span<const std::uint32_t>(drift.columns));
  writer.add("drift.edges", shape, std::span<const float>(drift.edges.values));
  writer.add("drift.ties", shape, std::span<const std::uint32_t>(drift.edges.ties));
}

std::shared_ptr<const Examples> read_examples(const TensorReader& reader, std::size_t width) {
  auto examples = std::make_shared<Examples>();
  const auto finite = [](float value) { return std::isfinite(value); };
  examples->spread = reader.floats("examples.spread");
  if (examples->spread.size() != width ||
      !std::ranges::all_of(examples->spread, [&](float value) { return finite(value) && value > 0; }))
    throw InvalidModel("examples.spread: found no positive number for every feature");
  if (!reader.has("examples.rows")) return examples;
  examples->rows = reader.floats("examples.rows");
  const auto& shape = reader.shape("examples.rows");
  if (shape.size() != 2 || shape[0] == 0 || shape[1] != width || !std::ranges::all_of(examples->rows, finite))
    throw InvalidModel("examples.rows: found no finite rows of the model's features");
  return examples;
}

void write_examples(TensorWriter& writer, const Examples& examples) {
  const std::size_t width = examples.spread.size();
  writer.add("examples.spread", {width}, std::span(examples.spread));
  if (!examples.rows.empty())
    writer.add("examples.rows", {examples.rows.size() / width, width}, std::span(examples.rows));
}

}  // namespace

std::vector<std::byte> model_bytes(const ModelParts& parts) {
  TensorWriter writer;
  writer.metadata("lanner.format_version", parts.segments ? format_version_of_segments : format_version);
  writer.metadata("lanner.name", parts.name);
  writer.metadata("lanner.detector", parts.detector->name);
  writer.metadata("lanner.settings", nlohmann::json(parts.settings.values()).dump());
  writer.metadata("lanner.features", parts.features.to_json());
  writer.metadata("lanner.provenance", nlohmann::json(parts.provenance).dump());
  if (parts.calibration) save_calibration(*parts.calibration, writer);
  if (parts.segments) write_segments(writer, *parts.segments);
  if (parts.drift) write_drift(writer, *parts.drift);
  write_examples(writer, parts.examples);
  parts.fitted->save(writer);
  return writer.bytes();
}

std::shared_ptr<const Model> Model::from_bytes(std::vector<std::byte> bytes) {
  const std::shared_ptr<Model> model(new Model);
  model->hash_ = sha256(bytes);
  const TensorReader reader(bytes);
  model->bytes_ = std::move(bytes);
  if (!reader.has_metadata("lanner.format_version"))
    throw InvalidModel("found no lanner.format_version: a safetensors file, but not a model of Lanner's");
  const std::string& version = reader.metadata("lanner.format_version");
  if (version == format_version_of_series)
    throw InvalidModel("lanner.format_version: found '" + version +
                       "', a model of series of many metrics, allowed a model of rows");
  if (version != format_version && version != format_version_of_segments)
    throw InvalidModel("lanner.format_version: found '" + version + "', allowed " +
                       std::string(format_version) + " or " + std::string(format_version_of_segments) +
                       " (a newer Lanner wrote it)");
  model->name_ = reader.metadata("lanner.name");
  model->detector_ = find_detector(reader.metadata("lanner.detector"));
  if (!model->detector_)
    throw InvalidModel("lanner.detector: found '" + reader.metadata("lanner.detector") +
                       "', which this build doesn't have");
  try {
    model->settings_ =
        Settings::parse(all_parameters(model->detector_->name), reader.metadata_map("lanner.settings"));
    model->features_ = FeaturePlan::from_json(reader.metadata("lanner.features"));
  } catch (const std::invalid_argument& error) {
    throw InvalidModel(error.what());
  }
  model->fitted_ = model->detector_->load(reader, *model->settings_);
  if (model->fitted_->width() != model->features_->width())
    throw InvalidModel("found a detector of " + std::to_string(model->fitted_->width()) +
                       " features and a plan of " + std::to_string(model->features_->width()));
  model->calibration_ = load_calibration(reader);
  if (version == format_version && reader.has_metadata("lanner.segments"))
    throw InvalidModel("lanner.segments: found in a file of version " + version + ", allowed in version " +
                       std::string(format_version_of_segments));
  if (version == format_version_of_segments) {
    model->segments_ = read_segments(reader);
    if (!model->calibration_) throw InvalidModel("segments: found no calibration of all other events");
    model->find_segment_field();
  }
  if (reader.has("drift.rows")) model->drift_ = read_drift(reader, model->features_->width());
  if (reader.has("examples.spread")) model->examples_ = read_examples(reader, model->features_->width());
  model->provenance_ = reader.metadata_map("lanner.provenance");
  return model;
}

std::shared_ptr<const Model> Model::load(const std::filesystem::path& path) {
  try {
    return from_bytes(read_file(path));
  } catch (const InvalidModel& error) {
    throw InvalidModel(path.string() + ": " + error.what());
  }
}

void Model::find_segment_field() {
  const Schema& schema = features_->schema();
  const std::string& field = segments_->segments.field();
  if (!field.empty() && field == schema.entity) return;
  for (std::size_t i = 0; i < schema.fields.size(); ++i)
    if (schema.fields[i].name == field && schema.fields[i].kind == ColumnKind::text) segment_field_ = i;
  if (!segment_field_)
    throw InvalidModel("lanner.segments: found '" + field +
                       "', which is neither a field of text nor the entity");
}

void Model::segments_of(const Records& records, std::size_t begin, std::size_t end,
                        std::span<std::uint32_t> which) const {
  std::fill_n(which.begin(), end - begin, 0u);
  if (!segments_ || (segment_field_ ? records.columns.size() <= *segment_field_ : records.entity.empty()))
    return;
  for (std::size_t row = begin; row < end; ++row)
    which[row - begin] = segments_->segments.find(segment_text(records, segment_field_, row));
}

double Model::least_p_value() const {
  if (!calibration_) return 0;
  double least = engine::least_p_value(*calibration_);
  if (segments_)
    for (const tail::Calibration& own : segments_->own) least = std::min(least, engine::least_p_value(own));
  return least;
}

void Model::save(const std::filesystem::path& path) const {
  write_file(path, bytes_);
}

}  // namespace lanner::engine
