#include "engine/features/row_pieces.hpp"

#include <algorithm>
#include <stdexcept>

namespace lanner::engine {

RowPieces::RowPieces(const FeaturePlan& plan, const Records& records, FeatureState* state,
                     std::span<float> room)
    : plan_(plan), records_(records), state_(state), room_(room), refused_(room.size() / plan.width()) {
  if (refused_.empty()) throw std::invalid_argument("a piece has no room for a row");
}

bool RowPieces::next() {
  begin_ = end_;
  if (begin_ >= records_.count) return false;
  end_ = std::min(records_.count, begin_ + refused_.size());
  reasons_.clear();
  plan_.transform(records_, begin_, end_, state_, {room_.data(), end_ - begin_, plan_.width(), plan_.width()},
                  std::span(refused_).first(end_ - begin_), reasons_);
  return true;
}

}  // namespace lanner::engine
