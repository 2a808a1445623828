// Walks on a GPU. A block takes tiles of 128 rows, each walked by two threads, one for the even trees and one
// for the odd; lengths are whole numbers, so their sum is the same in any order. Trees come through shared
// memory in groups; one too large for that is walked in global memory, which the caches answer. The tile's
// rows stand in shared memory as columns, where each row has a bank of its own whatever feature it asks for;
// wider rows are read where they are.
//
// Roofline (computed, not measured), 100 trees of 256 samples, 32 features: a row is 128 bytes read, and some
// 650 steps of 12 instructions, 3 of them accesses to shared memory: a node's two words, which conflict about
// three ways below the first levels, and the value. A group is read once for 128 rows: 1.3 KB a row from the
// second-level cache. Rows a second:
//          memory       L2                    instruction issue (4 warps a cycle and SM)
//   A100   1.3e10       4.0e12 B/s: 3.0e9     108 SMs: 2.5e9
//   H100   2.6e10       5.5e12 B/s: 4.2e9     132 SMs: 3.7e9
//   B200   6.2e10       1.0e13 B/s: 7.6e9     148 SMs: 4.5e9
// Issue binds, and conflicts take their share: expected 40 % of it.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/device/resident.hpp"
#include "kernels/device/simt.hpp"
#include "kernels/forest/forest_gpu.hpp"

namespace lanner::forest::LANNER_GPU {
namespace {

constexpr unsigned tile_rows = 128;
constexpr unsigned threads = 2 * tile_rows;
constexpr unsigned column_features_max = 32;
constexpr unsigned staged_nodes_max = 1344;  ///< 16 KB with their lengths
constexpr unsigned sector_floats = 8;

}  // namespace

/// Consecutive trees.
struct TreeGroup {
  std::uint32_t begin, end;
  std::uint32_t first_node, nodes;  ///< of all of them
  std::uint32_t staged;             ///< 0: they stay in global memory
};

// Of shared memory `dynamic` is what a group takes, and the columns.
// ptxas: walk<true>: block 256, registers <= 32, shared <= 1024, dynamic 32512, occupancy >= 50 %
// ptxas: walk<false>: block 256, registers <= 32, shared <= 1024, dynamic 16128, occupancy >= 100 %
template <bool in_columns>
__global__ void __launch_bounds__(threads)
    walk(ForestTables forest, const TreeGroup* groups, unsigned group_count, unsigned staged_nodes, Rows rows,
         float* scores) {
  SHARED_ARRAY(long long, of_odd_trees, tile_rows);
  DYNAMIC_SHARED(Node, staged);
  auto* const staged_lengths = reinterpret_cast<std::int32_t*>(staged + staged_nodes);
  auto* const columns = reinterpret_cast<float*>(staged_lengths + staged_nodes);
  const unsigned thread = threadIdx.x, own = thread % tile_rows, odd = thread / tile_rows;
  for (std::size_t begin = std::size_t{blockIdx.x} * tile_rows; begin < rows.count;
       begin += std::size_t{gridDim.x} * tile_rows) {
    const unsigned count =
        rows.count - begin < tile_rows ? static_cast<unsigned>(rows.count - begin) : tile_rows;
    if (in_columns) {
      // A whole sector of a row at a time.
      const unsigned width = static_cast<unsigned>(rows.width);
      for (unsigned first = 0; first < width; first += sector_floats)
        for (unsigned i = thread; i < tile_rows * sector_floats; i += threads) {
          const unsigned r = i / sector_floats, f = first + i % sector_floats;
          if (r < count && f < width) columns[f * tile_rows + r] = rows.data[(begin + r) * rows.stride + f];
        }
    }
    const float* const row = rows.data + (begin + (own < count ? own : 0)) * rows.stride;
    const auto value = [&](std::uint32_t feature) {
      return in_columns ? columns[feature * tile_rows + own] : row[feature];
    };
    long long length = 0;
    for (unsigned g = 0; g < group_count; ++g) {
      const TreeGroup group = groups[g];
      if (group.staged)
        for (unsigned i = thread; i < group.nodes; i += threads) {
          staged[i] = forest.nodes[group.first_node + i];
          staged_lengths[i] = forest.lengths[group.first_node + i];
        }
      __syncthreads();  // trees and columns are there
      const auto walk_trees = [&](const Node* nodes, const std::int32_t* lengths) {
        for (std::uint32_t t = group.begin + odd; t < group.end; t += 2) {
          const std::uint32_t root = forest.trees[t].begin - group.first_node;
          std::uint32_t at = 0, next = 0;
          do {
            at = next;
            const Node node = nodes[root + at];
            next = next_of(node, forest.feature_bits, value(feature_of(node, forest.feature_bits)));
          } while (next != at);
          length += lengths[root + at];
        }
      };
      if (own < count) {
        if (group.staged) {
          walk_trees(staged, staged_lengths);
        } else {
          walk_trees(forest.nodes + group.first_node, forest.lengths + group.first_node);
        }
      }
      __syncthreads();  // trees are used up
    }
    if (odd) of_odd_trees[own] = length;
    __syncthreads();  // the odd trees' lengths are there
    if (!odd && own < count) {
      double sum = static_cast<double>(length + of_odd_trees[own]);
      for (unsigned c = 0; c < forest.constant_count; ++c)
        if (value(forest.constants[c].feature) != forest.constants[c].value) sum -= forest.unseen;
      scores[begin + own] = static_cast<float>(isolation_of(sum, forest.rate));
    }
    __syncthreads();  // columns and lengths are used up
  }
}

class GpuForest final : public ResidentForest {
 public:
  GpuForest(Device& device, const PackedForest& packed)
      : multiprocessors_(device.multiprocessors()), width_(packed.width), arrays_(device, packed) {
    std::vector<TreeGroup> groups;
    for (std::uint32_t t = 0; t < packed.trees.size(); ++t) {
      const Tree tree = packed.trees[t];
      const std::uint32_t stages = tree.nodes <= staged_nodes_max;
      if (groups.empty() || groups.back().staged != stages ||
          (stages && groups.back().nodes + tree.nodes > staged_nodes_max))
        groups.push_back({t, t, tree.begin, 0, stages});
      groups.back().end = t + 1;
      groups.back().nodes += tree.nodes;
      if (stages) staged_nodes_ = std::max(staged_nodes_, groups.back().nodes);
    }
    groups_ = resident_copy(device, groups);
  }

  std::size_t width() const override { return width_; }
  std::size_t workspace_bytes() const override { return 0; }

  void isolation(Stream& stream, Rows rows, std::span<std::byte>, float* scores) const override {
    const std::size_t tiles = (rows.count + tile_rows - 1) / tile_rows;
    const auto blocks = static_cast<unsigned>(std::min<std::size_t>(tiles, 8 * multiprocessors_));
    const std::size_t tables = staged_nodes_ * (sizeof(Node) + sizeof(std::int32_t));
    const auto groups = static_cast<unsigned>(groups_.size());
    if (width_ <= column_features_max) {
      launch(stream, walk<true>, blocks, threads, tables + width_ * tile_rows * sizeof(float),
             arrays_.tables(), groups_.data(), groups, staged_nodes_, rows, scores);
    } else {
      launch(stream, walk<false>, blocks, threads, tables, arrays_.tables(), groups_.data(), groups,
             staged_nodes_, rows, scores);
    }
  }

 private:
  unsigned multiprocessors_;
  std::size_t width_;
  ResidentArrays arrays_;
  Array<TreeGroup> groups_;
  unsigned staged_nodes_ = 0;
};

std::shared_ptr<const ResidentForest> make_resident(Device& device, const PackedForest& packed) {
  return std::make_shared<GpuForest>(device, packed);
}

}  // namespace lanner::forest::LANNER_GPU
