// The model file: what a Model is saved as and read back from (docs/model-file.md).
#include "engine/model/model.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/model/parts.hpp"
#include "engine/model_file/tensors.hpp"

namespace lanner::engine {
namespace {

constexpr std::string_view format_version = "1";

std::map<std::string, std::string> read_map(const TensorReader& reader, std::string_view key) {
  const auto json = nlohmann::json::parse(reader.metadata(key), nullptr, false);
  std::map<std::string, std::string> map;
  if (!json.is_object()) throw InvalidModel(std::string(key) + ": found no JSON object");
  for (const auto& [name, value] : json.items()) {
    if (!value.is_string()) throw InvalidModel(std::string(key) + "." + name + ": found no text");
    map[name] = value.get<std::string>();
  }
  return map;
}

tail::Calibration read_calibration(const TensorReader& reader) {
  tail::Calibration calibration;
  calibration.scores = reader.floats("calibration.scores");
  const std::vector<float>& scores = calibration.scores;
  const bool finite =
      std::all_of(scores.begin(), scores.end(), [](float score) { return std::isfinite(score); });
  if (scores.empty() || !finite || !std::is_sorted(scores.begin(), scores.end()))
    throw InvalidModel("calibration.scores: found scores that are not finite and ascending");
  const std::vector<double> pareto = reader.doubles("calibration.pareto");
  const bool well_formed =
      pareto.size() == 5 && (pareto[0] == 0 || pareto[0] == 1) &&
      std::all_of(pareto.begin(), pareto.end(), [](double value) { return std::isfinite(value); }) &&
      pareto[3] > 0 && pareto[4] >= 0 && pareto[4] <= 1;
  if (!well_formed)
    throw InvalidModel("calibration.pareto: found no tail (fitted, threshold, shape, scale, exceedance)");
  calibration.pareto = {pareto[0] == 1, pareto[1], pareto[2], pareto[3], pareto[4]};
  return calibration;
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

}  // namespace

std::vector<std::byte> model_bytes(const ModelParts& parts) {
  TensorWriter writer;
  writer.metadata("lanner.format_version", format_version);
  writer.metadata("lanner.name", parts.name);
  writer.metadata("lanner.detector", parts.detector->name);
  writer.metadata("lanner.settings", nlohmann::json(parts.settings.values()).dump());
  writer.metadata("lanner.features", parts.features.to_json());
  writer.metadata("lanner.provenance", nlohmann::json(parts.provenance).dump());
  if (parts.calibration) {
    const tail::Pareto& pareto = parts.calibration->pareto;
    const double tail[] = {pareto.fitted ? 1.0 : 0.0, pareto.threshold, pareto.shape, pareto.scale,
                           pareto.exceedance};
    writer.add("calibration.scores", {parts.calibration->scores.size()},
               std::span<const float>(parts.calibration->scores));
    writer.add("calibration.pareto", {5}, std::span<const double>(tail));
  }
  if (parts.drift) write_drift(writer, *parts.drift);
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
  if (const std::string& version = reader.metadata("lanner.format_version"); version != format_version)
    throw InvalidModel("lanner.format_version: found '" + version + "', allowed " +
                       std::string(format_version) + " (a newer Lanner wrote it)");
  model->name_ = reader.metadata("lanner.name");
  model->detector_ = find_detector(reader.metadata("lanner.detector"));
  if (!model->detector_)
    throw InvalidModel("lanner.detector: found '" + reader.metadata("lanner.detector") +
                       "', which this build doesn't have");
  try {
    model->settings_ =
        Settings::parse(all_parameters(model->detector_->name), read_map(reader, "lanner.settings"));
    model->features_ = FeaturePlan::from_json(reader.metadata("lanner.features"));
  } catch (const std::invalid_argument& error) {
    throw InvalidModel(error.what());
  }
  model->fitted_ = model->detector_->load(reader, *model->settings_);
  if (model->fitted_->width() != model->features_->width())
    throw InvalidModel("found a detector of " + std::to_string(model->fitted_->width()) +
                       " features and a plan of " + std::to_string(model->features_->width()));
  if (reader.has("calibration.scores")) model->calibration_ = read_calibration(reader);
  if (reader.has("drift.rows")) model->drift_ = read_drift(reader, model->features_->width());
  model->provenance_ = read_map(reader, "lanner.provenance");
  return model;
}

std::shared_ptr<const Model> Model::load(const std::filesystem::path& path) {
  try {
    return from_bytes(read_file(path));
  } catch (const InvalidModel& error) {
    throw InvalidModel(path.string() + ": " + error.what());
  }
}

void Model::save(const std::filesystem::path& path) const {
  write_file(path, bytes_);
}

}  // namespace lanner::engine
