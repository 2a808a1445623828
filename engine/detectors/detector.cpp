#include "engine/detectors/detector.hpp"

#include "kernels/finite/finite.hpp"

namespace lanner::engine {

bool Scorer::score_if_finite(Stream& stream, Rows rows, std::span<std::byte> workspace,
                             std::span<float> scores) const {
  if (!finite::all_finite(stream.tier(), rows)) return false;
  score(stream, rows, workspace, scores);
  return true;
}

}  // namespace lanner::engine
