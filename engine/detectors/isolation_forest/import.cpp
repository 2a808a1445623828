#include "engine/detectors/isolation_forest/import.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "engine/detectors/forests.hpp"
#include "engine/detectors/isolation_forest/grow.hpp"
#include "engine/detectors/isolation_forest/model.hpp"

namespace lanner::engine::isolation_forest {
namespace {

constexpr float largest = std::numeric_limits<float>::max();
constexpr double rows_max = 0x1p53;

std::string shown(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

[[noreturn]] void refuse(const std::string& where, const std::string& found, const std::string& allowed) {
  throw std::invalid_argument(where + ": found " + found + ", allowed " + allowed);
}

void check_size(const char* what, std::size_t found, std::size_t nodes) {
  if (found != nodes) refuse(what, std::to_string(found) + " values", "one a node: " + std::to_string(nodes));
}

void check_arrays(const ForeignForest& from) {
  const std::size_t nodes = from.left.size();
  const auto& begin = from.tree_begin;
  if (begin.size() < 2) refuse("tree_begin", "no tree", "at least one");
  if (nodes > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
    refuse("left", std::to_string(nodes) + " nodes", "at most 2^31 - 1");
  check_size("right", from.right.size(), nodes);
  check_size("feature", from.feature.size(), nodes);
  check_size("threshold", from.threshold.size(), nodes);
  if (!from.rows.empty()) check_size("rows", from.rows.size(), nodes);
  if (!from.length.empty()) check_size("length", from.length.size(), nodes);
  if (from.rows.empty() && from.length.empty()) refuse("rows", "neither rows nor lengths", "one of them");
  if (begin.front() != 0 || begin.back() != static_cast<std::int64_t>(nodes) ||
      std::adjacent_find(begin.begin(), begin.end(), std::greater_equal<>()) != begin.end())
    refuse("tree_begin", "trees that do not divide the nodes among them",
           "ascending numbers from 0 to the number of nodes, " + std::to_string(nodes));
}

// c grows with the number of rows.
std::size_t samples_of(double average_length) {
  std::size_t low = 2, high = std::size_t{1} << 30;
  while (high - low > 1) {
    const std::size_t middle = low + (high - low) / 2;
    (expected_length(middle) <= average_length ? low : high) = middle;
  }
  const auto distance = [&](std::size_t n) { return std::fabs(expected_length(n) - average_length); };
  const std::size_t nearest = distance(high) < distance(low) ? high : low;
  if (!std::isfinite(average_length) || !(distance(nearest) <= 1e-6 * average_length))
    refuse("average_length", shown(average_length),
           "what a search among a whole number of rows takes on average (2 rows: 1; 256: 10.2447709)");
  return nearest;
}

// A tree's nodes level by level, so that children stand side by side.
class TreeImport {
 public:
  TreeImport(const ForeignForest& from, std::size_t tree)
      : from_(from),
        begin_(static_cast<std::size_t>(from.tree_begin[tree])),
        count_(static_cast<std::size_t>(from.tree_begin[tree + 1]) - begin_),
        tree_(tree) {
    if (count_ > forest::nodes_max(from.width))
      refuse("tree " + std::to_string(tree), std::to_string(count_) + " nodes",
             "at most " + std::to_string(forest::nodes_max(from.width)) + " with so many features");
  }

  void append_to(forest::Forest& forest) {
    std::vector<bool> reached(count_);
    reached[0] = true;
    places_.push_back({0, 0});
    for (std::size_t i = 0; i < places_.size(); ++i) add(i, reached);
    if (places_.size() != count_)
      refuse("tree " + std::to_string(tree_),
             std::to_string(count_ - places_.size()) + " nodes that no branch leads to", "none");
    average();
    const auto join = [](auto& all, const auto& more) { all.insert(all.end(), more.begin(), more.end()); };
    join(forest.left, left_);
    join(forest.feature, feature_);
    join(forest.threshold, threshold_);
    for (const double length : length_) forest.length.push_back(whole_ticks(length));
    forest.tree_begin.push_back(static_cast<std::uint32_t>(forest.nodes()));
  }

 private:
  struct Place {
    std::size_t node;  // as it was numbered
    std::size_t depth;
  };

  std::string where(std::size_t node) const {
    return "tree " + std::to_string(tree_) + ", node " + std::to_string(node);
  }

  void add(std::size_t place, std::vector<bool>& reached) {
    const auto [node, depth] = places_[place];
    const std::size_t at = begin_ + node;
    left_.push_back(0);
    feature_.push_back(0);
    threshold_.push_back(0);
    length_.push_back(0);
    weight_.push_back(0);
    if (from_.left[at] == -1 && from_.right[at] == -1) return add_leaf(place, at);

    std::size_t children[2];
    for (const auto& [child, given] :
         {std::pair{&children[0], from_.left[at]}, std::pair{&children[1], from_.right[at]}}) {
      if (given < 0 || static_cast<std::uint64_t>(given) >= count_)
        refuse(where(node), "the child " + std::to_string(given),
               "numbers below " + std::to_string(count_) + ", the tree's nodes, or -1 for both of a leaf");
      *child = static_cast<std::size_t>(given);
      if (reached[*child])
        refuse(where(node), "the child " + std::to_string(given) + ", which is reached already",
               "a node that no other branch leads to");
      reached[*child] = true;
    }
    if (from_.feature[at] < 0 || static_cast<std::uint64_t>(from_.feature[at]) >= from_.width)
      refuse(where(node), "feature " + std::to_string(from_.feature[at]),
             "0 to " + std::to_string(from_.width - 1));
    const double threshold = from_.threshold[at];
    if (std::isnan(threshold)) refuse(where(node), "a threshold that is no number", "a number");
    // Where even the least float32 is above it, every row goes right: as it does left of the largest.
    const bool never_left = threshold < -static_cast<double>(largest);
    if (never_left) std::swap(children[0], children[1]);
    left_[place] = static_cast<std::uint32_t>(places_.size());
    feature_[place] = static_cast<std::uint32_t>(from_.feature[at]);
    threshold_[place] = never_left ? largest : not_above(threshold);
    for (const std::size_t child : children) places_.push_back({child, depth + 1});
  }

  void add_leaf(std::size_t place, std::size_t at) {
    const auto [node, depth] = places_[place];
    if (!from_.rows.empty()) {
      const double rows = from_.rows[at];
      // Where they make the length they are counted.
      const bool counted = rows >= 1 && rows == std::floor(rows);
      if (!(rows >= 0 && rows <= rows_max) || (from_.length.empty() && !counted))
        refuse(where(node), shown(rows) + " rows",
               from_.length.empty() ? "a whole number of at least 1" : "a number of at least 0");
      weight_[place] = rows;
    }
    length_[place] = from_.length.empty() ? static_cast<double>(depth) +
                                                expected_length(static_cast<std::size_t>(from_.rows[at]))
                                          : from_.length[at];
    if (!(length_[place] >= 0 && length_[place] <= static_cast<double>(forest::length_max)))
      refuse(where(node), "the length " + shown(length_[place]), "0 to 64");
  }

  // The largest float32 that isn't above; at least the least there is.
  static float not_above(double threshold) {
    const auto near = static_cast<float>(std::min(threshold, static_cast<double>(largest)));
    return static_cast<double>(near) > threshold ? std::nextafter(near, -largest) : near;
  }

  // Inner nodes' lengths: the mean over their rows.
  void average() {
    for (std::size_t i = places_.size(); i-- > 0;) {
      const std::size_t left = left_[i], right = left + 1;
      if (left == 0) continue;
      const double weight = weight_[left] + weight_[right];
      const double share = weight > 0 ? weight_[left] / weight : 0.5;
      length_[i] = length_[right] + share * (length_[left] - length_[right]);
      weight_[i] = weight;
    }
  }

  const ForeignForest& from_;
  std::size_t begin_, count_, tree_;
  std::vector<Place> places_;
  std::vector<std::uint32_t> left_, feature_;
  std::vector<float> threshold_;
  std::vector<double> length_, weight_;
};

}  // namespace

Imported import_forest(const ForeignForest& from) {
  check_arrays(from);
  if (from.width == 0 || from.width > forest::width_max)
    refuse("width", std::to_string(from.width) + " features", "1 to 2^20");
  auto grown = std::make_shared<Grown>();
  grown->samples = from.samples == 0 ? samples_of(from.average_length) : from.samples;
  if (grown->samples < 2 || grown->samples > samples_max)
    refuse("samples", std::to_string(grown->samples), "2 to 2^30: of a single row all paths are empty");
  grown->forest.width = from.width;
  grown->forest.tree_begin = {0};
  for (std::size_t t = 0; t + 1 < from.tree_begin.size(); ++t) TreeImport(from, t).append_to(grown->forest);
  set_scale(grown->forest, grown->samples);
  forest::validate(grown->forest);
  const std::map<std::string, std::string> settings{{"trees", std::to_string(grown->forest.trees())},
                                                    {"samples", std::to_string(grown->samples)}};
  return {"isolation_forest", std::make_shared<Model>(std::move(grown)), settings};
}

}  // namespace lanner::engine::isolation_forest
