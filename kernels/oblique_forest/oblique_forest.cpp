#include "kernels/oblique_forest/oblique_forest.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/device/gpu.hpp"
#include "kernels/oblique_forest/oblique_forest_gpu.hpp"
#include "kernels/oblique_forest/oblique_forest_layout.hpp"

namespace lanner::oblique_forest {
namespace {

[[noreturn]] void refuse(const std::string& reason) {
  throw std::invalid_argument("oblique forest: " + reason);
}

bool whole_ticks(double value) {
  return std::nearbyint(value * forest::ticks) == value * forest::ticks;
}

void check_shapes(const ObliqueForest& forest) {
  if (forest.width == 0 || forest.width > width_max) refuse("no features, or more than 2^20");
  if (forest.input.shift.empty()) refuse("no standardisation");
  mlp::validate(forest.input, forest.width);
  if (!(forest.input.limit <= limit_max)) refuse("the limit of standardised rows is beyond 2^64");
  const std::size_t seen = forest.seen.size();
  if (seen > 0 &&
      (forest.seen.back() >= forest.width || std::adjacent_find(forest.seen.begin(), forest.seen.end(),
                                                                std::greater_equal<>()) != forest.seen.end()))
    refuse("the features that cuts see are not some of the rows', ascending");
  if (forest.mixed > seen || (forest.mixed == 0 && seen > 0)) refuse("a cut mixes no features, or too many");
  if (forest.trees() == 0 || forest.trees() > trees_max) refuse("no trees, or more than 2^20");
  const std::size_t nodes = forest.nodes(), cuts = forest.cuts();
  if (forest.tree_begin.front() != 0 || forest.tree_begin.back() != nodes ||
      std::adjacent_find(forest.tree_begin.begin(), forest.tree_begin.end(), std::greater_equal<>()) !=
          forest.tree_begin.end())
    refuse("the trees do not divide the nodes among them");
  if (forest.length.size() != nodes) refuse("not one length a node");
  if (cuts + static_cast<std::size_t>(std::count(forest.left.begin(), forest.left.end(), 0u)) != nodes)
    refuse("not one threshold a cut");
  if (forest.mixed == 0 && cuts > 0) refuse("there are cuts, and no features that they see");
  if (cuts > cuts_max(forest.mixed))
    refuse("the weights of " + std::to_string(cuts) + " cuts of " + std::to_string(forest.mixed) +
           " features take more than 2 GiB: allowed are fewer trees, samples or features");
  if (forest.weight.size() != cuts * forest.mixed || forest.centre.size() != cuts * forest.mixed)
    refuse("not one weight and one centre a feature of each cut");
  if (forest.feature.size() != (forest.mixed == seen ? 0 : cuts * forest.mixed))
    refuse("not one number a feature of each cut that mixes some, or numbers where all are mixed");
}

void check_values(const ObliqueForest& forest) {
  const auto any = [](const auto& values, auto&& wrong) {
    return std::any_of(values.begin(), values.end(), wrong);
  };
  if (any(forest.feature, [&](auto f) { return f >= forest.seen.size(); }))
    refuse("a cut mixes a feature that cuts don't see");
  if (any(forest.weight, [](float w) { return !(std::fabs(w) <= weight_max); }))
    refuse("a weight is beyond 64");
  if (any(forest.centre, [&](float x) { return !(std::fabs(x) <= forest.input.limit); }))
    refuse("a centre is beyond the limit of standardised rows");
  if (any(forest.threshold, [](float t) { return !std::isfinite(t); })) refuse("a threshold is not finite");
  if (any(forest.length, [](float length) {
        return !(std::fabs(length) <= forest::length_max) || !whole_ticks(static_cast<double>(length));
      }))
    refuse("a length is beyond 64, or no multiple of 2^-18");
  const std::size_t constants = std::max<std::size_t>(forest.width - forest.seen.size(), 1);
  if (!(forest.unseen >= 0) || !whole_ticks(forest.unseen) ||
      !(forest.unseen * static_cast<double>(constants) <= forest::total_max))
    refuse("what an unseen value takes off is below 0, too much, or no multiple of 2^-18");
  if (!(forest.rate > 0) || !(forest.rate <= 1)) refuse("the rate is not in (0, 1]");
}

void check_children(const ObliqueForest& forest, std::size_t begin, std::size_t end) {
  const std::size_t count = end - begin;
  std::vector<bool> is_child(count);
  std::size_t children = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t left = forest.left[begin + i];
    if (left == 0) continue;
    if (left <= i || left + 1 >= count) refuse("a node's children do not stand after it, in its tree");
    if (is_child[left] || is_child[left + 1]) refuse("a node has two parents");
    is_child[left] = is_child[left + 1] = true;
    children += 2;
  }
  if (children + 1 != count) refuse("a tree has nodes without a parent");
}

template <class T>
std::vector<T> padded(const std::vector<T>& values, std::size_t mixed, std::size_t pitch) {
  const std::size_t count = mixed == 0 ? 0 : values.size() / mixed;
  std::vector<T> all(count * pitch);
  for (std::size_t i = 0; i < count; ++i)
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(i * mixed), mixed,
                all.begin() + static_cast<std::ptrdiff_t>(i * pitch));
  return all;
}

}  // namespace

std::size_t cuts_max(std::size_t mixed) {
  return weights_max / std::max<std::size_t>(pitch_of(mixed), group);
}

void validate(const ObliqueForest& forest) {
  check_shapes(forest);
  check_values(forest);
  for (std::size_t t = 0; t < forest.trees(); ++t)
    check_children(forest, forest.tree_begin[t], forest.tree_begin[t + 1]);
}

PackedForest pack(const ObliqueForest& forest) {
  validate(forest);
  PackedForest packed;
  packed.width = forest.width;
  packed.mixed = forest.mixed;
  packed.pitch = cut_pitch(forest.mixed, !forest.feature.empty());
  packed.weights = padded(forest.weight, forest.mixed, packed.pitch);
  packed.centres = padded(forest.centre, forest.mixed, packed.pitch);
  packed.indices = padded(forest.feature, forest.mixed, packed.pitch);
  packed.expected = forest.length;
  packed.limit = forest.input.limit;
  packed.unseen = forest.unseen * forest::ticks;
  packed.rate = forest.rate / forest::ticks;
  for (std::uint32_t j = 0; j < forest.width; ++j) {
    const bool seen = std::binary_search(forest.seen.begin(), forest.seen.end(), j);
    (seen ? packed.seen : packed.constants).push_back({j, forest.input.shift[j], forest.input.scale[j]});
  }
  const auto pitch = static_cast<std::uint32_t>(packed.pitch);
  std::uint32_t cuts = 0;
  std::vector<std::uint32_t> depth;
  for (std::size_t t = 0; t < forest.trees(); ++t) {
    const std::uint32_t begin = forest.tree_begin[t], count = forest.tree_begin[t + 1] - begin;
    Tree tree{begin, 0};
    depth.assign(count, 0);
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t left = forest.left[begin + i];
      if (left == 0) {
        packed.nodes.push_back(
            {std::numeric_limits<float>::infinity(), begin + i, 0,
             static_cast<std::int32_t>(static_cast<double>(forest.length[begin + i]) * forest::ticks)});
        tree.depth = std::max(tree.depth, depth[i]);
      } else {
        packed.nodes.push_back({forest.threshold[cuts], begin + left, cuts * pitch, 0});
        depth[left] = depth[left + 1] = depth[i] + 1;
        ++cuts;
      }
    }
    packed.trees.push_back(tree);
  }
  return packed;
}

namespace {

struct Kernels {
  Isolation isolation;
  Attribution attribution;
  Projection projection;
};
Kernels chosen(CpuTier tier) {
  switch (tier) {
    case CpuTier::scalar:
      break;
    case CpuTier::avx2:
      return {isolation_avx2, attribution_avx2, projection_avx2};
    case CpuTier::avx512:
      return {isolation_avx512, attribution_avx512, projection_avx512};
  }
  return {isolation_scalar, attribution_scalar, projection_scalar};
}

class CpuForest final : public ResidentObliqueForest {
 public:
  CpuForest(Device& device, const PackedForest& packed)
      : width_(packed.width),
        row_pitch_(pitch_of(packed.seen.size())),
        threads_(device.threads()),
        arrays_(device, packed) {}

  std::size_t width() const override { return width_; }
  std::size_t workspace_bytes() const override { return threads_ * floats_a_thread() * sizeof(float); }

  void isolation(Stream& stream, Rows rows, std::span<std::byte> workspace, float* scores) const override {
    const Isolation isolate = chosen(stream.tier()).isolation;
    const ForestTables tables = arrays_.tables();
    auto* const room = reinterpret_cast<float*>(workspace.data());
    auto task = [&](std::size_t begin, std::size_t end, unsigned worker) {
      isolate(tables, rows.slice(begin, end), room + worker * floats_a_thread(), scores + begin);
    };
    // A block, or less where each thread is to have some.
    constexpr std::size_t least = 64;
    const std::size_t share = (rows.count + threads_ - 1) / threads_;
    stream.for_range(rows.count, std::min(std::max(share, least), block_rows(row_pitch_)), task);
  }

  void attribution(Stream& stream, Rows rows, std::span<std::byte> workspace, MutableRows moved,
                   double* lengths) const override {
    const Attribution attribute = chosen(stream.tier()).attribution;
    const ForestTables tables = arrays_.tables();
    auto* const room = reinterpret_cast<float*>(workspace.data());
    auto task = [&](std::size_t begin, std::size_t end, unsigned worker) {
      attribute(tables, rows.slice(begin, end), room + worker * floats_a_thread(),
                {moved.row(begin), end - begin, moved.width, moved.stride}, lengths + begin);
    };
    stream.for_range(rows.count, 16, task);
  }

 private:
  std::size_t floats_a_thread() const { return block_rows(row_pitch_) * row_pitch_; }

  std::size_t width_, row_pitch_;
  std::size_t threads_;
  ResidentArrays arrays_;
};

void check_rows(const ResidentObliqueForest& forest, Rows rows, std::span<const std::byte> workspace) {
  if (rows.width != forest.width() || rows.stride < rows.width)
    refuse("rows have " + std::to_string(rows.width) + " features, the forest " +
           std::to_string(forest.width()));
  if (workspace.size() < forest.workspace_bytes()) refuse("the workspace is too small");
}

}  // namespace

Projection projection(CpuTier tier) {
  return chosen(tier).projection;
}

std::shared_ptr<const ResidentObliqueForest> make_resident(Device& device, const ObliqueForest& forest) {
  const FloatEnvironment environment;
  const PackedForest packed = pack(forest);
  if (device.backend() == Backend::cpu) return std::make_shared<CpuForest>(device, packed);
  return LANNER_ON_GPU(device, make_resident, device, packed);
}

void isolation(Stream& stream, const ResidentObliqueForest& forest, Rows rows, std::span<std::byte> workspace,
               std::span<float> scores) {
  if (rows.count == 0) return;
  check_rows(forest, rows, workspace);
  if (scores.size() < rows.count) refuse("there is no room for every row's score");
  forest.isolation(stream, rows, workspace, scores.data());
}

void attribution(Stream& stream, const ResidentObliqueForest& forest, Rows rows,
                 std::span<std::byte> workspace, MutableRows moved, std::span<double> lengths) {
  if (rows.count == 0) return;
  if (stream.backend() != Backend::cpu) refuse("contributions are made on the CPU");
  check_rows(forest, rows, workspace);
  if (moved.count < rows.count || moved.width < rows.width || moved.stride < moved.width ||
      lengths.size() < rows.count)
    refuse("there is no room for every row's parts and length");
  forest.attribution(stream, rows, workspace, moved, lengths.data());
}

}  // namespace lanner::oblique_forest
