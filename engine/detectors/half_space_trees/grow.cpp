#include "engine/detectors/half_space_trees/grow.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "engine/detectors/forests.hpp"
#include "engine/detectors/standardisation.hpp"
#include "kernels/arithmetic/scalar.hpp"
#include "kernels/mlp/random.hpp"

namespace lanner::engine::half_space_trees {
namespace {

constexpr std::size_t trees_between_progress = 16;

struct Range {
  double low, high;
};

// A tree of its own: nodes as in Forest, with the rows and the mass of each.
struct Tree {
  std::vector<std::uint32_t> left, feature, rows;
  std::vector<float> threshold;
  std::vector<double> mass;  // of a leaf
};

class Grower {
 public:
  Grower(Rows rows, const std::vector<std::uint32_t>& varying, const std::vector<Range>& spans,
         std::size_t depth, std::size_t leaf_rows, std::uint64_t seed)
      : rows_(rows),
        varying_(varying),
        depth_(depth),
        leaf_rows_(leaf_rows),
        random_(seed),
        own_(rows.count) {
    std::iota(own_.begin(), own_.end(), 0u);
    for (const Range& span : spans) {
      const double s = random_.unit(), half = 2 * std::max(s, 1 - s), width = span.high - span.low;
      work_.push_back({span.low + (s - half) * width, span.low + (s + half) * width});
    }
    append();
    grow(0, 0, rows.count, 0);
  }
  Tree take() { return std::move(tree_); }

 private:
  std::size_t append() {
    tree_.left.push_back(0);
    tree_.feature.push_back(0);
    tree_.rows.push_back(0);
    tree_.threshold.push_back(0);
    tree_.mass.push_back(0);
    return tree_.left.size() - 1;
  }

  void grow(std::size_t node, std::size_t begin, std::size_t end, std::size_t level) {
    const std::size_t count = end - begin;
    tree_.rows[node] = static_cast<std::uint32_t>(count);
    if (count <= leaf_rows_ || level == depth_ || varying_.empty()) {
      tree_.mass[node] =
          std::ldexp(static_cast<double>(count) / static_cast<double>(rows_.count), static_cast<int>(level));
      return;
    }
    constexpr double largest = std::numeric_limits<float>::max();
    const std::size_t drawn = random_.below(varying_.size());
    const std::uint32_t feature = varying_[drawn];
    const Range range = work_[drawn];
    const double middle = range.low + (range.high - range.low) / 2;
    const auto threshold = static_cast<float>(std::clamp(middle, -largest, largest));
    const auto parted = std::partition(
        own_.begin() + static_cast<std::ptrdiff_t>(begin), own_.begin() + static_cast<std::ptrdiff_t>(end),
        [&](std::uint32_t row) { return rows_.row(row)[feature] <= threshold; });
    const auto between = static_cast<std::size_t>(parted - own_.begin());
    const std::size_t left = append(), right = append();
    tree_.left[node] = static_cast<std::uint32_t>(left);
    tree_.feature[node] = feature;
    tree_.threshold[node] = threshold;
    work_[drawn] = {range.low, middle};
    grow(left, begin, between, level + 1);
    work_[drawn] = {middle, range.high};
    grow(right, between, end, level + 1);
    work_[drawn] = range;
  }

  Rows rows_;
  const std::vector<std::uint32_t>& varying_;
  std::size_t depth_, leaf_rows_;
  mlp::Random random_;
  std::vector<std::uint32_t> own_;
  std::vector<Range> work_;  // of the node that is split, one a varying feature
  Tree tree_;
};

float length_of(double mass, double largest_mass) {
  const float length = whole_ticks(static_cast<double>(forest::length_max) * (mass / largest_mass));
  return mass > 0 ? std::max(length, static_cast<float>(1 / forest::ticks)) : 0;
}

void append(forest::Forest& forest, const Tree& tree, double largest_mass) {
  const std::size_t nodes = tree.left.size(), begin = forest.nodes();
  forest.left.insert(forest.left.end(), tree.left.begin(), tree.left.end());
  forest.feature.insert(forest.feature.end(), tree.feature.begin(), tree.feature.end());
  forest.threshold.insert(forest.threshold.end(), tree.threshold.begin(), tree.threshold.end());
  forest.length.resize(begin + nodes);
  // Of all rows in a node; children stand after it.
  std::vector<double> sums(nodes);
  for (std::size_t node = nodes; node-- > 0;) {
    const double rows = static_cast<double>(tree.rows[node]);
    float& length = forest.length[begin + node];
    if (tree.left[node] == 0) {
      length = length_of(tree.mass[node], largest_mass);
      sums[node] = static_cast<double>(length) * rows;
    } else {
      sums[node] = sums[tree.left[node]] + sums[tree.left[node] + 1];
      length = whole_ticks(sums[node] / rows);
    }
  }
  forest.tree_begin.push_back(static_cast<std::uint32_t>(forest.nodes()));
}

}  // namespace

void set_scale(forest::Forest& forest) {
  double whole = 0;
  for (std::size_t t = 0; t < forest.trees(); ++t) {
    const std::size_t root = forest.tree_begin[t];
    whole += root < forest.length.size() ? static_cast<double>(forest.length[root]) : 0;
  }
  constexpr double ln_2 = 0x1.62e42fefa39efp-1;
  forest.rate = std::min(10 * ln_2 / whole, 1.0);
  forest.unseen = round_even(whole / static_cast<double>(forest.width) * forest::ticks) / forest::ticks;
}

forest::Forest grow(Device& device, Rows rows, const Growing& growing, const Progress& progress) {
  forest::Forest forest;
  forest.width = rows.width;
  forest.tree_begin = {0};
  for (const std::size_t feature : constant_features(rows)) {
    forest.constant_feature.push_back(static_cast<std::uint32_t>(feature));
    forest.constant_value.push_back(rows.row(0)[feature]);
  }
  std::vector<std::uint32_t> varying;
  std::vector<Range> spans;
  for (std::uint32_t j = 0; j < rows.width; ++j) {
    if (std::binary_search(forest.constant_feature.begin(), forest.constant_feature.end(), j)) continue;
    Range span{rows.row(0)[j], rows.row(0)[j]};
    for (std::size_t i = 1; i < rows.count; ++i) {
      span.low = std::min(span.low, static_cast<double>(rows.row(i)[j]));
      span.high = std::max(span.high, static_cast<double>(rows.row(i)[j]));
    }
    varying.push_back(j);
    spans.push_back(span);
  }
  // A tree of so many levels has at most as many nodes as it may have.
  const std::size_t depth = std::min<std::size_t>(
      growing.depth, static_cast<std::size_t>(std::bit_width(forest::nodes_max(rows.width))) - 2);
  const auto leaf_rows =
      static_cast<std::size_t>(std::max(growing.leaf_share * static_cast<double>(rows.count), 1.0));

  mlp::Random random(growing.seed);
  std::vector<std::uint64_t> seeds(growing.trees);
  for (std::uint64_t& seed : seeds) seed = random.next();
  std::vector<Tree> trees(growing.trees);
  Stream stream = device.stream();
  for (std::size_t first = 0; first < growing.trees; first += trees_between_progress) {
    const std::size_t count = std::min(trees_between_progress, growing.trees - first);
    auto task = [&](std::size_t begin, std::size_t end, unsigned) {
      for (std::size_t t = first + begin; t < first + end; ++t)
        trees[t] = Grower(rows, varying, spans, depth, leaf_rows, seeds[t]).take();
    };
    stream.for_range(count, 1, task);
    if (progress)
      progress(static_cast<double>(first + count) / static_cast<double>(growing.trees), "trees grown");
  }
  double largest_mass = 0;
  for (const Tree& tree : trees)
    largest_mass = std::max(largest_mass, *std::max_element(tree.mass.begin(), tree.mass.end()));
  for (const Tree& tree : trees) append(forest, tree, largest_mass);
  set_scale(forest);
  return forest;
}

}  // namespace lanner::engine::half_space_trees
