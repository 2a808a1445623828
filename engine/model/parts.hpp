// What a model is made of before it is a file.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/model/model.hpp"

namespace lanner::engine {

struct ModelParts {
  std::string name;
  const Detector* detector;
  const Settings& settings;
  const FeaturePlan& features;
  std::shared_ptr<const Fitted> fitted;
  std::optional<tail::Calibration> calibration;
  std::optional<SegmentCalibrations> segments;
  std::shared_ptr<const DriftReference> drift;  ///< null: none
  const Examples& examples;
  std::map<std::string, std::string> provenance;
};

/// The model file. Equal parts give equal bytes.
std::vector<std::byte> model_bytes(const ModelParts&);

}  // namespace lanner::engine
