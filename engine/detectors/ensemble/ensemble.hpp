// Four detectors that err in different ways, fitted on rows cleaned of what they suspect, their scores
// brought to one scale and averaged. fit.hpp states members, cleaning and scale; kernels/blend/blend.hpp the
// average.
#pragma once

#include "engine/detectors/detector.hpp"

namespace lanner::engine::ensemble {

Detector detector();

}  // namespace lanner::engine::ensemble
