// What leaves the host under a name of its own: all that publishing, storing and showing need of what scores
// a stream, be it a model or a series.
#pragma once

#include <string>
#include <vector>

#include "host/config/config.hpp"
#include "host/publish/messages.hpp"

namespace lanner::host {

struct LaneIdentity {
  std::string name;  ///< "model" on the wire
  Role role = Role::active;
  std::string detector;               ///< a name of the catalogue, or "series"
  std::string hash;                   ///< "sha256:..." of what was learned, or set
  std::string rule;                   ///< the decision rule, for people
  std::vector<std::string> features;  ///< what contributions are of
  std::vector<int> raw_field;         ///< for each of these: the field it is a plain function of, or -1
  float base = 0;                     ///< which the score is, beside its contributions
  ScoresHeader header, gpu_header;
};

}  // namespace lanner::host
