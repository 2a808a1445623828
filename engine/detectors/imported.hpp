// A detector that was fitted elsewhere, as an import gives it (isolation_forest/import.hpp,
// autoencoder/import.hpp). Model::calibrate makes a model of it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "engine/detectors/detector.hpp"

namespace lanner::engine {

struct Imported {
  std::string_view detector;  ///< its name in the catalogue
  std::shared_ptr<const Fitted> fitted;
  /// The detector's settings that say the same, as text.
  std::map<std::string, std::string> settings = {};
  std::string from = {};  ///< what it was, for people; the model's provenance
};

}  // namespace lanner::engine
