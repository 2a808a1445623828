// A model: the feature plan, the fitted detector and its calibration. Immutable plain data, one file, one
// hash.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/calibrate/calibrate.hpp"
#include "engine/calibrate/drift.hpp"
#include "engine/calibrate/segments.hpp"
#include "engine/detectors/detector.hpp"
#include "engine/detectors/imported.hpp"
#include "engine/features/features.hpp"

namespace lanner::engine {

/// Rows that explanations compare with: of those calibrated on, or without calibration of those fitted on.
struct Examples {
  /// [n, width] row-major, drawn by the fit's seed; none where the detector keeps rows of its own
  /// (Fitted::reference_rows).
  std::vector<float> rows;
  /// [width] each feature's interquartile range over 1.349, its deviation where that is 0 (Scale::robust);
  /// above 0.
  std::vector<float> spread;
};

struct FitOptions {
  /// Of the catalogue, or `auto`: chosen from the rows that are fitted on (engine/choose/choose.hpp). The
  /// model is then that detector's, and its provenance has the reasons under `auto`.
  std::string detector = "nearest_neighbours";
  /// The detector's settings and those of every fit (fit_parameters()): calibration, scale, trim, ...; as
  /// text.
  std::map<std::string, std::string> settings;
  /// Empty: identity features of every numeric field.
  std::vector<FeatureSpec> features;
  FeatureLimits limits;
  std::uint64_t seed = 1;
  std::string name = "model";
  /// A GPU for what one is used for in fitting: the histogram's and the calibration's sorting, an
  /// autoencoder's training. It must outlive the fit, which throws DeviceError where it fails.
  Device* gpu = nullptr;
  std::map<std::string, std::string> provenance;  ///< beside what a fit says of itself, which goes before
};

/// Settings that every fit takes beside its detector's: calibration (share held out, 0.2; "cross"; "none"),
/// scale (none, standard, robust, minmax), trim, extrapolate, segment, segment_rows.
std::span<const Parameter> fit_parameters();
/// Both tables, for validation and documentation; also of `auto`. Throws InvalidSettings for an unknown
/// detector, naming the nearest.
std::vector<Parameter> all_parameters(std::string_view detector);

/// Calibrations of segments (docs/calibration.md): plain data.
struct SegmentCalibrations {
  Segments segments;
  std::vector<tail::Calibration> own;  ///< of each of the segments' names
};

class Model {
 public:
  /// Fits on unlabelled records, on a device of the cpu backend: features, the seeded split, the detector,
  /// the calibration. Rows that the features refuse are left out and counted. Throws std::invalid_argument /
  /// InvalidSettings where options or data don't fit.
  static std::shared_ptr<const Model> fit(Device&, const Schema&, const Records&, const FitOptions&,
                                          Progress = {});

  /// The model of a detector that was fitted elsewhere. All records calibrate it: rows that it was not fitted
  /// on. Of the options the detector isn't looked at, settings of the detector's own stand where the import
  /// doesn't say them, `calibration` may be none and `scale` nothing else than none: rows go to the detector
  /// as they are. Throws as fit does.
  static std::shared_ptr<const Model> calibrate(Device&, const Schema&, const Records&, const Imported&,
                                                const FitOptions&, Progress = {});

  /// This model's features and detector, as they are, calibrated on all of these records instead, by this
  /// model's settings; `seed`: of the examples that are kept; `provenance` as in FitOptions. Throws
  /// std::invalid_argument for a model without calibration, and as fit does.
  std::shared_ptr<const Model> recalibrated(Device&, const Records&, std::uint64_t seed, Progress = {},
                                            std::map<std::string, std::string> provenance = {}) const;

  static std::shared_ptr<const Model> load(const std::filesystem::path&);
  static std::shared_ptr<const Model> from_bytes(std::vector<std::byte>);
  void save(const std::filesystem::path&) const;
  const std::vector<std::byte>& bytes() const { return bytes_; }

  const std::string& name() const { return name_; }
  /// "sha256:..." of the file.
  const std::string& hash() const { return hash_; }
  const Detector& detector() const { return *detector_; }
  const Settings& settings() const { return *settings_; }
  const FeaturePlan& features() const { return *features_; }
  const Fitted& fitted() const { return *fitted_; }
  /// No calibration (calibration=none): every p-value is 1 and nothing is ever flagged. Where segments have
  /// calibrations of their own, this is that of all other events.
  const std::optional<tail::Calibration>& calibration() const { return calibration_; }
  const std::optional<SegmentCalibrations>& segments() const { return segments_; }
  /// Which calibration each of the records [begin, end) has: 0 calibration(), 1 + i the i-th segment's. Zeros
  /// without segments, and where the records don't say them. Allocates nothing.
  void segments_of(const Records&, std::size_t begin, std::size_t end, std::span<std::uint32_t> which) const;
  /// The smallest p-value there is in any segment (engine/calibrate/calibrate.hpp).
  double least_p_value() const;
  /// What a stream is watched against; null without calibration, with few calibration rows, and in files of
  /// earlier versions.
  const std::shared_ptr<const DriftReference>& drift() const { return drift_; }
  /// Null in files of earlier versions.
  const std::shared_ptr<const Examples>& examples() const { return examples_; }

  /// What `lanner inspect` shows beside the above: rows fitted on, refused, calibrated on, trimmed, seed, ...
  const std::map<std::string, std::string>& provenance() const { return provenance_; }

 private:
  Model() = default;
  void find_segment_field();

  std::string name_, hash_;
  const Detector* detector_ = nullptr;
  std::optional<Settings> settings_;
  std::optional<FeaturePlan> features_;
  std::shared_ptr<const Fitted> fitted_;
  std::optional<tail::Calibration> calibration_;
  std::optional<SegmentCalibrations> segments_;
  std::optional<std::size_t> segment_field_;  ///< in the schema; none: the entity
  std::shared_ptr<const DriftReference> drift_;
  std::shared_ptr<const Examples> examples_;
  std::map<std::string, std::string> provenance_;
  std::vector<std::byte> bytes_;
};

/// A model resident on a device: score and p-value in one go. Shared by all slots, immutable.
class ModelScorer {
 public:
  ModelScorer(std::shared_ptr<const Model>, Device&);

  const Model& model() const { return *model_; }
  const std::shared_ptr<const Model>& model_pointer() const { return model_; }
  const Scorer& scorer() const { return *scorer_; }
  bool calibrated() const { return tail_ != nullptr; }
  std::size_t workspace_bytes(std::size_t rows_max) const;
  /// On any device; all of it is that device's memory. scores, p_values, extrapolated: [n]. Allocates
  /// nothing. On a GPU it is done when the stream has come to it (engine/model/round_trip.hpp). Without
  /// calibration p_values and extrapolated are left alone. `segments` [n]: Model::segments_of; empty: 0 each.
  void score_on_device(Stream&, Rows rows, std::span<std::byte> workspace, std::span<float> scores,
                       std::span<double> p_values, std::span<std::uint8_t> extrapolated,
                       std::span<const std::uint32_t> segments = {}) const;
  /// On the cpu backend. Rows with refused[i] = 1 (their values are zeros) get score NaN and p-value 1.
  /// `refused` may be empty.
  void score(Stream&, Rows rows, std::span<const std::uint8_t> refused, std::span<std::byte> workspace,
             std::span<float> scores, std::span<double> p_values, std::span<std::uint8_t> extrapolated,
             std::span<const std::uint32_t> segments = {}) const;

 private:
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Scorer> scorer_;
  std::shared_ptr<const tail::ResidentTail> tail_;
};

/// What ModelScorer::score says of refused rows, put into results that a device gave.
void settle_refused(std::span<const std::uint8_t> refused, std::span<float> scores,
                    std::span<double> p_values, std::span<std::uint8_t> extrapolated);

}  // namespace lanner::engine
