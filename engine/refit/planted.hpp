// Anomalies planted in recent events, to compare two models by where there are no labels.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/features/features.hpp"
#include "engine/records/records.hpp"

namespace lanner::engine {

struct Planted {
  Records records;           ///< the same events, some of them altered
  std::vector<int> altered;  ///< [records.count] 1: this one is
};

/// One event in ten is altered, by the seed: every other one in one of the fields that the plan's features
/// read, the rest in each of them with a chance of a half. A number moves by 3, 5 or 8 of its field's spreads
/// (interquartile range over 1.349, Scale::robust) among these events, up or down; a missing one counts as
/// its field's median. A category becomes one that was never seen. The entity, the segment and the time stay
/// what they are. None is altered where no feature reads a number or a category. The records are of the
/// plan's schema.
Planted plant(const FeaturePlan&, const Records&, std::uint64_t seed);

}  // namespace lanner::engine
