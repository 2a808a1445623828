// `lanner evaluate` on series: `--protocol nab` and `--protocol series`.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace lanner::host {

struct NabArguments {
  std::vector<std::string> data;       ///< series, or one folder that holds them under the names in `labels`
  std::string labels;                  ///< combined_windows.json
  std::string profiles;                ///< profiles.json; "": the published ones
  std::optional<std::size_t> warm_up;  ///< rows; none: each series' probation
  std::string out;
};
int evaluate_nab(const NabArguments&);

/// data: .npz with train, test and test_label.
int evaluate_machines(const std::vector<std::string>& data, const std::string& out);

}  // namespace lanner::host
