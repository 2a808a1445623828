// Refitting a model on recent events.
#pragma once

#include <memory>

#include "engine/model/model.hpp"
#include "engine/refit/gate.hpp"

namespace lanner::engine {

struct Refitted {
  std::shared_ptr<const Model> model;
  Gate gate;
};

/// fit: detector, features and calibration anew. calibration: that alone; the rest stays as it is.
enum class Renewed { fit, calibration };

/// What the model was fitted with, to fit it again: detector, settings, features and their limits, seed,
/// name. Throws std::invalid_argument for a model that was imported, of which nobody here knows how.
FitOptions options_of(const Model&);

/// Fits, or calibrates, on the earlier four fifths of `recent`, in their order, and compares both models on
/// the rest (engine/refit/gate.hpp). What is compared is what would take over: the last fifth is not fitted
/// on afterwards. The options are those of a first fit; the schema is that of the model at work. Throws what
/// Model::fit throws.
Refitted refit(Device&, const std::shared_ptr<const Model>& now, const Records& recent, const FitOptions&,
               Renewed = Renewed::fit, Progress = {});

}  // namespace lanner::engine
