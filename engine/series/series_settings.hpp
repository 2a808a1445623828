// What users can set of the series detectors, as tables: from these come names, defaults, validation and
// documentation wherever they are set.
#pragma once

#include <span>

#include "engine/parameters/parameters.hpp"
#include "engine/series/multivariate_model.hpp"
#include "engine/series/series_detector.hpp"

namespace lanner::engine {

/// Of SeriesDetector. What has no line here (the tail's and the season's rules) stays as it is.
std::span<const Parameter> series_settings();
SeriesParameters series_parameters(const Settings&);

/// Of fit_multivariate.
std::span<const Parameter> multivariate_settings();
MultivariateParameters multivariate_parameters(const Settings&);
/// Of SeriesModel::fit: those, and how it is calibrated.
std::span<const Parameter> series_model_settings();

}  // namespace lanner::engine
