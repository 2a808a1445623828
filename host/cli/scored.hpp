// What `lanner score` knows of the rows of a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lanner::host {

struct Scored {
  std::vector<float> score;
  std::vector<double> p_value, threshold;
  std::vector<std::uint8_t> extrapolated, refused, flag;
  std::size_t withdrawn_from = SIZE_MAX;  ///< the first row at which the guarantee is withdrawn
  std::string drifted;                    ///< what did
};

}  // namespace lanner::host
