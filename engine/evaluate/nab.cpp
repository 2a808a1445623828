#include "engine/evaluate/nab.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "kernels/arithmetic/elementary.hpp"

namespace lanner::engine {
namespace {

constexpr std::size_t no_window = static_cast<std::size_t>(-1);

double sigma(double y) {
  return y >= 3 ? -1 : 2 / (1 + lanner::exp(5 * y)) - 1;
}

struct Worth {
  std::size_t window = no_window;
  double value = 0;
};

/// What flagging each row is worth.
std::vector<Worth> worths(const NabSeries& series, const NabProfile& profile) {
  std::vector<Worth> result(series.rows);
  const double best = sigma(-1);
  std::size_t row = 0;
  double decay_rows = 0;  // of the window before, less one; 0: none, or too narrow
  std::size_t before = 0;
  const auto outside = [&](std::size_t end) {
    for (; row < end; ++row) {
      const double y = decay_rows > 0 ? static_cast<double>(row - before) / decay_rows : 3;
      result[row] = {no_window, profile.false_positive * sigma(y)};
    }
  };
  for (std::size_t w = 0; w < series.windows.size(); ++w) {
    const NabWindow& window = series.windows[w];
    if (window.first < row || window.last < window.first || window.last >= series.rows)
      throw std::invalid_argument(series.name + ": windows must be ascending, apart and within the rows");
    outside(window.first);
    const double width = static_cast<double>(window.last - window.first + 1);
    for (; row <= window.last; ++row) {
      const double left = static_cast<double>(window.last - row + 1);
      result[row] = {w, profile.true_positive * sigma(-left / width) / best};
    }
    before = window.last;
    decay_rows = width - 1;
  }
  outside(series.rows);
  return result;
}

/// A corpus' or a series' sum while rows are flagged one after the other.
class Tally {
 public:
  Tally(const NabSeries& series, const NabProfile& profile)
      : probation_(nab_probation(series.rows)),
        missed_(-profile.false_negative),
        worths_(worths(series, profile)),
        best_(series.windows.size(), missed_),
        found_(series.windows.size()) {
    for (const NabWindow& window : series.windows) score_.windows += window.last >= probation_;
    const double windows = static_cast<double>(score_.windows);
    score_.null = 0 - profile.false_negative * windows;  // not -0 without windows
    score_.perfect = profile.true_positive * windows;
    score_.raw = score_.null;
  }

  void flag(std::size_t row) {
    if (row < probation_) return;
    const Worth& worth = worths_[row];
    if (worth.window == no_window) {
      score_.raw += worth.value;
      ++score_.false_positives;
      return;
    }
    double& best = best_[worth.window];
    score_.raw += std::max(worth.value - best, 0.0);
    best = std::max(best, worth.value);
    score_.found += !found_[worth.window];
    found_[worth.window] = true;
  }
  const NabScore& score() const { return score_; }

 private:
  std::size_t probation_;
  double missed_;
  std::vector<Worth> worths_;
  std::vector<double> best_;
  std::vector<bool> found_;
  NabScore score_;
};

void check_length(const NabSeries& series, std::span<const double> scores) {
  if (scores.size() != series.rows)
    throw std::invalid_argument(series.name + ": there must be a score for every row");
}

}  // namespace

std::vector<NabProfile> nab_profiles() {
  return {{"standard", 1, 1, 0.11}, {"reward_low_FP_rate", 1, 1, 0.22}, {"reward_low_FN_rate", 1, 2, 0.11}};
}

std::size_t nab_probation(std::size_t rows) {
  // In whole numbers: 0.15 is no double.
  return std::min<std::size_t>(rows * 15 / 100, 750);
}

NabScore& NabScore::operator+=(const NabScore& other) {
  windows += other.windows;
  found += other.found;
  false_positives += other.false_positives;
  raw += other.raw;
  null += other.null;
  perfect += other.perfect;
  return *this;
}

double NabScore::normalised() const {
  return windows == 0 ? std::numeric_limits<double>::quiet_NaN() : 100 * (raw - null) / (perfect - null);
}

NabScore nab_score(const NabSeries& series, std::span<const double> scores, double threshold,
                   const NabProfile& profile) {
  check_length(series, scores);
  Tally tally(series, profile);
  for (std::size_t row = 0; row < scores.size(); ++row)
    if (scores[row] >= threshold) tally.flag(row);
  return tally.score();
}

double nab_optimised_threshold(std::span<const NabSeries> corpus, std::span<const std::vector<double>> scores,
                               const NabProfile& profile) {
  if (scores.size() != corpus.size()) throw std::invalid_argument("there must be scores for every series");
  struct Row {
    double score;
    std::size_t series, row;
  };
  std::vector<Tally> tallies;
  std::vector<Row> rows;
  for (std::size_t s = 0; s < corpus.size(); ++s) {
    check_length(corpus[s], scores[s]);
    tallies.emplace_back(corpus[s], profile);
    for (std::size_t row = nab_probation(corpus[s].rows); row < corpus[s].rows; ++row)
      rows.push_back({scores[s][row], s, row});
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.score > b.score; });

  const auto sum = [&] {
    double raw = 0;
    for (const Tally& tally : tallies) raw += tally.score().raw;
    return raw;
  };
  double best = sum(), threshold = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < rows.size();) {
    const double score = rows[i].score;
    for (; i < rows.size() && rows[i].score == score; ++i) tallies[rows[i].series].flag(rows[i].row);
    const double raw = sum();
    if (raw > best) {
      best = raw;
      threshold = score;
    }
  }
  return threshold;
}

}  // namespace lanner::engine
