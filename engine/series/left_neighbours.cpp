#include "engine/series/left_neighbours.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <limits>

#include "kernels/arithmetic/scalar.hpp"

namespace lanner::engine {
namespace {

// Blocks that may lie before those that count, until they are dropped.
constexpr std::size_t slack = 256;
// Candidates side by side: few enough for registers and the first cache.
constexpr std::size_t side_by_side = 64;

// sums[c] += the squared distances of a window from those that begin at blocks[c].
void add_squares(const double* window, std::size_t length, const double* blocks, std::size_t count,
                 double* sums) {
  for (std::size_t i = 0; i < length; ++i) {
    const double value = window[i];
    for (std::size_t c = 0; c < count; ++c) {
      const double difference = value - blocks[c + i];
      sums[c] += difference * difference;
    }
  }
}

}  // namespace

LeftNeighbours::LeftNeighbours(const BlockShape& shape, std::size_t held_max)
    : shape_(shape), held_max_(held_max) {
  assert(shape.rows >= 1 && shape.blocks >= 1 && (shape.extremes || shape.rows == 1));
  lows_.reserve(held_max + shape.blocks + slack);
  if (shape.extremes) highs_.reserve(lows_.capacity());
}

LeftNeighbours::Step LeftNeighbours::push(double value) {
  low_ = filled_ == 0 ? value : std::min(low_, value);
  high_ = filled_ == 0 ? value : std::max(high_, value);
  if (++filled_ < shape_.rows) return {};
  filled_ = 0;
  append_block();
  return {true, distance()};
}

void LeftNeighbours::append_block() {
  const std::size_t most = held_max_ + shape_.blocks;
  if (lows_.size() == most + slack) {
    for (auto* series : {&lows_, &highs_})
      if (!series->empty())
        series->erase(series->begin(), series->begin() + static_cast<std::ptrdiff_t>(begin_));
    begin_ = 0;
  }
  lows_.push_back(low_);
  if (shape_.extremes) highs_.push_back(high_);
  if (lows_.size() - begin_ > most) ++begin_;
}

std::optional<double> LeftNeighbours::distance() const {
  const std::size_t length = shape_.blocks;
  if (lows_.size() - begin_ < 2 * length) return std::nullopt;
  const std::size_t window = lows_.size() - length, end = window - length + 1;
  std::array<double, side_by_side> least;
  least.fill(std::numeric_limits<double>::infinity());
  for (std::size_t first = begin_; first < end; first += side_by_side) {
    const std::size_t count = std::min(side_by_side, end - first);
    std::array<double, side_by_side> sums{};
    add_squares(&lows_[window], length, &lows_[first], count, sums.data());
    if (shape_.extremes) add_squares(&highs_[window], length, &highs_[first], count, sums.data());
    for (std::size_t c = 0; c < count; ++c) least[c] = sums[c] < least[c] ? sums[c] : least[c];
  }
  return square_root(*std::min_element(least.begin(), least.end()));
}

void LeftNeighbours::save(SnapshotWriter& writer) const {
  writer.whole(filled_);
  writer.number(low_);
  writer.number(high_);
  writer.whole(lows_.size() - begin_);
  writer.numbers(std::span(lows_).subspan(begin_));
  if (shape_.extremes) writer.numbers(std::span(highs_).subspan(begin_));
}

void LeftNeighbours::load(SnapshotReader& reader) {
  filled_ = reader.whole(shape_.rows - 1);
  low_ = reader.number(-value_most, value_most);
  high_ = reader.number(low_, value_most);
  begin_ = 0;
  lows_.resize(reader.whole(held_max_ + shape_.blocks));
  reader.numbers(lows_, -value_most, value_most);
  if (!shape_.extremes) return;
  highs_.resize(lows_.size());
  reader.numbers(highs_, -value_most, value_most);
}

}  // namespace lanner::engine
