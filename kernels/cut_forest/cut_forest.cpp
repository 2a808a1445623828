#include "kernels/cut_forest/cut_forest.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/cut_forest/cut_forest_gpu.hpp"
#include "kernels/cut_forest/cut_forest_layout.hpp"
#include "kernels/device/gpu.hpp"

namespace lanner::cut_forest {
namespace {

[[noreturn]] void refuse(const std::string& reason) {
  throw std::invalid_argument("cut forest: " + reason);
}

bool is_share(float value) {
  return value >= 0 && value <= 1;
}

void check_shapes(const CutForest& forest) {
  if (forest.width == 0 || forest.width > width_max) refuse("no features, or more than 2^20");
  if (forest.input.shift.empty()) refuse("no standardisation");
  mlp::validate(forest.input, forest.width);
  if (forest.trees() == 0 || forest.trees() > trees_max) refuse("no trees, or more than 2^20");
  const std::size_t nodes = forest.nodes();
  if (forest.node_begin.front() != 0 || forest.node_begin.back() != nodes ||
      !std::is_sorted(forest.node_begin.begin(), forest.node_begin.end()))
    refuse("the trees do not divide the nodes among them");
  if (forest.threshold.size() != nodes || forest.value.size() != nodes || forest.child.size() != 2 * nodes)
    refuse("not one feature, threshold and value and two children a node");
  if (forest.leaves() != nodes + forest.trees()) refuse("a tree has not one leaf more than inner nodes");
  if (forest.leaf_apart.size() != forest.leaves() || forest.leaf_same.size() != forest.leaves())
    refuse("not two values a leaf");
  if (forest.points.empty() || forest.points.size() % forest.width != 0) refuse("no points, or parts of one");
  if (nodes > nodes_max(forest.width))
    refuse("the boxes of " + std::to_string(nodes) + " nodes with " + std::to_string(forest.width) +
           " features take more than 2 GiB: allowed are fewer trees, samples or features");
  if (!(forest.scale > 0) || !(forest.scale <= 0x1p64)) refuse("the scale is not above 0 and at most 2^64");
}

void check_values(const CutForest& forest) {
  for (std::size_t i = 0; i < forest.nodes(); ++i) {
    if (forest.feature[i] >= forest.width) refuse("a node cuts a feature that there is not");
    if (!std::isfinite(forest.threshold[i])) refuse("a threshold is not finite");
  }
  if (!std::all_of(forest.value.begin(), forest.value.end(), is_share) ||
      !std::all_of(forest.leaf_apart.begin(), forest.leaf_apart.end(), is_share) ||
      !std::all_of(forest.leaf_same.begin(), forest.leaf_same.end(), is_share))
    refuse("a value is not in [0, 1]");
  const std::size_t points = forest.points.size() / forest.width;
  if (std::any_of(forest.leaf_point.begin(), forest.leaf_point.end(), [&](auto p) { return p >= points; }))
    refuse("a leaf is a point that there is not");
  // So that no sum of differences overflows.
  if (std::any_of(forest.points.begin(), forest.points.end(),
                  [&](float x) { return !(std::fabs(x) <= forest.input.limit); }))
    refuse("a point is beyond the limit of standardised rows");
  if (!(forest.input.limit <= limit_max)) refuse("the limit of standardised rows is beyond 2^64");
}

void check_children(const CutForest& forest, std::size_t begin, std::size_t count) {
  std::vector<bool> is_child(2 * count + 1);
  for (std::size_t i = 0; i < 2 * count; ++i) {
    const std::size_t child = forest.child[2 * begin + i];
    if (child > 2 * count || child <= i / 2) refuse("a node's children do not stand after it, in its tree");
    if (is_child[child]) refuse("a node has two parents");
    is_child[child] = true;
  }
}

// The boxes of a tree's inner nodes, each made of its children's.
class Boxes {
 public:
  explicit Boxes(const CutForest& forest) : forest_(forest), pitch_(groups_of(forest.width) * chains) {}

  std::size_t floats_a_node() const { return 2 * pitch_; }
  /// Of tree t, one after the other.
  void make(std::size_t t, float* boxes) const {
    const std::size_t begin = forest_.node_begin[t], count = forest_.node_begin[t + 1] - begin;
    const std::size_t first_leaf = begin + t;
    for (std::size_t i = count; i-- > 0;) {
      float* const box = boxes + i * floats_a_node();
      const std::uint32_t* const child = &forest_.child[2 * (begin + i)];
      const std::size_t cut = forest_.feature[begin + i];
      for (std::size_t side = 0; side < 2; ++side) {
        const bool inner = child[side] < count;
        const float* const from =
            inner ? boxes + child[side] * floats_a_node()
                  : &forest_.points[forest_.leaf_point[first_leaf + child[side] - count] * forest_.width];
        for (std::size_t j = 0; j < forest_.width; ++j) {
          float& low = box[place(j)];
          float& high = box[place(j) + chains];
          const float of_low = inner ? from[place(j)] : from[j],
                      of_high = inner ? from[place(j) + chains] : from[j];
          low = side == 0 ? of_low : std::min(low, of_low);
          high = side == 0 ? of_high : std::max(high, of_high);
        }
        const bool parted =
            side == 0 ? (inner ? from[place(cut) + chains] : from[cut]) <= forest_.threshold[begin + i]
                      : (inner ? from[place(cut)] : from[cut]) > forest_.threshold[begin + i];
        if (!parted) refuse("a cut does not part the points below it");
      }
    }
  }
  float range(const float* box) const {
    double sum = 0;
    for (std::size_t j = 0; j < forest_.width; ++j)
      sum += static_cast<double>(box[place(j) + chains]) - static_cast<double>(box[place(j)]);
    return static_cast<float>(sum);
  }

 private:
  static std::size_t place(std::size_t feature) { return feature / chains * 2 * chains + feature % chains; }
  const CutForest& forest_;
  std::size_t pitch_;
};

void check(const CutForest& forest) {
  check_shapes(forest);
  check_values(forest);
  for (std::size_t t = 0; t < forest.trees(); ++t)
    check_children(forest, forest.node_begin[t], forest.node_begin[t + 1] - forest.node_begin[t]);
}

std::vector<float> padded(const std::vector<float>& values, std::size_t width) {
  const std::size_t pitch = groups_of(width) * chains, count = values.size() / width;
  std::vector<float> all(count * pitch);
  for (std::size_t i = 0; i < count; ++i)
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(i * width), width,
                all.begin() + static_cast<std::ptrdiff_t>(i * pitch));
  return all;
}

}  // namespace

std::size_t nodes_max(std::size_t width) {
  return box_floats_max / (2 * chains * groups_of(width));
}

void validate(const CutForest& forest) {
  check(forest);
  const Boxes boxes(forest);
  std::vector<float> of_tree;
  for (std::size_t t = 0; t < forest.trees(); ++t) {
    of_tree.resize((forest.node_begin[t + 1] - forest.node_begin[t]) * boxes.floats_a_node());
    boxes.make(t, of_tree.data());
  }
}

PackedForest pack(const CutForest& forest) {
  check(forest);
  PackedForest packed;
  packed.width = forest.width;
  packed.points = padded(forest.points, forest.width);
  packed.shift = padded(forest.input.shift, forest.width);
  packed.scale = padded(forest.input.scale, forest.width);
  packed.limit = forest.input.limit;
  packed.factor = forest.scale / (static_cast<double>(forest.trees()) * static_cast<double>(ticks));
  const Boxes boxes(forest);
  const std::size_t a_node = boxes.floats_a_node();
  packed.boxes.resize(forest.nodes() * a_node);
  for (std::size_t t = 0; t < forest.trees(); ++t) {
    const std::uint32_t begin = forest.node_begin[t], end = forest.node_begin[t + 1];
    packed.trees.push_back({begin, end - begin, begin + static_cast<std::uint32_t>(t)});
    float* const of_tree = packed.boxes.data() + begin * a_node;
    boxes.make(t, of_tree);
    for (std::size_t i = begin; i < end; ++i)
      packed.nodes.push_back({forest.threshold[i],
                              forest.feature[i],
                              {forest.child[2 * i], forest.child[2 * i + 1]},
                              boxes.range(of_tree + (i - begin) * a_node),
                              forest.value[i]});
  }
  for (std::size_t i = 0; i < forest.leaves(); ++i)
    packed.leaves.push_back({forest.leaf_point[i], forest.leaf_apart[i], forest.leaf_same[i]});
  return packed;
}

namespace {

struct Kernels {
  Separation separation;
  Attribution attribution;
};
Kernels chosen(CpuTier tier) {
  switch (tier) {
    case CpuTier::scalar:
      break;
    case CpuTier::avx2:
      return {separation_avx2, attribution_avx2};
    case CpuTier::avx512:
      return {separation_avx512, attribution_avx512};
  }
  return {separation_scalar, attribution_scalar};
}

class CpuForest final : public ResidentCutForest {
 public:
  CpuForest(Device& device, const PackedForest& packed)
      : width_(packed.width), threads_(device.threads()), arrays_(device, packed) {}

  std::size_t width() const override { return width_; }
  std::size_t workspace_bytes() const override { return threads_ * floats_a_thread() * sizeof(float); }

  void separation(Stream& stream, Rows rows, std::span<std::byte> workspace, float* scores) const override {
    const Separation separate = chosen(stream.tier()).separation;
    const ForestTables tables = arrays_.tables();
    auto* const room = reinterpret_cast<float*>(workspace.data());
    auto task = [&](std::size_t begin, std::size_t end, unsigned worker) {
      separate(tables, rows.slice(begin, end), room + worker * floats_a_thread(), scores + begin);
    };
    // A block, or less where each thread is to have some.
    constexpr std::size_t least = 64;
    const std::size_t share = (rows.count + threads_ - 1) / threads_;
    stream.for_range(rows.count, std::min(std::max(share, least), block_rows(groups_of(width_))), task);
  }

  void attribution(Stream& stream, Rows rows, std::span<std::byte> workspace, float base,
                   MutableRows parts) const override {
    const Attribution attribute = chosen(stream.tier()).attribution;
    const ForestTables tables = arrays_.tables();
    auto* const room = reinterpret_cast<float*>(workspace.data());
    auto task = [&](std::size_t begin, std::size_t end, unsigned worker) {
      attribute(tables, rows.slice(begin, end), base, room + worker * floats_a_thread(),
                {parts.row(begin), end - begin, parts.width, parts.stride});
    };
    stream.for_range(rows.count, 1, task);
  }

 private:
  std::size_t floats_a_thread() const { return block_rows(groups_of(width_)) * groups_of(width_) * chains; }

  std::size_t width_;
  std::size_t threads_;
  ResidentArrays arrays_;
};

void check_rows(const ResidentCutForest& forest, Rows rows, std::span<const std::byte> workspace) {
  if (rows.width != forest.width() || rows.stride < rows.width)
    refuse("rows have " + std::to_string(rows.width) + " features, the forest " +
           std::to_string(forest.width()));
  if (workspace.size() < forest.workspace_bytes()) refuse("the workspace is too small");
}

}  // namespace

std::shared_ptr<const ResidentCutForest> make_resident(Device& device, const CutForest& forest) {
  const FloatEnvironment environment;
  const PackedForest packed = pack(forest);
  if (device.backend() == Backend::cpu) return std::make_shared<CpuForest>(device, packed);
  return LANNER_ON_GPU(device, make_resident, device, packed);
}

void separation(Stream& stream, const ResidentCutForest& forest, Rows rows, std::span<std::byte> workspace,
                std::span<float> scores) {
  if (rows.count == 0) return;
  check_rows(forest, rows, workspace);
  if (scores.size() < rows.count) refuse("there is no room for every row's score");
  forest.separation(stream, rows, workspace, scores.data());
}

void attribution(Stream& stream, const ResidentCutForest& forest, Rows rows, std::span<std::byte> workspace,
                 float base, MutableRows parts) {
  if (rows.count == 0) return;
  check_rows(forest, rows, workspace);
  if (parts.width != rows.width || parts.count < rows.count) refuse("there is no room for every row's parts");
  if (stream.backend() != Backend::cpu) refuse("contributions are made on the CPU");
  forest.attribution(stream, rows, workspace, base, parts);
}

}  // namespace lanner::cut_forest
