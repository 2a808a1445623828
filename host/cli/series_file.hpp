// One series of numbers in a data file: what `series` watches and `evaluate --protocol nab` scores.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lanner::host {

struct SeriesFile {
  std::vector<std::int64_t> times_ns;
  std::vector<double> values;  ///< NaN where missing
};

/// `time`: a column as read_data takes times, or "none": every row's time is then 0. Throws InvalidData
/// naming the file and the column.
SeriesFile read_series(const std::string& path, const std::string& time, const std::string& value);

}  // namespace lanner::host
