#include "engine/detectors/extended_isolation_forest/grow.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "engine/detectors/forests.hpp"
#include "engine/detectors/isolation_forest/grow.hpp"
#include "engine/detectors/normal_numbers.hpp"
#include "engine/detectors/samples.hpp"
#include "engine/detectors/standardisation.hpp"
#include "kernels/mlp/formula.hpp"
#include "kernels/mlp/random.hpp"

namespace lanner::engine::extended_isolation_forest {
namespace {

using mlp::Random;
using oblique_forest::ObliqueForest;

constexpr float limit = 10;  // mean absolute differences
constexpr std::size_t trees_between_progress = 64;

// A tree of its own: nodes and cuts as in ObliqueForest, level by level.
struct Tree {
  std::vector<std::uint32_t> left, feature;
  std::vector<float> length, weight, centre, threshold;
};

class Grower {
 public:
  /// forest: its width, input, seen and mixed.
  Grower(Rows rows, const ObliqueForest& forest, std::size_t samples, oblique_forest::Projection projection,
         std::uint64_t seed)
      : forest_(forest),
        width_(forest.seen.size()),
        projection_(projection),
        random_(seed),
        normal_(random_),
        mean_(width_),
        features_(width_) {
    std::vector<std::uint32_t> drawn(samples, 0);  // a single row twice
    if (rows.count > 1) drawn = drawn_rows(rows.count, samples, random_);
    for (const std::uint32_t row : drawn)
      for (const std::uint32_t j : forest.seen)
        points_.push_back(mlp::standardised(rows.row(row)[j], forest.input.shift[j], forest.input.scale[j],
                                            forest.input.limit));
    own_.resize(samples);
    std::iota(own_.begin(), own_.end(), 0u);
    levels_ = static_cast<std::size_t>(std::bit_width(samples - 1));
    grow();
  }
  Tree take() { return std::move(tree_); }

 private:
  struct Branch {
    std::size_t begin, end;  ///< of its rows in own_
    std::size_t depth;
  };

  const float* point(std::size_t i) const { return points_.data() + own_[i] * width_; }

  void grow() {
    std::vector<Branch> branches = {{0, own_.size(), 0}};
    for (std::size_t node = 0; node < branches.size(); ++node) {
      const Branch here = branches[node];
      const std::size_t count = here.end - here.begin;
      const bool cuts = here.depth < levels_ && bound(here) > 0;
      tree_.left.push_back(cuts ? static_cast<std::uint32_t>(branches.size()) : 0);
      tree_.length.push_back(
          cuts ? 0.0f
               : whole_ticks(static_cast<double>(here.depth) + isolation_forest::expected_length(count)));
      if (!cuts) continue;
      const std::size_t middle = cut(here);
      branches.push_back({here.begin, middle, here.depth + 1});
      branches.push_back({middle, here.end, here.depth + 1});
    }
    // What the rows of an inner node are given in the mean, from the last to the root.
    std::vector<double> totals(branches.size());
    for (std::size_t node = branches.size(); node-- > 0;) {
      const double count = static_cast<double>(branches[node].end - branches[node].begin);
      const std::size_t left = tree_.left[node];
      if (left == 0) {
        totals[node] = static_cast<double>(tree_.length[node]) * count;
      } else {
        totals[node] = totals[left] + totals[left + 1];
        tree_.length[node] = whole_ticks(totals[node] / count);
      }
    }
  }

  // The bounding box and the mean; the features that vary come first in features_, ascending. Returns their
  // number.
  std::size_t bound(const Branch& branch) {
    if (branch.end - branch.begin < 2) return 0;
    low_.assign(point(branch.begin), point(branch.begin) + width_);
    high_ = low_;
    std::fill(mean_.begin(), mean_.end(), 0.0);
    for (std::size_t i = branch.begin; i < branch.end; ++i) {
      const float* const y = point(i);
      for (std::size_t j = 0; j < width_; ++j) {
        low_[j] = y[j] < low_[j] ? y[j] : low_[j];
        high_[j] = y[j] > high_[j] ? y[j] : high_[j];
        mean_[j] += static_cast<double>(y[j]);
      }
    }
    for (double& mean : mean_) mean /= static_cast<double>(branch.end - branch.begin);
    std::iota(features_.begin(), features_.end(), 0u);
    const auto varies = [&](std::uint32_t j) { return low_[j] < high_[j]; };
    varying_ = static_cast<std::size_t>(std::stable_partition(features_.begin(), features_.end(), varies) -
                                        features_.begin());
    return varying_;
  }

  // Where fewer features vary than a cut mixes, others fill its places with the weight 0.
  std::size_t cut(const Branch& branch) {
    const std::size_t mixed = forest_.mixed, first = tree_.weight.size();
    for (std::size_t i = 0; i < mixed && mixed < varying_; ++i)
      std::swap(features_[i], features_[i + random_.below(varying_ - i)]);
    std::sort(features_.begin(), features_.begin() + static_cast<std::ptrdiff_t>(mixed));
    std::vector<float> on_it(width_);
    for (std::size_t i = 0; i < mixed; ++i) {
      const std::uint32_t j = features_[i];
      const bool varies = low_[j] < high_[j];
      const double low = low_[j], high = high_[j];
      tree_.weight.push_back(varies ? normal_.next() : 0.0f);
      on_it[j] =
          varies ? std::min(static_cast<float>(low + random_.unit() * (high - low)), high_[j]) : low_[j];
      tree_.centre.push_back(static_cast<float>(mean_[j]));
    }
    const bool all = mixed == width_;
    if (!all)
      tree_.feature.insert(tree_.feature.end(), features_.begin(),
                           features_.begin() + static_cast<std::ptrdiff_t>(mixed));
    const auto sum = [&](const float* y) {
      return projection_(y, all ? nullptr : features_.data(), &tree_.weight[first], mixed);
    };
    const float threshold = sum(on_it.data());
    tree_.threshold.push_back(threshold);
    const auto parted =
        std::partition(own_.begin() + static_cast<std::ptrdiff_t>(branch.begin),
                       own_.begin() + static_cast<std::ptrdiff_t>(branch.end),
                       [&](std::uint32_t i) { return sum(points_.data() + i * width_) <= threshold; });
    return static_cast<std::size_t>(parted - own_.begin());
  }

  const ObliqueForest& forest_;
  std::size_t width_;  ///< of points: the features that cuts see
  oblique_forest::Projection projection_;
  Random random_;
  NormalNumbers normal_;
  std::vector<float> points_;  ///< [samples, width_] standardised
  std::vector<std::uint32_t> own_;
  std::size_t levels_ = 0;
  std::vector<float> low_, high_;
  std::vector<double> mean_;
  std::vector<std::uint32_t> features_;
  std::size_t varying_ = 0;
  Tree tree_;
};

void append(ObliqueForest& forest, const Tree& tree) {
  const auto join = [](auto& all, const auto& more) { all.insert(all.end(), more.begin(), more.end()); };
  join(forest.left, tree.left);
  join(forest.length, tree.length);
  join(forest.feature, tree.feature);
  join(forest.weight, tree.weight);
  join(forest.centre, tree.centre);
  join(forest.threshold, tree.threshold);
  forest.tree_begin.push_back(static_cast<std::uint32_t>(forest.nodes()));
}

// Before anything is grown, as if each node were cut: whether a fit is refused is no matter of chance.
void check_weights(const ObliqueForest& forest, std::size_t trees, std::size_t samples) {
  const std::size_t levels = static_cast<std::size_t>(std::bit_width(samples - 1));
  // A level has at most a node a row with rows, and of these only those of two rows and more are cut.
  const std::size_t a_tree = std::min((std::size_t{1} << levels) - 1, levels * (samples / 2));
  const std::size_t most = oblique_forest::cuts_max(forest.mixed);
  if (a_tree > most / trees)
    throw std::invalid_argument("found " + std::to_string(trees) + " trees of " + std::to_string(samples) +
                                " rows, up to " + std::to_string(a_tree) + " cuts each, allowed " +
                                std::to_string(most) + " in all where a cut mixes " +
                                std::to_string(forest.mixed) +
                                " features, whose weights take 2 GiB: set fewer trees, samples, or a lower "
                                "extension_level");
}

}  // namespace

void set_scale(Grown& grown) {
  ObliqueForest& forest = grown.forest;
  const isolation_forest::Scale scale =
      isolation_forest::scale_of(forest.trees(), forest.width, grown.samples);
  forest.rate = scale.rate;
  forest.unseen = scale.unseen;
}

Grown grow(Device& device, Rows rows, const Growing& growing, const Progress& progress) {
  Grown grown;
  grown.samples = std::clamp<std::size_t>(growing.samples, 2, std::max<std::size_t>(rows.count, 2));
  ObliqueForest& forest = grown.forest;
  forest.width = rows.width;
  forest.input = absolute_standardisation_of(rows, limit);
  const std::vector<std::size_t> constants = constant_features(rows);
  for (std::size_t j = 0; j < rows.width; ++j)
    if (!std::binary_search(constants.begin(), constants.end(), j))
      forest.seen.push_back(static_cast<std::uint32_t>(j));
  const std::size_t seen = forest.seen.size();
  forest.mixed = growing.mixed == 0 ? seen : std::min(growing.mixed, seen);
  check_weights(forest, growing.trees, grown.samples);
  Random random(growing.seed);
  std::vector<std::uint64_t> seeds(growing.trees);
  for (std::uint64_t& seed : seeds) seed = random.next();

  forest.tree_begin = {0};
  Stream stream = device.stream();
  const oblique_forest::Projection projection = oblique_forest::projection(stream.tier());
  std::vector<Tree> trees(trees_between_progress);
  for (std::size_t first = 0; first < growing.trees; first += trees_between_progress) {
    const std::size_t count = std::min(trees_between_progress, growing.trees - first);
    auto task = [&](std::size_t begin, std::size_t end, unsigned) {
      for (std::size_t t = begin; t < end; ++t)
        trees[t] = Grower(rows, forest, grown.samples, projection, seeds[first + t]).take();
    };
    stream.for_range(count, 1, task);
    for (std::size_t t = 0; t < count; ++t) append(forest, trees[t]);
    if (progress)
      progress(static_cast<double>(first + count) / static_cast<double>(growing.trees), "trees grown");
  }
  set_scale(grown);
  return grown;
}

}  // namespace lanner::engine::extended_isolation_forest
