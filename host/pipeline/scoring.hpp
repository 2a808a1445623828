// Scoring: from slots of feature rows to scores, decisions, and for flagged rows the reasons.
#pragma once

#include <cstddef>
#include <cstdint>

#include "host/clock.hpp"
#include "host/pipeline/stage.hpp"

namespace lanner::host {

class Scoring {
 public:
  Scoring(const Clock&, Device&, std::size_t rows_max, Counters&);

  /// Scores and decides, and explains what was flagged.
  void score(Slot&);

 private:
  void explain(Slot&, std::size_t lane, const Slot::Segment&, std::size_t at);

  const Clock& clock_;
  Device& device_;
  Stream stream_;
  std::size_t rows_max_, explain_max_;
  Counters& counters_;
  Pinned<std::uint8_t> none_refused_;
  Pinned<float> rows_, contributions_;
};

}  // namespace lanner::host
