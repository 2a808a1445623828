#include "engine/detectors/isolation_forest/grow.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "engine/detectors/forests.hpp"
#include "engine/detectors/samples.hpp"
#include "engine/detectors/standardisation.hpp"
#include "kernels/arithmetic/elementary.hpp"
#include "kernels/mlp/random.hpp"

namespace lanner::engine::isolation_forest {
namespace {

using mlp::Random;

constexpr std::size_t trees_between_progress = 64;

// Where there are fewer rows than are wanted they come again.
std::vector<std::uint32_t> samples_of(std::size_t rows, std::size_t count, Random& random) {
  if (count < rows) return drawn_rows(rows, count, random);
  std::vector<std::uint32_t> all(count);
  for (std::size_t i = 0; i < count; ++i) all[i] = static_cast<std::uint32_t>(i % rows);
  return all;
}

// A tree of its own: nodes as in Forest.
struct Tree {
  std::vector<std::uint32_t> left, feature;
  std::vector<float> threshold, length;
};

class Grower {
 public:
  Grower(Rows rows, std::size_t samples, std::size_t features, std::uint64_t seed)
      : rows_(rows), random_(seed), own_(samples_of(rows.count, samples, random_)), features_(rows.width) {
    levels_ = static_cast<std::size_t>(std::bit_width(samples - 1));
    std::iota(features_.begin(), features_.end(), 0u);
    for (std::size_t j = 0; j < features && features < rows.width; ++j)
      std::swap(features_[j], features_[j + random_.below(rows.width - j)]);
    append();
    const double total = grow(0, 0, samples, 0, std::min(features, rows.width));
    tree_.length[0] = whole_ticks(total / static_cast<double>(samples));
  }
  Tree take() { return std::move(tree_); }

 private:
  std::size_t append() {
    tree_.left.push_back(0);
    tree_.feature.push_back(0);
    tree_.threshold.push_back(0);
    tree_.length.push_back(0);
    return tree_.left.size() - 1;
  }

  struct Range {
    float least, largest;
  };
  Range range_of(std::uint32_t feature, std::size_t begin, std::size_t end) const {
    Range range{rows_.row(own_[begin])[feature], rows_.row(own_[begin])[feature]};
    for (std::size_t i = begin + 1; i < end; ++i) {
      const float x = rows_.row(own_[i])[feature];
      range.least = std::min(range.least, x);
      range.largest = std::max(range.largest, x);
    }
    return range;
  }

  // Splits rows begin .. end of the tree's own, the first `varying` features being those that may vary among
  // them. Returns the sum of these rows' lengths. Depth is at most 31: the levels.
  double grow(std::size_t node, std::size_t begin, std::size_t end, std::size_t depth, std::size_t varying) {
    const std::size_t count = end - begin;
    std::uint32_t feature = 0;
    Range range{0, 0};
    while (count > 1 && depth < levels_ && varying > 0) {
      const std::size_t drawn = random_.below(varying);
      feature = features_[drawn];
      range = range_of(feature, begin, end);
      if (range.least < range.largest) break;
      std::swap(features_[drawn], features_[--varying]);  // constant here, and in every node below
    }
    if (!(range.least < range.largest)) {
      tree_.length[node] = whole_ticks(static_cast<double>(depth) + expected_length(count));
      return static_cast<double>(tree_.length[node]) * static_cast<double>(count);
    }

    const double least = range.least, largest = range.largest;
    const double share = random_.unit();
    const float threshold = std::clamp(static_cast<float>(least + share * (largest - least)), range.least,
                                       std::nextafter(range.largest, range.least));
    const auto first = own_.begin() + static_cast<std::ptrdiff_t>(begin);
    const auto last = own_.begin() + static_cast<std::ptrdiff_t>(end);
    const auto parted =
        std::partition(first, last, [&](std::uint32_t row) { return rows_.row(row)[feature] <= threshold; });
    const std::size_t middle = begin + static_cast<std::size_t>(parted - first);

    const std::size_t left = append(), right = append();
    tree_.left[node] = static_cast<std::uint32_t>(left);
    tree_.feature[node] = feature;
    tree_.threshold[node] = threshold;
    const double total =
        grow(left, begin, middle, depth + 1, varying) + grow(right, middle, end, depth + 1, varying);
    tree_.length[node] = whole_ticks(total / static_cast<double>(count));
    return total;
  }

  Rows rows_;
  Random random_;
  std::vector<std::uint32_t> own_;
  std::vector<std::uint32_t> features_;
  std::size_t levels_ = 0;
  Tree tree_;
};

void append(forest::Forest& forest, const Tree& tree) {
  const auto join = [](auto& all, const auto& more) { all.insert(all.end(), more.begin(), more.end()); };
  join(forest.left, tree.left);
  join(forest.feature, tree.feature);
  join(forest.threshold, tree.threshold);
  join(forest.length, tree.length);
  forest.tree_begin.push_back(static_cast<std::uint32_t>(forest.nodes()));
}

}  // namespace

double expected_length(std::size_t n) {
  if (n < 2) return 0;
  if (n == 2) return 1;
  const double rows = static_cast<double>(n);
  return 2 * (log(rows - 1) + 0.5772156649) - 2 * (rows - 1) / rows;
}

Scale scale_of(std::size_t trees, std::size_t width, std::size_t samples) {
  const double whole = static_cast<double>(trees) * expected_length(samples);
  return {0x1.62e42fefa39efp-1 / whole,  // ln 2
          round_even(whole / static_cast<double>(width) * forest::ticks) / forest::ticks};
}

void set_scale(forest::Forest& forest, std::size_t samples) {
  const Scale scale = scale_of(forest.trees(), forest.width, samples);
  forest.rate = scale.rate;
  forest.unseen = scale.unseen;
}

Grown grow(Device& device, Rows rows, const Growing& growing, const Progress& progress) {
  Grown grown;
  grown.samples = std::clamp<std::size_t>(growing.samples, 2, std::max<std::size_t>(rows.count, 2));
  grown.samples = std::min(grown.samples, forest::nodes_max(rows.width) / 2);
  const std::size_t features = growing.features == 0 ? rows.width : growing.features;
  Random random(growing.seed);
  std::vector<std::uint64_t> seeds(growing.trees);
  for (std::uint64_t& seed : seeds) seed = random.next();

  forest::Forest& forest = grown.forest;
  forest.width = rows.width;
  forest.tree_begin = {0};
  Stream stream = device.stream();
  std::vector<Tree> trees(trees_between_progress);
  for (std::size_t first = 0; first < growing.trees; first += trees_between_progress) {
    const std::size_t count = std::min(trees_between_progress, growing.trees - first);
    auto task = [&](std::size_t begin, std::size_t end, unsigned) {
      for (std::size_t t = begin; t < end; ++t)
        trees[t] = Grower(rows, grown.samples, features, seeds[first + t]).take();
    };
    stream.for_range(count, 1, task);
    for (std::size_t t = 0; t < count; ++t) append(forest, trees[t]);
    if (progress)
      progress(static_cast<double>(first + count) / static_cast<double>(growing.trees), "trees grown");
  }
  for (const std::size_t feature : constant_features(rows)) {
    forest.constant_feature.push_back(static_cast<std::uint32_t>(feature));
    forest.constant_value.push_back(rows.row(0)[feature]);
  }
  set_scale(forest, grown.samples);
  return grown;
}

}  // namespace lanner::engine::isolation_forest
