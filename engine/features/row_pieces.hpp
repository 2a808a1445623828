// Rows of records, a piece at a time, windows carried from one to the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/features/features.hpp"

namespace lanner::engine {

class RowPieces {
 public:
  /// `room` [pieces of plan.width()]: where a piece's rows lie, so many of them a piece; at least one row's,
  /// of the device that the rows are for. `state` as FeaturePlan::transform has it. All of it outlives this.
  RowPieces(const FeaturePlan&, const Records&, FeatureState* state, std::span<float> room);

  /// The next piece; false: there is none. Throws what FeaturePlan::transform throws.
  bool next();
  /// Of the piece at hand: its rows, which records they are, which of them are refused (1), and why by the
  /// plan.
  Rows rows() const { return {room_.data(), end_ - begin_, plan_.width(), plan_.width()}; }
  std::size_t begin() const { return begin_; }
  std::size_t end() const { return end_; }
  std::span<const std::uint8_t> refused() const { return std::span(refused_).first(end_ - begin_); }
  std::span<const RowRefusal> reasons() const { return reasons_; }

 private:
  const FeaturePlan& plan_;
  const Records& records_;
  FeatureState* state_;
  std::span<float> room_;
  std::size_t begin_ = 0, end_ = 0;
  std::vector<std::uint8_t> refused_;
  std::vector<RowRefusal> reasons_;
};

}  // namespace lanner::engine
