// A calibration in a model file.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/model_file/tensors.hpp"
#include "kernels/tail/tail.hpp"

namespace lanner::engine {

/// Tensors calibration.scores [n] and calibration.pareto [5].
void save_calibration(const tail::Calibration&, TensorWriter&);
/// None where there is no calibration.scores. Throws InvalidModel for what save_calibration can't have
/// written.
std::optional<tail::Calibration> load_calibration(const TensorReader&);

/// Fitted (0 or 1), threshold, shape, scale, exceedance.
std::array<double, 5> numbers_of(const tail::Pareto&);
/// Likewise, checked. `name`: what faults name.
tail::Calibration calibration_of(std::vector<float> scores, std::span<const double> pareto,
                                 const std::string& name);

}  // namespace lanner::engine
