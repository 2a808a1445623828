#include "kernels/forest/forest.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/device/gpu.hpp"
#include "kernels/device/resident.hpp"
#include "kernels/forest/forest_gpu.hpp"
#include "kernels/forest/forest_layout.hpp"

namespace lanner::forest {
namespace {

constexpr std::size_t rows_a_piece_of_work = 1024;

[[noreturn]] void refuse(const std::string& reason) {
  throw std::invalid_argument("forest: " + reason);
}

unsigned bits_of_features(std::size_t width) {
  return static_cast<unsigned>(std::bit_width(width - 1));
}

bool whole_ticks(double value) {
  return std::nearbyint(value * ticks) == value * ticks;
}

void validate_tree(const Forest& forest, std::size_t begin, std::size_t end) {
  const std::size_t count = end - begin;
  if (count > nodes_max(forest.width)) refuse("a tree has more nodes than it can with so many features");
  std::vector<bool> is_child(count);
  std::size_t children = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const float length = forest.length[begin + i];
    if (!(std::fabs(length) <= length_max) || !whole_ticks(static_cast<double>(length)))
      refuse("a length is beyond 64, or no multiple of 2^-18");
    if (!std::isfinite(forest.threshold[begin + i])) refuse("a threshold is not finite");
    const std::size_t left = forest.left[begin + i];
    if (left == 0) {
      if (forest.feature[begin + i] != 0) refuse("a leaf has a feature");
      continue;
    }
    if (left <= i || left + 1 >= count) refuse("a node's children do not stand after it, in its tree");
    if (is_child[left] || is_child[left + 1]) refuse("a node has two parents");
    if (forest.feature[begin + i] >= forest.width) refuse("a node splits a feature that there is not");
    is_child[left] = is_child[left + 1] = true;
    children += 2;
  }
  if (children + 1 != count) refuse("a tree has nodes without a parent");
}

}  // namespace

std::size_t nodes_max(std::size_t width) {
  return std::size_t{1} << (31 - bits_of_features(width));
}

void validate(const Forest& forest) {
  if (forest.width == 0 || forest.width > width_max) refuse("no features, or too many");
  if (forest.trees() == 0 || forest.trees() > trees_max) refuse("no trees, or more than 2^20");
  const std::size_t nodes = forest.nodes();
  if (nodes > std::numeric_limits<std::int32_t>::max()) refuse("more than 2^31 - 1 nodes");
  if (forest.feature.size() != nodes || forest.threshold.size() != nodes || forest.length.size() != nodes)
    refuse("not one child, feature, threshold and length a node");
  if (forest.tree_begin.front() != 0 || forest.tree_begin.back() != nodes ||
      std::adjacent_find(forest.tree_begin.begin(), forest.tree_begin.end(), std::greater_equal<>()) !=
          forest.tree_begin.end())
    refuse("the trees do not divide the nodes among them");
  for (std::size_t t = 0; t < forest.trees(); ++t)
    validate_tree(forest, forest.tree_begin[t], forest.tree_begin[t + 1]);
  if (forest.constant_value.size() != forest.constants()) refuse("not one value a constant");
  for (std::size_t c = 0; c < forest.constants(); ++c) {
    if (forest.constant_feature[c] >= forest.width) refuse("a constant is of a feature that there is not");
    if (!std::isfinite(forest.constant_value[c])) refuse("a constant is not finite");
  }
  if (forest.constants() > forest.width) refuse("more constants than features");
  if (!(forest.unseen >= 0) || !whole_ticks(forest.unseen) ||
      !(forest.unseen * static_cast<double>(std::max<std::size_t>(forest.constants(), 1)) <= total_max))
    refuse("what an unseen value takes off is below 0, too much, or no multiple of 2^-18");
  if (!(forest.rate > 0) || !(forest.rate <= 1)) refuse("the rate is not in (0, 1]");
}

namespace {

// Of the packed nodes, which stand level by level.
void pack_shallow(PackedForest& packed) {
  for (const Tree& tree : packed.trees)
    if (tree.depth > ShallowTree::levels_max) return;
  struct Place {
    std::uint32_t level, path;  ///< the path's bits down to its level
  };
  std::vector<std::uint16_t> slots;
  std::vector<Place> places;
  for (const Tree& tree : packed.trees) {
    const Node* nodes = packed.nodes.data() + tree.begin;
    ShallowTree shallow{};
    shallow.begin = static_cast<std::uint32_t>(packed.shallow_nodes.size());
    shallow.lengths = static_cast<std::uint32_t>(packed.shallow_lengths.size());
    shallow.levels = static_cast<std::int32_t>(tree.depth);
    packed.shallow_lengths.resize(packed.shallow_lengths.size() + (std::size_t{1} << tree.depth));
    slots.assign(tree.nodes, ShallowTree::slot_of_leaves);
    std::uint16_t inner = 0;
    for (std::uint32_t i = 0; i < tree.nodes; ++i)
      if (nodes[i].link >> packed.feature_bits != i) slots[i] = inner++;
    places.assign(tree.nodes, {});
    for (std::uint32_t i = 0; i < tree.nodes; ++i) {
      const auto [level, path] = places[i];
      if (slots[i] == ShallowTree::slot_of_leaves) {
        packed.shallow_lengths[shallow.lengths + (path << (tree.depth - level))] =
            packed.lengths[tree.begin + i];
        continue;
      }
      const std::uint32_t left = nodes[i].link >> packed.feature_bits;
      packed.shallow_nodes.push_back({nodes[i].threshold + 0.0f, feature_of(nodes[i], packed.feature_bits),
                                      slots[left], slots[left + 1]});
      places[left] = {level + 1, 2 * path};
      places[left + 1] = {level + 1, 2 * path + 1};
      ++shallow.level_nodes[level];
    }
    packed.shallow_trees.push_back(shallow);
  }
}

}  // namespace

PackedForest pack(const Forest& forest) {
  PackedForest packed;
  packed.width = forest.width;
  packed.feature_bits = bits_of_features(forest.width);
  packed.unseen = forest.unseen * ticks;
  packed.rate = forest.rate / ticks;
  for (std::size_t c = 0; c < forest.constants(); ++c)
    packed.constants.push_back({forest.constant_value[c], forest.constant_feature[c]});
  packed.nodes.resize(forest.nodes());
  packed.lengths.resize(forest.nodes());
  std::vector<std::uint32_t> level, below;
  for (std::size_t t = 0; t < forest.trees(); ++t) {
    const std::uint32_t begin = forest.tree_begin[t];
    Tree tree{begin, forest.tree_begin[t + 1] - begin, 0};
    level.assign(1, 0);  // of the forest's numbers
    for (std::uint32_t first = 0;; ++tree.depth) {
      const auto first_below = first + static_cast<std::uint32_t>(level.size());
      below.clear();
      for (std::size_t i = 0; i < level.size(); ++i) {
        const std::uint32_t own = first + static_cast<std::uint32_t>(i), from = begin + level[i];
        Node& node = packed.nodes[begin + own];
        if (forest.left[from] == 0) {
          node = {std::numeric_limits<float>::infinity(), own << packed.feature_bits};
          packed.lengths[begin + own] =
              static_cast<std::int32_t>(static_cast<double>(forest.length[from]) * ticks);
        } else {
          const auto left = first_below + static_cast<std::uint32_t>(below.size());
          node = {forest.threshold[from], left << packed.feature_bits | forest.feature[from]};
          below.push_back(forest.left[from]);
          below.push_back(forest.left[from] + 1);
        }
      }
      if (below.empty()) break;
      first = first_below;
      level.swap(below);
    }
    packed.trees.push_back(tree);
  }
  pack_shallow(packed);
  return packed;
}

namespace {

Walk chosen(CpuTier tier) {
  switch (tier) {
    case CpuTier::scalar:
      return walk_scalar;
    case CpuTier::avx2:
      return walk_avx2;
    case CpuTier::avx512:
      return walk_avx512;
  }
  return walk_scalar;
}

class CpuForest final : public ResidentForest {
 public:
  CpuForest(Device& device, const PackedForest& packed)
      : width_(packed.width), threads_(device.threads()), arrays_(device, packed) {}

  std::size_t width() const override { return width_; }
  std::size_t workspace_bytes() const override {
    return arrays_.shallow() ? threads_ * width_ * column_rows * sizeof(float) : 0;
  }

  void isolation(Stream& stream, Rows rows, std::span<std::byte> workspace, float* scores) const override {
    const Walk walk = chosen(stream.tier());
    const ForestTables tables = arrays_.tables();
    auto* const columns = reinterpret_cast<float*>(workspace.data());
    auto task = [&](std::size_t begin, std::size_t end, unsigned worker) {
      walk(tables, rows.slice(begin, end), columns + worker * width_ * column_rows, scores + begin);
    };
    stream.for_range(rows.count, rows_a_piece_of_work, task);
  }

 private:
  std::size_t width_;
  std::size_t threads_;
  ResidentArrays arrays_;
};

}  // namespace

std::shared_ptr<const ResidentForest> make_resident(Device& device, const Forest& forest) {
  validate(forest);
  const FloatEnvironment environment;
  const PackedForest packed = pack(forest);
  if (device.backend() == Backend::cpu) return std::make_shared<CpuForest>(device, packed);
  return LANNER_ON_GPU(device, make_resident, device, packed);
}

void isolation(Stream& stream, const ResidentForest& forest, Rows rows, std::span<std::byte> workspace,
               std::span<float> scores) {
  if (rows.count == 0) return;
  if (rows.width != forest.width() || rows.stride < rows.width)
    refuse("rows have " + std::to_string(rows.width) + " features, the forest " +
           std::to_string(forest.width()));
  if (scores.size() < rows.count) refuse("there is no room for every row's score");
  if (workspace.size() < forest.workspace_bytes()) refuse("the workspace is too small");
  forest.isolation(stream, rows, workspace, scores.data());
}

}  // namespace lanner::forest
