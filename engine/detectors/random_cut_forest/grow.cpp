#include "engine/detectors/random_cut_forest/grow.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>

#include "engine/detectors/isolation_forest/grow.hpp"
#include "engine/detectors/samples.hpp"
#include "engine/detectors/standardisation.hpp"
#include "kernels/arithmetic/elementary.hpp"
#include "kernels/mlp/formula.hpp"
#include "kernels/mlp/random.hpp"

namespace lanner::engine::random_cut_forest {
namespace {

using mlp::Random;

constexpr float limit = 30;  // mean absolute differences
constexpr std::size_t trees_between_progress = 64;

// A tree of its own: as in CutForest, its leaves' points being training rows.
struct Tree {
  std::vector<std::uint32_t> feature, child;
  std::vector<float> threshold;
  std::vector<std::uint32_t> leaf_row, mass;
};

class Grower {
 public:
  Grower(Rows rows, const mlp::Standardisation& input, std::size_t samples, double half_life,
         std::uint64_t seed)
      : width_(rows.width), random_(seed) {
    rows_ = half_life > 0 ? drawn_recent_rows(rows.count, samples, half_life, random_)
                          : drawn_rows(rows.count, samples, random_);
    points_.resize(samples * width_);
    for (std::size_t i = 0; i < samples; ++i)
      for (std::size_t j = 0; j < width_; ++j)
        points_[i * width_ + j] =
            mlp::standardised(rows.row(rows_[i])[j], input.shift[j], input.scale[j], input.limit);
    for (std::size_t i = 0; i < samples; ++i) own_.push_back(static_cast<std::uint32_t>(i));
    grow();
  }
  Tree take() { return std::move(tree_); }

 private:
  struct Branch {
    std::size_t begin, end;  ///< of its rows in own_
    std::size_t slot;        ///< of tree_.child, where it hangs
  };

  float value(std::uint32_t sample, std::size_t feature) const { return points_[sample * width_ + feature]; }

  // A chain of cuts can be as long as there are rows: no recursion.
  void grow() {
    constexpr std::size_t of_the_root = std::numeric_limits<std::size_t>::max();
    std::vector<std::pair<std::size_t, std::uint32_t>> leaves;  // where they hang, and their numbers
    std::vector<Branch> branches = {{0, own_.size(), of_the_root}};
    std::vector<float> low(width_), high(width_);
    while (!branches.empty()) {
      const Branch here = branches.back();
      branches.pop_back();
      const double range = bound(here, low, high);
      if (!(range > 0)) {
        leaves.emplace_back(here.slot, static_cast<std::uint32_t>(tree_.mass.size()));
        tree_.leaf_row.push_back(rows_[*std::min_element(at(here.begin), at(here.end))]);
        tree_.mass.push_back(static_cast<std::uint32_t>(here.end - here.begin));
        continue;
      }
      const auto [feature, threshold] = cut(low, high, range);
      const auto parted = std::partition(
          at(here.begin), at(here.end), [&, f = feature, t = threshold](auto i) { return value(i, f) <= t; });
      const auto middle = static_cast<std::size_t>(parted - own_.begin());
      if (here.slot != of_the_root) tree_.child[here.slot] = static_cast<std::uint32_t>(tree_.feature.size());
      tree_.feature.push_back(feature);
      tree_.threshold.push_back(threshold);
      tree_.child.resize(tree_.child.size() + 2);
      branches.push_back({middle, here.end, tree_.child.size() - 1});
      branches.push_back({here.begin, middle, tree_.child.size() - 2});
    }
    for (const auto& [slot, number] : leaves)
      if (slot != of_the_root) tree_.child[slot] = static_cast<std::uint32_t>(tree_.feature.size()) + number;
  }

  std::vector<std::uint32_t>::iterator at(std::size_t place) {
    return own_.begin() + static_cast<std::ptrdiff_t>(place);
  }

  // The bounding box, and the sum of its sides.
  double bound(const Branch& branch, std::vector<float>& low, std::vector<float>& high) const {
    for (std::size_t j = 0; j < width_; ++j) low[j] = high[j] = value(own_[branch.begin], j);
    for (std::size_t i = branch.begin + 1; i < branch.end; ++i)
      for (std::size_t j = 0; j < width_; ++j) {
        low[j] = std::min(low[j], value(own_[i], j));
        high[j] = std::max(high[j], value(own_[i], j));
      }
    double sum = 0;
    for (std::size_t j = 0; j < width_; ++j)
      sum += static_cast<double>(high[j]) - static_cast<double>(low[j]);
    return sum;
  }

  std::pair<std::uint32_t, float> cut(const std::vector<float>& low, const std::vector<float>& high,
                                      double range) {
    double place = random_.unit() * range;
    std::size_t feature = width_;
    for (std::size_t j = 0; j < width_; ++j) {
      const double side = static_cast<double>(high[j]) - static_cast<double>(low[j]);
      if (!(side > 0)) continue;
      feature = j;
      if (place < side) break;
      place -= side;
    }
    // Rounding may have left the place beyond the last side.
    const auto threshold = static_cast<float>(static_cast<double>(low[feature]) + place);
    return {static_cast<std::uint32_t>(feature),
            std::clamp(threshold, low[feature], std::nextafter(high[feature], low[feature]))};
  }

  std::size_t width_;
  Random random_;
  std::vector<std::uint32_t> rows_, own_;
  std::vector<float> points_;  ///< [samples, width] standardised
  Tree tree_;
};

// A training row that several trees have is one point.
class Joined {
 public:
  Joined(Grown& grown, Rows rows) : grown_(grown), rows_(rows) {}

  void append(const Tree& tree) {
    const auto join = [](auto& all, const auto& more) { all.insert(all.end(), more.begin(), more.end()); };
    cut_forest::CutForest& forest = grown_.forest;
    join(forest.feature, tree.feature);
    join(forest.threshold, tree.threshold);
    join(forest.child, tree.child);
    join(grown_.mass, tree.mass);
    for (const std::uint32_t row : tree.leaf_row) forest.leaf_point.push_back(point_of(row));
    forest.node_begin.push_back(static_cast<std::uint32_t>(forest.nodes()));
  }

 private:
  std::uint32_t point_of(std::uint32_t row) {
    cut_forest::CutForest& forest = grown_.forest;
    const auto [at, is_new] = points_.emplace(row, static_cast<std::uint32_t>(points_.size()));
    if (is_new)
      for (std::size_t j = 0; j < forest.width; ++j)
        forest.points.push_back(mlp::standardised(rows_.row(row)[j], forest.input.shift[j],
                                                  forest.input.scale[j], forest.input.limit));
    return at->second;
  }

  Grown& grown_;
  Rows rows_;
  std::unordered_map<std::uint32_t, std::uint32_t> points_;
};

// Before anything is grown, as if no two rows were equal: whether a fit is refused is no matter of chance.
void check_boxes(std::size_t width, std::size_t trees, std::size_t samples) {
  const std::size_t cuts = trees * (samples - 1), most = cut_forest::nodes_max(width);
  if (cuts > most)
    throw std::invalid_argument("found " + std::to_string(trees) + " trees of " + std::to_string(samples) +
                                " rows, " + std::to_string(cuts) + " cuts in all, allowed " +
                                std::to_string(most) + " with " + std::to_string(width) +
                                " features, whose boxes take 2 GiB: set fewer trees, or fewer samples");
}

double least_length(std::size_t samples) {
  return std::max(isolation_forest::expected_length(samples), 1.0);
}

float of_depth(double depth, std::size_t samples) {
  constexpr double ln_2 = 0x1.62e42fefa39efp-1;
  return static_cast<float>(exp(-ln_2 * depth / least_length(samples)));
}

// Of one tree: of inner nodes first, then of leaves.
struct Place {
  std::size_t mass = 0, depth = 0;
  double displaced_above = 0;  ///< the largest of the nodes above
};

std::vector<Place> places_of(const Grown& grown, std::size_t t) {
  const cut_forest::CutForest& forest = grown.forest;
  const std::size_t begin = forest.node_begin[t], count = forest.node_begin[t + 1] - begin;
  std::vector<Place> places(2 * count + 1);
  for (std::size_t leaf = 0; leaf <= count; ++leaf) places[count + leaf].mass = grown.mass[begin + t + leaf];
  const std::uint32_t* const child = forest.child.data() + 2 * begin;
  for (std::size_t i = count; i-- > 0;)
    places[i].mass = places[child[2 * i]].mass + places[child[2 * i + 1]].mass;
  for (std::size_t i = 0; i < count; ++i)
    for (const std::size_t side : {0u, 1u}) {
      Place& here = places[child[2 * i + side]];
      const Place& other = places[child[2 * i + 1 - side]];
      here.depth = places[i].depth + 1;
      here.displaced_above = std::max(places[i].displaced_above,
                                      static_cast<double>(other.mass) / (static_cast<double>(here.mass) + 1));
    }
  return places;
}

}  // namespace

void set_values(Grown& grown) {
  cut_forest::CutForest& forest = grown.forest;
  const double samples = static_cast<double>(grown.samples);
  const bool by_depth = grown.measure == Measure::depth;
  forest.scale = by_depth ? 1 : samples;
  forest.value.resize(forest.nodes());
  forest.leaf_apart.resize(forest.leaves());
  forest.leaf_same.resize(forest.leaves());
  for (std::size_t t = 0; t < forest.trees(); ++t) {
    const std::size_t begin = forest.node_begin[t], count = forest.node_begin[t + 1] - begin;
    const std::vector<Place> places = places_of(grown, t);
    for (std::size_t i = 0; i < places.size(); ++i) {
      const Place& place = places[i];
      const double depth = static_cast<double>(place.depth) + 1;
      const float apart =
          by_depth ? of_depth(depth, grown.samples)
                   : static_cast<float>(std::max(static_cast<double>(place.mass), place.displaced_above) /
                                        samples);
      if (i < count) {
        forest.value[begin + i] = apart;
        continue;
      }
      const std::size_t leaf = begin + t + i - count;
      forest.leaf_apart[leaf] = apart;
      forest.leaf_same[leaf] =
          by_depth ? of_depth(depth + isolation_forest::expected_length(place.mass + 1), grown.samples)
                   : static_cast<float>(place.displaced_above / samples);
    }
  }
}

float score_at_leaves(const Grown& grown) {
  const cut_forest::CutForest& forest = grown.forest;
  double sum = 0;
  for (std::size_t leaf = 0; leaf < forest.leaves(); ++leaf)
    sum += static_cast<double>(forest.leaf_apart[leaf]) * static_cast<double>(grown.mass[leaf]);
  return static_cast<float>(forest.scale * sum /
                            (static_cast<double>(forest.trees()) * static_cast<double>(grown.samples)));
}

Grown grow(Device& device, Rows rows, const Growing& growing, const Progress& progress) {
  Grown grown;
  grown.samples = std::clamp<std::size_t>(growing.samples, 1, rows.count);
  grown.measure = growing.measure;
  check_boxes(rows.width, growing.trees, grown.samples);
  Random random(growing.seed);
  std::vector<std::uint64_t> seeds(growing.trees);
  for (std::uint64_t& seed : seeds) seed = random.next();

  cut_forest::CutForest& forest = grown.forest;
  forest.width = rows.width;
  forest.input = absolute_standardisation_of(rows, limit);
  forest.node_begin = {0};
  Stream stream = device.stream();
  std::vector<Tree> trees(trees_between_progress);
  Joined joined(grown, rows);
  for (std::size_t first = 0; first < growing.trees; first += trees_between_progress) {
    const std::size_t count = std::min(trees_between_progress, growing.trees - first);
    auto task = [&](std::size_t begin, std::size_t end, unsigned) {
      for (std::size_t t = begin; t < end; ++t)
        trees[t] = Grower(rows, forest.input, grown.samples, growing.half_life, seeds[first + t]).take();
    };
    stream.for_range(count, 1, task);
    for (std::size_t t = 0; t < count; ++t) joined.append(trees[t]);
    if (progress)
      progress(static_cast<double>(first + count) / static_cast<double>(growing.trees), "trees grown");
  }
  set_values(grown);
  return grown;
}

}  // namespace lanner::engine::random_cut_forest
