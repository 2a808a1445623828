// What was learned of a machine's many metrics, as a model: with the metrics' names, a calibration, one file
// and one hash. Its scores depend on the rows before, so that it is no Model (engine/model) and takes no
// feature plan; MultivariateByEntity scores with it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/detectors/detector.hpp"
#include "engine/parameters/parameters.hpp"
#include "engine/records/records.hpp"
#include "engine/series/multivariate_model.hpp"
#include "kernels/device/device.hpp"
#include "kernels/tail/tail.hpp"

namespace lanner::engine {

inline constexpr std::string_view multivariate_name = "multivariate_series";
inline constexpr std::string_view multivariate_summary =
    "A machine's many metrics in the order of time: the distance of a row, its means and deviations over "
    "trailing windows, to those of a time that was mostly normal";

struct SeriesFitOptions {
  std::map<std::string, std::string> settings;  ///< series_model_settings(), as text
  std::string name = "model";
};

class SeriesModel {
 public:
  /// Fits on unlabelled records in the order of time, whose fields are all numbers, the metrics; of several
  /// machines where the schema has an entity. Records that were refused, or lack the entity, are left out and
  /// counted.
  ///
  /// Calibration: the last floor(share n) of the n records, at least one, are not fitted on. Each machine
  /// begins anew with them, and those from its warm_up()-th on give the calibration scores, so that no window
  /// of theirs reaches back into what was fitted on. Throws std::invalid_argument / InvalidSettings where
  /// options or data don't fit, and where no such record is left.
  static std::shared_ptr<const SeriesModel> fit(Device&, const Schema&, const Records&,
                                                const SeriesFitOptions&, const Progress& = {});

  static std::shared_ptr<const SeriesModel> load(const std::filesystem::path&);
  static std::shared_ptr<const SeriesModel> from_bytes(std::vector<std::byte>);
  void save(const std::filesystem::path&) const;
  const std::vector<std::byte>& bytes() const { return bytes_; }

  const std::string& name() const { return name_; }
  /// "sha256:..." of the file.
  const std::string& hash() const { return hash_; }
  const Settings& settings() const { return *settings_; }
  /// The metrics, and the names of what travels beside them.
  const Schema& schema() const { return schema_; }
  const std::shared_ptr<const MultivariateModel>& learned() const { return learned_; }
  /// None (calibration=none): every p-value is 1.
  const std::optional<tail::Calibration>& calibration() const { return calibration_; }
  const std::map<std::string, std::string>& provenance() const { return provenance_; }

 private:
  SeriesModel() = default;

  std::string name_, hash_;
  std::optional<Settings> settings_;
  Schema schema_;
  std::shared_ptr<const MultivariateModel> learned_;
  std::optional<tail::Calibration> calibration_;
  std::map<std::string, std::string> provenance_;
  std::vector<std::byte> bytes_;
};

/// Whether a file says that it is one; whatever else is wrong with it, SeriesModel::from_bytes says.
bool is_series_model(std::span<const std::byte> file);

}  // namespace lanner::engine
