#include "engine/explain/explainer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/arithmetic/scalar.hpp"

namespace lanner::engine {
namespace {

constexpr std::size_t scored_at_a_time = 64;
constexpr std::size_t nearest_looked_at = 64;
constexpr std::size_t columns_looked_at = 32;
constexpr std::size_t quantiles = 33, quantile_rows_most = 4096;
constexpr double step = 0.125, even_until = 2, growth = 1.1, beyond = 2;
constexpr std::size_t cuts = 15;
constexpr double resolution = 0x1p-22;

void check_row(std::span<const float> row, std::size_t width) {
  if (row.size() != width)
    throw std::invalid_argument("found a row of " + std::to_string(row.size()) + " features, allowed " +
                                std::to_string(width));
}

}  // namespace

Explainer::Explainer(std::shared_ptr<const Model> model, Device& device)
    : model_(std::move(model)), scorer_(model_->fitted().resident(device)), stream_(device.stream()) {
  if (!model_->examples())
    throw std::invalid_argument(
        "the model has no examples to compare with: an earlier version wrote it, fit it again");
  workspace_ = device.array<std::byte>(scorer_->workspace_bytes(scored_at_a_time));
  learn_places();
}

Explainer::~Explainer() = default;

std::size_t Explainer::width() const {
  return scorer_->width();
}

Rows Explainer::compared_with() const {
  if (const Rows kept = model_->fitted().reference_rows(); kept.count > 0) return kept;
  const std::vector<float>& rows = model_->examples()->rows;
  return {rows.data(), rows.size() / width(), width(), width()};
}

void Explainer::learn_places() {
  const Rows rows = compared_with();
  if (rows.count == 0) return;
  const std::size_t count = std::min(rows.count, quantile_rows_most);
  std::vector<float> values(count);
  places_.resize(width() * quantiles);
  for (std::size_t j = 0; j < width(); ++j) {
    for (std::size_t i = 0; i < count; ++i)
      values[i] = rows.row(i * (rows.count - 1) / std::max<std::size_t>(count - 1, 1))[j];
    std::sort(values.begin(), values.end());
    for (std::size_t q = 0; q < quantiles; ++q)
      places_[j * quantiles + q] = values[q * (count - 1) / (quantiles - 1)];
  }
}

void Explainer::score(Rows rows, std::span<float> scores) {
  for (std::size_t begin = 0; begin < rows.count; begin += scored_at_a_time) {
    const std::size_t end = std::min(rows.count, begin + scored_at_a_time);
    scorer_->score(stream_, rows.slice(begin, end), workspace_.span(), scores.subspan(begin, end - begin));
  }
}

std::optional<NormalExample> Explainer::nearest_normal(std::span<const float> row, float normal_most) {
  check_row(row, width());
  const Rows rows = compared_with();
  const std::vector<float>& spread = model_->examples()->spread;
  std::vector<double> squared(rows.count);
  for (std::size_t i = 0; i < rows.count; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < width(); ++j) {
      const double difference = (static_cast<double>(row[j]) - static_cast<double>(rows.row(i)[j])) /
                                static_cast<double>(spread[j]);
      sum = fma(difference, difference, sum);
    }
    squared[i] = sum;
  }
  std::vector<std::size_t> order(rows.count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const std::size_t looked_at = std::min(rows.count, nearest_looked_at);
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(looked_at), order.end(),
                    [&](std::size_t a, std::size_t b) {
                      return squared[a] != squared[b] ? squared[a] < squared[b] : a < b;
                    });
  std::vector<float> gathered, scores(looked_at);
  for (std::size_t i = 0; i < looked_at; ++i)
    gathered.insert(gathered.end(), rows.row(order[i]), rows.row(order[i]) + width());
  score({gathered.data(), looked_at, width(), width()}, scores);
  for (std::size_t i = 0; i < looked_at; ++i) {
    if (!(scores[i] <= normal_most)) continue;
    const float* const found = gathered.data() + i * width();
    return NormalExample{{found, found + width()}, square_root(squared[order[i]]), scores[i]};
  }
  return std::nullopt;
}

std::vector<std::size_t> Explainer::columns_by_contribution(std::span<const float> row) {
  std::vector<float> parts(width());
  scorer_->contributions(stream_, {row.data(), 1, width(), width()}, workspace_.span(),
                         {parts.data(), 1, width(), width()});
  std::vector<std::size_t> columns;
  for (std::size_t j = 0; j < width(); ++j)
    if (model_->features().stands_alone(j)) columns.push_back(j);
  std::stable_sort(columns.begin(), columns.end(),
                   [&](std::size_t a, std::size_t b) { return std::fabs(parts[a]) > std::fabs(parts[b]); });
  columns.resize(std::min(columns.size(), columns_looked_at));
  return columns;
}

struct Explainer::Candidate {
  double size;      // in spreads
  std::size_t ray;  // a column and a side
  float to;
};

// One row's search. A ray is a column and the side on which its value is changed.
class Explainer::Search {
 public:
  Search(Explainer& explainer, std::span<const float> row, float normal_most)
      : explainer_(explainer),
        row_(row),
        normal_most_(normal_most),
        columns_(explainer.columns_by_contribution(row)),
        last_(2 * columns_.size()),
        done_(2 * columns_.size()),
        rows_(scored_at_a_time * row.size()),
        scores_(scored_at_a_time) {
    for (std::size_t ray = 0; ray < last_.size(); ++ray) last_[ray] = row_[columns_[ray / 2]];
  }

  std::optional<Counterfactual> run() {
    const std::vector<Candidate> all = candidates();
    for (std::size_t begin = 0; begin < all.size();) {
      batch_.clear();
      for (; begin < all.size() && batch_.size() < scored_at_a_time; ++begin) {
        const Candidate& candidate = all[begin];
        // What lies beyond can be smaller than the best only where the last one on its side is.
        if (!done_[candidate.ray] && size_of(candidate.ray, last_[candidate.ray]) < best_size())
          batch_.push_back(candidate);
      }
      score_batch();
      for (std::size_t i = 0; i < batch_.size(); ++i) take(batch_[i], scores_[i]);
      for (const Bracket& bracket : std::exchange(found_, {})) refine(bracket);
    }
    return best_;
  }

 private:
  /// `last` isn't normal and `to`, of that score, is.
  struct Bracket {
    std::size_t ray;
    float last, to, score;
  };

  std::size_t column(std::size_t ray) const { return columns_[ray / 2]; }
  double spread(std::size_t ray) const {
    return static_cast<double>(explainer_.model_->examples()->spread[column(ray)]);
  }
  double size_of(std::size_t ray, float to) const {
    return std::fabs(static_cast<double>(to) - static_cast<double>(row_[column(ray)])) / spread(ray);
  }
  double best_size() const { return best_ ? best_->size : std::numeric_limits<double>::infinity(); }

  void add(std::vector<Candidate>& all, std::size_t column_place, double to) const {
    const std::size_t j = columns_[column_place];
    constexpr double most = std::numeric_limits<float>::max();
    const auto value = static_cast<float>(std::clamp(to, -most, most));
    if (value == row_[j]) return;
    const std::size_t ray = 2 * column_place + (value > row_[j] ? 1 : 0);
    all.push_back({size_of(ray, value), ray, value});
  }

  /// By size; of one size, the column that contributes most first.
  std::vector<Candidate> candidates() const {
    std::vector<Candidate> all;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      const std::span<const float> places =
          std::span(explainer_.places_).subspan(columns_[c] * quantiles, quantiles);
      const double from = static_cast<double>(row_[columns_[c]]), unit = spread(2 * c);
      for (const float place : places) add(all, c, static_cast<double>(place));
      const double reach =
          std::max(from - static_cast<double>(places.front()), static_cast<double>(places.back()) - from) /
              unit +
          beyond;
      for (double size = step; size < reach * growth;
           size = size < even_until ? size + step : size * growth) {
        add(all, c, from - size * unit);
        add(all, c, from + size * unit);
      }
    }
    std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
      return a.size != b.size ? a.size < b.size : a.ray < b.ray;
    });
    return all;
  }

  void score_batch() {
    const std::size_t width = row_.size();
    for (std::size_t i = 0; i < batch_.size(); ++i) {
      std::ranges::copy(row_, rows_.begin() + static_cast<std::ptrdiff_t>(i * width));
      rows_[i * width + column(batch_[i].ray)] = batch_[i].to;
    }
    explainer_.score({rows_.data(), batch_.size(), width, width}, scores_);
  }

  void take(const Candidate& candidate, float score) {
    const std::size_t ray = candidate.ray;
    if (done_[ray]) return;
    if (score <= normal_most_) {
      found_.push_back({ray, last_[ray], candidate.to, score});
      done_[ray] = true;
    } else {
      last_[ray] = candidate.to;
    }
  }

  void refine(Bracket bracket) {
    auto& [ray, last, to, score] = bracket;
    while (size_of(ray, last) < best_size()) {
      const double gap = static_cast<double>(to) - static_cast<double>(last);
      if (std::fabs(gap) <= resolution * size_of(ray, to) * spread(ray)) break;
      batch_.clear();
      for (std::size_t cut = 1; cut <= cuts; ++cut) {
        const auto between =
            static_cast<float>(static_cast<double>(last) + gap * static_cast<double>(cut) / (cuts + 1));
        const float before = batch_.empty() ? last : batch_.back().to;
        if (between != before && between != to) batch_.push_back({size_of(ray, between), ray, between});
      }
      if (batch_.empty()) break;
      score_batch();
      for (std::size_t i = 0; i < batch_.size(); ++i) {
        if (scores_[i] <= normal_most_) {
          to = batch_[i].to;
          score = scores_[i];
          break;
        }
        last = batch_[i].to;
      }
    }
    settle(ray, to, score);
  }

  /// As people know it the value must give the same row again; where its rounding doesn't, the next float
  /// that does and is normal.
  void settle(std::size_t ray, float to, float score) {
    const FeaturePlan& plan = explainer_.model_->features();
    const float away = to > row_[column(ray)] ? std::numeric_limits<float>::infinity()
                                              : -std::numeric_limits<float>::infinity();
    constexpr int tries = 8;
    for (int i = 0; i < tries; ++i, to = std::nextafter(to, away)) {
      const double value = plan.natural(column(ray), to);
      const float again = plan.from_natural(column(ray), value);
      if (again != to || i > 0) {
        batch_.assign(1, {0, ray, again});
        score_batch();
        score = scores_[0];
      }
      if (!(score <= normal_most_)) continue;
      const double size = size_of(ray, again);
      if (size > 0 && size < best_size()) best_ = {column(ray), again, value, size, score};
      return;
    }
  }

  Explainer& explainer_;
  std::span<const float> row_;
  float normal_most_;
  std::vector<std::size_t> columns_;
  std::vector<float> last_;  // the largest change of each ray so far: not normal
  std::vector<bool> done_;
  std::vector<Bracket> found_;
  std::optional<Counterfactual> best_;

  std::vector<Candidate> batch_;
  std::vector<float> rows_, scores_;
};

std::optional<Counterfactual> Explainer::counterfactual(std::span<const float> row, float normal_most) {
  check_row(row, width());
  float own = 0;
  score({row.data(), 1, width(), width()}, {&own, 1});
  if (own <= normal_most || compared_with().count == 0) return std::nullopt;
  return Search(*this, row, normal_most).run();
}

}  // namespace lanner::engine
