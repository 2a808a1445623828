// The drift watch: whether a stream still looks like the rows that its model was calibrated on. Conformal
// test martingales (Vovk, Nouretdinov & Gammerman 2003, "Testing exchangeability on-line"; Vovk 2021,
// "Testing randomness online") for the score and for each feature. docs/calibration.md states the method for
// users.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/rows.hpp"

namespace lanner::engine {

/// Bins of each watched column, and the calibration rows that there must be.
inline constexpr std::size_t drift_bins = 32, drift_rows_min = 50;
/// The chance of ever withdrawing the guarantee of one stream and model without drift is at most this.
inline constexpr double drift_error = 0.001;

/// Order statistics of the calibration rows. Equal values are ordered by random numbers, `ties`, so that a
/// feature of two values is watched as exactly as any other.
struct DriftEdges {
  std::vector<float> values;
  std::vector<std::uint32_t> ties;
};

/// What the watch compares a stream with. Plain data, part of the model.
struct DriftReference {
  std::uint64_t rows = 0;              ///< calibration rows, drift_rows_min at least
  std::vector<std::uint32_t> columns;  ///< the features that are watched, ascending
  /// drift_bins - 1 of the score, then as many of each watched feature, ascending.
  DriftEdges edges;
  /// Rows whose score is above this, one in fifty, are not looked at for their features: a burst of anomalies
  /// is no drift of theirs.
  float beyond = 0;
  std::uint32_t beyond_tie = 0;
};

/// rows [n, d] and their scores [n], finite, by a detector that was not fitted on them; suspected anomalies
/// among them, as the stream has them too. `columns`: the features to watch, ascending, below d. Of more than
/// 100,000 rows as many, evenly spaced, are taken. Nothing where there are fewer than drift_rows_min.
std::optional<DriftReference> drift_reference(Rows rows, std::span<const float> scores,
                                              std::span<const std::uint32_t> columns);

/// Throws std::invalid_argument that says what is wrong; width: of the feature rows.
void validate(const DriftReference&, std::size_t width);

/// The p-values of one column: where each value ranks among the calibration rows and all values before it, by
/// the bins. Independent and uniform as long as all of them might have come in any order with equal chance.
class RankUrn {
 public:
  /// drift_bins - 1 edges of that many calibration rows.
  RankUrn(std::span<const float> edges, std::span<const std::uint32_t> ties, std::uint64_t rows);

  struct Rank {
    std::size_t bin = 0;
    double p = 0;  ///< in (0, 1), small for low values
  };
  /// `random`: 64 bits of the value's own.
  Rank next(float value, std::uint64_t random);

  std::uint64_t seen() const { return total_ - rows_ - 1; }
  /// Of calibration, in that bin and those below it.
  std::uint64_t gaps_to(std::size_t bin) const;
  std::array<std::uint64_t, drift_bins> counts() const;  ///< of the values seen, likewise
  /// Throws std::invalid_argument unless they ascend.
  void restore(const std::array<std::uint64_t, drift_bins>& counts);

 private:
  // A balanced search tree over the edges that counts as it is searched: nodes 1 to drift_bins - 1, the
  // children of i being 2 i and 2 i + 1. An edge is ordered by its value, then by its random number.
  std::array<std::uint64_t, drift_bins> keys_{};
  std::array<std::uint64_t, drift_bins> left_{};  ///< gaps and values on the left side of each node
  std::uint64_t rows_, total_;
};

/// The watch over one stream and model. Not thread safe; fed in recorded order; what it says depends on the
/// events and nothing else. Bounded: about 700 bytes a watched column.
class DriftWatch {
 public:
  /// The reference is valid.
  explicit DriftWatch(std::shared_ptr<const DriftReference>);

  /// Rows [n, d] with their scores [n]; refused[i] = 1 (or an empty span): that row takes no part. The first
  /// row at which the guarantee is withdrawn, 0 if it was before, n if it still holds. Allocates nothing.
  std::size_t watch(Rows rows, std::span<const float> scores, std::span<const std::uint8_t> refused);

  bool withdrawn() const { return withdrawn_at_ != 0; }
  std::uint64_t events() const { return events_; }  ///< watched so far
  /// The number of the event, from 1, at which the guarantee was withdrawn; 0: it holds.
  std::uint64_t withdrawn_at() const { return withdrawn_at_; }
  /// What drifted: 0 the score, i the i-th watched feature, from 1.
  std::size_t cause() const { return cause_; }
  /// The score, then each watched feature: Kolmogorov's distance, 0 to 1, of the recent events (1,024 to
  /// 2,048 that were looked at) and the calibration rows, over the bins' edges. For people; it decides
  /// nothing.
  std::size_t watched() const { return columns_.size(); }
  double distance(std::size_t watched) const;

  /// The state, to be stored with results and restored: plain numbers.
  std::vector<double> state() const;
  /// Throws std::invalid_argument where that is no state of a watch of this reference.
  void restore(std::span<const double>);

 private:
  static constexpr std::size_t bets = 4;
  struct Column {
    RankUrn urn;
    double limit;  ///< the capital that withdraws the guarantee
    std::array<double, bets> capital{};
    std::array<std::uint32_t, drift_bins> recent{};

    bool bet(double p, double wakes);
  };
  void look(std::size_t watched, float value, std::uint64_t random);
  std::size_t pass_unseen(std::span<const float> scores, std::span<const std::uint8_t> refused);

  std::shared_ptr<const DriftReference> reference_;
  std::vector<Column> columns_;
  std::uint64_t score_every_;
  std::uint64_t events_ = 0, ordinary_ = 0;  ///< watched, and of these looked at for their features
  std::uint64_t withdrawn_at_ = 0;
  std::size_t cause_ = 0;
};

}  // namespace lanner::engine
