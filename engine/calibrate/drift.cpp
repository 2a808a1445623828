// The n calibration values of a column cut the line into n + 1 gaps, and under exchangeability the next value
// falls into each with equal chance. A bin is a whole number of neighbouring gaps; after N events of which
// N_b fell into bin b, the chance of b is (gaps_b + N_b) / (n + 1 + N), exactly: a Polya urn. So
//   p = (gaps + events below the bin + u (gaps + events in it)) / (n + 1 + N),  u uniform by a hash
// are independent and uniform, whatever the column's distribution, and
//   capital <- (capital + what wakes) (1 + e (p - 1/2)),  e = -1, -1/2, 1/2, 1
// bets against it. Of each e's share of 1, all asleep at first, 1 / ((k + 1)(k + 2)) wakes evenly over the
// k-th of ever longer stretches of looks, 1024, 2048, ...: there is always fresh capital for a drift that
// begins now. It is a test martingale, so its chance of ever reaching L is at most 1 / L (Ville 1939), and
// the limits' inverses sum to drift_error. A sum and not the mean of the martingales, which need not be one:
// each is a martingale in the past of its own column alone.
//
// Only additions, multiplications and divisions, so that a replay on another machine gives the same bits.
#include "engine/calibrate/drift.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

namespace lanner::engine {
namespace {

constexpr std::size_t edges_each = drift_bins - 1;
constexpr std::size_t reference_rows_max = 100'000;
constexpr std::size_t beyond_one_in = 50;
// A feature is looked at in one row of four, which is soon enough and costs less, and ever more seldom in a
// long stream: how late a drift is noticed stays a small share of it. The score in one of 32 (of eight where
// no feature is watched), so that some hundred anomalies in a row pass as what they are.
constexpr std::uint64_t feature_every_first = 4, feature_every_last = 1024,
                        dense_rows = std::uint64_t{1} << 17;
constexpr std::uint64_t score_every_with_features = 32, score_every_alone = 8;
constexpr std::array<double, 4> stakes{-1, -0.5, 0.5, 1};
// With the smallest stake a column whose ranks are off by less than 2 points on average gains nothing.
constexpr std::uint64_t first_stretch = 1024;
constexpr std::uint64_t recent_looks = 1024;  // after so many, those before count half

/// SplitMix64's finaliser (Steele et al. 2014) over the number of a row and the place of a column.
std::uint64_t random_bits(std::uint64_t row, std::uint64_t column) {
  std::uint64_t z = (row + 1) * 0x9E3779B97F4A7C15u + (column + 1) * 0xD1B54A32D192ED03u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}
std::uint32_t tie_of(std::uint64_t random) {
  return static_cast<std::uint32_t>(random >> 32);
}
/// In (0, 1), of the bits that tie_of leaves.
double uniform_of(std::uint64_t random) {
  return (static_cast<double>(static_cast<std::uint32_t>(random)) + 0.5) * 0x1p-32;
}

/// What wakes for each stake at each look of the k-th stretch.
constexpr auto waking = [] {
  std::array<double, 64> wakes{};
  double stretch = first_stretch;
  for (std::size_t k = 0; k < wakes.size(); ++k, stretch *= 2)
    wakes[k] = 1 / (static_cast<double>((k + 1) * (k + 2)) * stretch * static_cast<double>(stakes.size()));
  return wakes;
}();
/// In which stretch a look is, the first being 0.
std::size_t stretch_of(std::uint64_t look) {
  return static_cast<std::size_t>(std::bit_width(look / first_stretch + 1)) - 1;
}

/// A feature is looked at in one ordinary row of so many, after so many ordinary rows: a power of two.
std::uint64_t feature_every(std::uint64_t ordinary) {
  return std::min(feature_every_first << std::bit_width(ordinary / dense_rows), feature_every_last);
}

/// Which gap the i-th edge is the end of, of `rows` + 1.
std::uint64_t gaps_below(std::uint64_t rows, std::size_t edge) {
  return edge * (rows + 1) / drift_bins;
}
std::uint64_t ordinary_rows(std::uint64_t rows) {
  return rows - rows / beyond_one_in;
}

using Ranked = std::pair<float, std::uint32_t>;

/// The value of a calibration row with a random number of its own.
Ranked ranked(float value, std::uint64_t row, std::size_t column) {
  return {value + 0.0f, tie_of(random_bits(row, column))};
}

/// Where the numbers of calibration rows begin: other scores, other random numbers, and none of an event's.
std::uint64_t first_row_number(std::span<const float> scores) {
  std::uint64_t number = 0;
  for (const float score : scores) number = random_bits(number, std::bit_cast<std::uint32_t>(score + 0.0f));
  return number | (std::uint64_t{1} << 63);
}

void add_edges(std::vector<Ranked>& column, DriftEdges& edges) {
  std::sort(column.begin(), column.end());
  for (std::size_t edge = 1; edge < drift_bins; ++edge) {
    const auto [value, tie] = column[gaps_below(column.size(), edge) - 1];
    edges.values.push_back(value);
    edges.ties.push_back(tie);
  }
}

/// Ascends with the value, then with the random number.
std::uint64_t key_of(float value, std::uint32_t tie) {
  const auto bits = std::bit_cast<std::uint32_t>(value + 0.0f);
  const std::uint32_t ascending = bits ^ ((bits >> 31) != 0 ? 0xFFFFFFFFu : 0x80000000u);
  return std::uint64_t{ascending} << 32 | tie;
}

/// The bins below a node of the urn's tree: the first, the first on the right side, one past the last.
struct NodeBins {
  std::size_t first, middle, end;
};
NodeBins bins_of(std::size_t node) {
  const std::size_t depth = static_cast<std::size_t>(std::bit_width(node)) - 1;
  const std::size_t width = drift_bins >> depth, first = (node - (std::size_t{1} << depth)) * width;
  return {first, first + width / 2, first + width};
}

}  // namespace

std::optional<DriftReference> drift_reference(Rows rows, std::span<const float> scores,
                                              std::span<const std::uint32_t> columns) {
  if (scores.size() != rows.count) throw std::invalid_argument("drift: as many scores as rows are needed");
  if (rows.count < drift_rows_min) return std::nullopt;
  DriftReference reference;
  reference.rows = std::min(rows.count, reference_rows_max);
  reference.columns.assign(columns.begin(), columns.end());
  const auto taken = [&](std::size_t i) { return i * rows.count / reference.rows; };

  const std::uint64_t first = first_row_number(scores);
  std::vector<Ranked> score(reference.rows), sorted;
  for (std::size_t i = 0; i < score.size(); ++i) score[i] = ranked(scores[taken(i)], first + i, 0);
  sorted = score;
  add_edges(sorted, reference.edges);
  const std::uint64_t ordinary = ordinary_rows(reference.rows);
  std::tie(reference.beyond, reference.beyond_tie) = sorted[ordinary];
  std::vector<Ranked> column;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    column.clear();
    for (std::size_t i = 0; i < score.size(); ++i)
      if (score[i] < sorted[ordinary])
        column.push_back(ranked(rows.row(taken(i))[columns[c]], first + i, c + 1));
    // Two scores can only be equal with their random numbers where these collide.
    while (column.size() < ordinary) column.push_back(column.back());
    add_edges(column, reference.edges);
  }
  return reference;
}

void validate(const DriftReference& reference, std::size_t width) {
  const auto wrong = [](const std::string& what) { throw std::invalid_argument("drift." + what); };
  if (reference.rows < drift_rows_min || reference.rows > reference_rows_max)
    wrong("rows: found " + std::to_string(reference.rows) + ", allowed 50 to 100000");
  for (std::size_t i = 0; i < reference.columns.size(); ++i)
    if (reference.columns[i] >= width || (i > 0 && reference.columns[i] <= reference.columns[i - 1]))
      wrong("columns: found columns that are not ascending or not there");
  const auto& [values, ties] = reference.edges;
  const std::size_t wanted = (reference.columns.size() + 1) * edges_each;
  if (values.size() != wanted || ties.size() != wanted)
    wrong("edges: found " + std::to_string(values.size()) + ", allowed " + std::to_string(wanted));
  if (!std::isfinite(reference.beyond)) wrong("beyond: found no number");
  for (std::size_t i = 0; i < wanted; ++i) {
    if (!std::isfinite(values[i])) wrong("edges: found no number");
    if (i % edges_each != 0 && Ranked(values[i], ties[i]) < Ranked(values[i - 1], ties[i - 1]))
      wrong("edges: found edges that are not ascending");
  }
}

RankUrn::RankUrn(std::span<const float> edges, std::span<const std::uint32_t> ties, std::uint64_t rows)
    : rows_(rows) {
  for (std::size_t node = 1; node < drift_bins; ++node) {
    const std::size_t edge = bins_of(node).middle - 1;
    keys_[node] = key_of(edges[edge], ties[edge]);
  }
  restore({});
}

std::uint64_t RankUrn::gaps_to(std::size_t bin) const {
  return gaps_below(rows_, bin + 1);
}

RankUrn::Rank RankUrn::next(float value, std::uint64_t random) {
  const std::uint64_t key = key_of(value, tie_of(random));
  std::uint64_t below = 0, inside = total_;
  std::size_t node = 1;
  while (node < drift_bins) {
    // Without branches, which nobody could predict.
    const std::uint64_t right = keys_[node] < key, turn = 0 - right, left = left_[node];
    left_[node] = left + 1 - right;
    below += left & turn;
    inside = left + ((inside - 2 * left) & turn);
    node = 2 * node + right;
  }
  const auto number = [](std::uint64_t n) { return static_cast<double>(static_cast<std::int64_t>(n)); };
  const double p = (number(below) + uniform_of(random) * number(inside)) / number(total_);
  ++total_;
  return {node - drift_bins, p};
}

std::array<std::uint64_t, drift_bins> RankUrn::counts() const {
  std::array<std::uint64_t, drift_bins> counts;
  counts.back() = seen();
  for (std::size_t edge = 0; edge < edges_each; ++edge) {
    // The edge's own node, and the way to it: what lies left of a node where the way turns right.
    std::uint64_t below = 0;
    for (std::size_t node = 1;;) {
      const auto [first, middle, end] = bins_of(node);
      if (edge + 1 >= middle) below += left_[node];
      if (edge + 1 == middle) break;
      node = 2 * node + (edge + 1 > middle);
    }
    counts[edge] = below - gaps_to(edge);
  }
  return counts;
}

void RankUrn::restore(const std::array<std::uint64_t, drift_bins>& counts) {
  if (!std::is_sorted(counts.begin(), counts.end()))
    throw std::invalid_argument("drift: counts that don't ascend");
  const auto below = [&](std::size_t bin) { return bin == 0 ? 0 : gaps_to(bin - 1) + counts[bin - 1]; };
  for (std::size_t node = 1; node < drift_bins; ++node) {
    const auto [first, middle, end] = bins_of(node);
    left_[node] = below(middle) - below(first);
  }
  total_ = below(drift_bins);
}

DriftWatch::DriftWatch(std::shared_ptr<const DriftReference> reference)
    : reference_(std::move(reference)),
      score_every_(reference_->columns.empty() ? score_every_alone : score_every_with_features) {
  const std::size_t features = reference_->columns.size();
  columns_.reserve(features + 1);
  for (std::size_t i = 0; i <= features; ++i) {
    const std::span values(reference_->edges.values.data() + i * edges_each, edges_each);
    const std::span ties(reference_->edges.ties.data() + i * edges_each, edges_each);
    // Half of the allowed error is the score's, half the features'.
    const double share = features == 0 ? 1 : i == 0 ? 0.5 : 0.5 / static_cast<double>(features);
    const std::uint64_t rows = i == 0 ? reference_->rows : ordinary_rows(reference_->rows);
    columns_.push_back({RankUrn(values, ties, rows), 1 / (drift_error * share)});
  }
}

/// Whether the capital has reached its limit.
bool DriftWatch::Column::bet(double p, double wakes) {
  double sum = 0;
  for (std::size_t i = 0; i < bets; ++i) {
    capital[i] = (capital[i] + wakes) * (1 + stakes[i] * (p - 0.5));
    sum += capital[i];
  }
  return sum >= limit;
}

void DriftWatch::look(std::size_t watched, float value, std::uint64_t random) {
  Column& column = columns_[watched];
  const std::uint64_t look = column.urn.seen();
  if (look % recent_looks == 0)
    for (std::uint32_t& count : column.recent) count /= 2;
  const auto [bin, p] = column.urn.next(value, random);
  ++column.recent[bin];
  // What has been withdrawn stays so: from then on only distances are kept up to date.
  if (withdrawn() || !column.bet(p, waking[stretch_of(look)])) return;
  withdrawn_at_ = events_ + 1;
  cause_ = watched;
}

// Rows at which nothing is looked at have only to be counted. How many of them come first; counted, up to the
// first that is refused or at `beyond`, where a tie decides.
std::size_t DriftWatch::pass_unseen(std::span<const float> scores, std::span<const std::uint8_t> refused) {
  const std::uint64_t every = feature_every(ordinary_), looked_at = ordinary_ & (every - 1);
  if (looked_at + 1 < columns_.size()) return 0;
  const std::uint64_t until_a_feature = every - looked_at,
                      until_the_score = (0 - events_) & (score_every_ - 1);
  const float beyond = reference_->beyond;
  std::size_t count = std::min({scores.size(), until_a_feature, until_the_score});
  std::uint32_t others = 0, ordinary = 0;
  for (std::size_t i = 0; i < count; ++i) others += scores[i] == beyond;
  if (!refused.empty())
    for (std::size_t i = 0; i < count; ++i) others += refused[i];
  if (others > 0)
    for (count = 0; scores[count] != beyond && (refused.empty() || !refused[count]);) ++count;
  for (std::size_t i = 0; i < count; ++i) ordinary += scores[i] < beyond;
  ordinary_ += ordinary;
  events_ += count;
  return count;
}

std::size_t DriftWatch::watch(Rows rows, std::span<const float> scores,
                              std::span<const std::uint8_t> refused) {
  if (scores.size() != rows.count || (!refused.empty() && refused.size() != rows.count))
    throw std::invalid_argument("drift: spans of different lengths");
  std::size_t first = withdrawn() ? 0 : rows.count;
  const float beyond = reference_->beyond;
  for (std::size_t i = 0; i < rows.count; ++i) {
    i += pass_unseen(scores.subspan(i), refused.empty() ? refused : refused.subspan(i));
    if (i == rows.count) break;
    if (!refused.empty() && refused[i]) continue;
    if ((events_ & (score_every_ - 1)) == 0) look(0, scores[i], random_bits(events_, 0));
    if (scores[i] < beyond ||
        (scores[i] == beyond && tie_of(random_bits(events_, 0)) < reference_->beyond_tie)) {
      const std::uint64_t every = feature_every(ordinary_);
      const float* const row = rows.row(i);
      for (std::size_t c = 1 + (ordinary_ & (every - 1)); c < columns_.size(); c += every)
        look(c, row[reference_->columns[c - 1]], random_bits(events_, c));
      ++ordinary_;
    }
    ++events_;
    if (withdrawn() && first == rows.count) first = i;
  }
  return first;
}

double DriftWatch::distance(std::size_t watched) const {
  const Column& column = columns_[watched];
  std::uint64_t total = 0;
  for (const std::uint32_t count : column.recent) total += count;
  if (total == 0) return 0;
  const auto all = static_cast<double>(column.urn.gaps_to(drift_bins - 1));
  std::uint64_t below = 0;
  double distance = 0;
  for (std::size_t bin = 0; bin < drift_bins; ++bin) {
    below += column.recent[bin];
    distance = std::max(distance, std::abs(static_cast<double>(below) / static_cast<double>(total) -
                                           static_cast<double>(column.urn.gaps_to(bin)) / all));
  }
  return distance;
}

std::vector<double> DriftWatch::state() const {
  std::vector<double> state{static_cast<double>(events_), static_cast<double>(ordinary_),
                            static_cast<double>(withdrawn_at_), static_cast<double>(cause_)};
  for (const Column& column : columns_) {
    for (const std::uint64_t count : column.urn.counts()) state.push_back(static_cast<double>(count));
    state.insert(state.end(), column.capital.begin(), column.capital.end());
    state.insert(state.end(), column.recent.begin(), column.recent.end());
  }
  return state;
}

void DriftWatch::restore(std::span<const double> state) {
  const auto expect = [](bool right) {
    if (!right) throw std::invalid_argument("that is no state of this drift watch");
  };
  const auto looks = [](std::uint64_t rows, std::uint64_t every) { return (rows + every - 1) / every; };
  const auto whole = [&](double value, double most) {
    expect(value >= 0 && value <= most && std::floor(value) == value);
    return static_cast<std::uint64_t>(value);
  };
  expect(state.size() == 4 + columns_.size() * (2 * drift_bins + bets));
  DriftWatch fresh(reference_);
  fresh.events_ = whole(state[0], 0x1p53);
  fresh.ordinary_ = whole(state[1], state[0]);
  fresh.withdrawn_at_ = whole(state[2], state[0]);
  fresh.cause_ = whole(state[3], static_cast<double>(columns_.size() - 1));
  const double* from = state.data() + 4;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    Column& column = fresh.columns_[i];
    std::array<std::uint64_t, drift_bins> counts;
    for (std::uint64_t& count : counts) count = whole(*from++, 0x1p53);
    column.urn.restore(counts);
    expect(column.urn.seen() <=
           (i == 0 ? looks(fresh.events_, score_every_) : looks(fresh.ordinary_, feature_every_first)));
    for (double& capital : column.capital) {
      expect(*from >= 0 && *from <= std::numeric_limits<float>::max());
      capital = *from++;
    }
    for (std::uint32_t& count : column.recent)
      count = static_cast<std::uint32_t>(whole(*from++, 2 * static_cast<double>(recent_looks)));
  }
  *this = std::move(fresh);
}

}  // namespace lanner::engine
