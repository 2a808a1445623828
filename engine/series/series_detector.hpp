// Anomalies in one series of numbers, row by row, with no look ahead and no training part.
//
// Definition. The first `warm_up` rows are learned from and raise no alarm. From then on two views of the
// series, the values as they are and their compression (compression.hpp, learned once from the warm-up), each
// give a score (series_view.hpp); the larger one is the row's. Alarms follow from scores by a policy whose
// spans are shares of the warm-up (alarm_policy.hpp). Both views see the warm-up rows too.
//
// A missing value (NaN, infinite, or beyond value_most in magnitude) is as if its row had never been: it
// changes no later score. It scores 0.
//
// State is bounded: about 160 kB a series with the defaults, whatever its length. The arithmetic is all our
// own (docs/arithmetic.md): the same rows give the same bits everywhere, and a snapshot goes on to the bit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "engine/series/alarm_policy.hpp"
#include "engine/series/compression.hpp"
#include "engine/series/series_view.hpp"

namespace lanner::engine {

struct SeriesParameters {
  std::size_t warm_up = 750;       ///< rows, 20 to 1,000,000; block lengths and pauses follow from it
  double threshold = 2.5;          ///< of the score: the fewer false alarms, the higher
  double pause = 0.16;             ///< after an alarm, in warm-ups
  double fatigue = 0.3;            ///< what an alarm adds to the threshold
  double fatigue_decay = 3;        ///< how long that lasts, in warm-ups
  std::size_t blocks_held = 1024;  ///< earlier windows that a window is compared with, 32 to 65,536
  double largest_share = 0.8;      ///< of the most surprising channel that the score is at least
  TailRule tail;
  SeasonRule season;
};

enum class SeriesViewKind : std::uint8_t { plain, compressed };

struct SeriesScore {
  double score = 0;  ///< 0 while warming up
  bool alarm = false;
  bool warming_up = false, missing = false;
  /// Which view gave the score, and its channels' surprises (-log10 of a tail probability each).
  SeriesViewKind view = SeriesViewKind::plain;
  std::array<double, series_channels> surprises{};
  double expected = 0;  ///< what the season would have, in the series' unit
  /// The score from which on this row is an alarm; infinity where none is.
  double threshold = std::numeric_limits<double>::infinity();
};

/// One series. The calling thread holds a FloatEnvironment. Not to be used by two threads at once.
class SeriesDetector {
 public:
  /// Throws std::invalid_argument naming the parameter that is out of range.
  explicit SeriesDetector(const SeriesParameters& = {});

  /// The next row. time_ns: since the epoch, UTC; rows are taken in the order they come, times need not rise.
  SeriesScore push(std::int64_t time_ns, double value);

  std::uint64_t missing() const { return missing_; }  ///< rows so far
  /// Learned from so far; parameters().warm_up: it is warm.
  std::size_t warm_up_rows() const { return views_ ? parameters_.warm_up : warm_up_values_.size(); }
  const SeriesParameters& parameters() const { return parameters_; }

  std::vector<std::byte> snapshot() const;
  /// Goes on where the other detector was. Throws std::invalid_argument for bytes that are no snapshot of a
  /// detector with the same parameters, and leaves the state as it was.
  void restore(std::span<const std::byte>);

 private:
  struct Views {
    Compression compression;
    SeriesView plain, compressed;
  };
  Views learned_from_warm_up() const;
  std::uint64_t parameters_fingerprint() const;

  SeriesParameters parameters_;
  ViewRule view_rule_;
  std::vector<std::int64_t> warm_up_times_;
  std::vector<double> warm_up_values_;
  std::optional<Views> views_;  ///< once warm
  AlarmPolicy policy_;
  std::uint64_t missing_ = 0;
};

}  // namespace lanner::engine
