// `lanner score` with a model of series: rows in the order of the file, each with its entity's windows.
#pragma once

#include <memory>
#include <string>

#include "engine/records/records.hpp"
#include "engine/series/series_model.hpp"
#include "host/cli/score_explanations.hpp"
#include "host/cli/scored.hpp"
#include "kernels/device/device.hpp"

namespace lanner::host {

/// All but thresholds and flags. Rows that lack the entity are refused, and said so on stderr.
Scored score_series(const std::shared_ptr<const engine::SeriesModel>&, Device&, const engine::Records&);

/// JSON, a line for each flagged row: as write_explanations, of the metrics, without what would be normal.
/// Explained on the CPU, with progress; all rows pass again. Throws UsageError where the file can't be
/// written.
void write_series_explanations(const std::string& path, const std::shared_ptr<const engine::SeriesModel>&,
                               const engine::Records&, const Decided&);

}  // namespace lanner::host
