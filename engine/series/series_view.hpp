// One look at a series: four channels, each with a surprise, and their sum.
//
// Channels, for a warm-up of W rows: `point`, blocks of one row in windows of 8; `shape`, blocks of
// round(W / 200) rows (extremes) in windows of 8; `stretch`, blocks of round(W / 100) rows (extremes) in
// windows of 4 (left_neighbours.hpp); `season`, the value less what was expected (seasonal_profile.hpp), 0
// within 2^-40 of either. A window's channel keeps its surprise until its next block is complete; season's is
// the larger of two, of values above and below, each with a histogram of its own that takes 0 for values on
// the other side. Score: max(sum of the surprises / 2, largest_share * the largest). Divided by 2, the root
// of their number, the sum has the spread of one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/series/left_neighbours.hpp"
#include "engine/series/seasonal_profile.hpp"
#include "engine/series/surprise.hpp"

namespace lanner::engine {

enum class SeriesChannel { point, shape, stretch, season };
inline constexpr std::size_t series_channels = 4;

struct ViewScore {
  double score = 0;
  std::array<double, series_channels> surprises{};
  double expected = 0;  ///< by the season, in the view's unit
};

/// What each channel contributes to a score: half its surprise, or where largest_share of the largest is
/// more, that alone, of the first that is as large. They add up to it, to a rounding or two.
std::array<double, series_channels> channel_contributions(
    const std::array<double, series_channels>& surprises, double largest_share);

struct ViewRule {
  std::size_t warm_up = 750;
  std::size_t blocks_held = 1024;
  double largest_share = 0.8;
  TailRule tail;
  SeasonRule season;
};

class SeriesView {
 public:
  explicit SeriesView(const ViewRule&);

  ViewScore push(std::int64_t time_ns, double value);

  void save(SnapshotWriter&) const;
  void load(SnapshotReader&);

 private:
  struct Windows {
    LeftNeighbours neighbours;
    SurpriseHistogram histogram;
    double surprise = 0;
  };
  ViewRule rule_;
  std::vector<Windows> windows_;
  SeasonalProfile season_;
  SurpriseHistogram above_, below_;
};

}  // namespace lanner::engine
