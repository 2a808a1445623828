// What `lanner score --explain` writes: why rows were flagged, and what would have been normal.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "engine/model/model.hpp"

namespace lanner::host {

/// Of all rows of the records, [n].
struct Decided {
  std::span<const float> score;
  std::span<const double> p_value, threshold;
  std::span<const std::uint8_t> flag;
};

/// JSON, a line for each flagged row (docs/explanations.md). Explained on the CPU, with progress. Returns how
/// many. Throws UsageError where the file can't be written, std::invalid_argument for a model without
/// examples.
std::size_t write_explanations(const std::string& path, const std::shared_ptr<const engine::Model>&,
                               const engine::Records&, const Decided&);

}  // namespace lanner::host
