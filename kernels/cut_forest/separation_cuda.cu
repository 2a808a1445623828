// Random cut trees on a GPU. Four threads walk a row through all trees, each with every fourth of the 16
// chains, so that the first two levels of their sum are a thread's own; a warp walks eight rows at once,
// until the last of them is in a leaf, and a block 64. Sums of trees are whole numbers. A row stands in
// shared memory, standardised, where it has at most 128 features: the eight rows of a warp have four banks
// each. Wider rows are standardised again at each node.
//
// Roofline (computed, not measured), 100 trees of 256 samples, 32 features: a row is 128 bytes read and 1,240
// nodes, each a box of 256 bytes and 24 of its own: 350 KB, of which the upper nodes come from the
// first-level cache. For eight rows a node takes a warp some 100 instructions, and 1.4 of these where the
// longest of eight ways is waited for: 22,000 a row. Rows a second:
//          L2 (if nothing were in L1)     instruction issue (4 warps a cycle and SM)
//   A100   4.0e12 B/s: 1.1e7              108 SMs: 2.8e7
//   H100   5.5e12 B/s: 1.6e7              132 SMs: 4.1e7
//   B200   1.0e13 B/s: 2.9e7              148 SMs: 5.0e7
// L2 binds, where less than half of the boxes come from L1: expected 40 % of issue.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>

#include "kernels/cut_forest/cut_forest_gpu.hpp"
#include "kernels/device/resident.hpp"
#include "kernels/device/simt.hpp"

namespace lanner::cut_forest::LANNER_GPU {
namespace {

constexpr unsigned threads = 256;
constexpr unsigned lanes = 4;  ///< threads of a row
constexpr unsigned warp_rows = 32 / lanes;
constexpr unsigned block_of_rows = threads / lanes;
constexpr unsigned shared_groups_max = 8;
constexpr unsigned apart = 4;  ///< floats between rows in shared memory
constexpr unsigned all = 0xFFFFFFFFu;

}  // namespace

// ptxas: separation_of<true>: block 256, registers <= 40, shared <= 0, dynamic 33792, occupancy >= 50 %
// ptxas: separation_of<false>: block 256, registers <= 40, shared <= 0, occupancy >= 75 %
template <bool in_shared>
__global__ void __launch_bounds__(threads, 6) separation_of(ForestTables forest, Rows rows, float* scores) {
  DYNAMIC_SHARED(float, shared);
  const unsigned own = threadIdx.x / lanes, lane = threadIdx.x % lanes;
  const unsigned width = static_cast<unsigned>(rows.width), pitch = forest.groups * chains;
  const std::size_t row = std::size_t{blockIdx.x} * block_of_rows + own;
  if (row - own % warp_rows >= rows.count) return;  // the whole warp
  const bool is_row = row < rows.count;
  const float* const x = rows.data + (is_row ? row : 0) * rows.stride;
  float* const kept = shared + own * (pitch + apart);
  const auto standardised = [&](unsigned j) {
    return j < width ? mlp::standardised(x[j], forest.shift[j], forest.scale[j], forest.limit) : 0.0f;
  };
  if (in_shared) {
    for (unsigned j = lane; j < pitch; j += lanes) kept[j] = standardised(j);
    __syncwarp();  // the row is there
  }
  const auto value = [&](unsigned j) { return in_shared ? kept[j] : standardised(j); };

  double sum = 0;
  for (unsigned t = 0; t < forest.tree_count; ++t) {
    const Tree tree = forest.trees[t];
    Given<float> given{1, 0};
    unsigned at = is_row ? 0 : tree.nodes;
    while (__any_sync(all, at < tree.nodes)) {
      const bool walks = at < tree.nodes;
      const std::size_t here = std::size_t{tree.first_node} + (walks ? at : 0);
      float sums[chains / lanes] = {};
      if (walks) {
        const float* box = forest.box(here) + lane;
        for (unsigned j = lane; j < pitch; j += chains, box += 2 * chains)
#pragma unroll
          for (unsigned c = 0; c < chains / lanes; ++c)
            sums[c] = sums[c] + excess(value(j + c * lanes), box[c * lanes], box[chains + c * lanes]);
      }
      float beyond = (sums[0] + sums[2]) + (sums[1] + sums[3]);
      beyond = beyond + __shfl_xor_sync(all, beyond, 2, lanes);
      beyond = beyond + __shfl_xor_sync(all, beyond, 1, lanes);
      if (walks) {
        const Node node = forest.nodes[here];
        at_node(given, chance_of(beyond, node.range), node.value);
        at = value(node.feature) > node.threshold ? node.child[1] : node.child[0];
      }
    }
    const Leaf leaf = forest.leaves[std::size_t{tree.first_leaf} + (at - tree.nodes)];
    const float* const point = forest.point(leaf.point);
    bool differs = false;
    for (unsigned j = lane; j < pitch && !differs; j += lanes) differs = value(j) != point[j];
    const unsigned differing = __ballot_sync(all, differs) >> (own % warp_rows * lanes) & ((1u << lanes) - 1);
    sum += static_cast<double>(in_ticks(given, differing != 0 ? leaf.apart : leaf.same));
  }
  if (is_row && lane == 0) scores[row] = score_of(sum, forest.factor);
}

class GpuForest final : public ResidentCutForest {
 public:
  GpuForest(Device& device, const PackedForest& packed) : width_(packed.width), arrays_(device, packed) {}

  std::size_t width() const override { return width_; }
  std::size_t workspace_bytes() const override { return 0; }

  void separation(Stream& stream, Rows rows, std::span<std::byte>, float* scores) const override {
    const auto blocks = static_cast<unsigned>((rows.count + block_of_rows - 1) / block_of_rows);
    const std::size_t groups = groups_of(width_);
    if (groups <= shared_groups_max) {
      launch(stream, separation_of<true>, blocks, threads,
             block_of_rows * (groups * chains + apart) * sizeof(float), arrays_.tables(), rows, scores);
    } else {
      launch(stream, separation_of<false>, blocks, threads, 0, arrays_.tables(), rows, scores);
    }
  }
  void attribution(Stream&, Rows, std::span<std::byte>, float, MutableRows) const override {
    throw std::logic_error("cut forest: contributions are made on the CPU");
  }

 private:
  std::size_t width_;
  ResidentArrays arrays_;
};

std::shared_ptr<const ResidentCutForest> make_resident(Device& device, const PackedForest& packed) {
  return std::make_shared<GpuForest>(device, packed);
}

}  // namespace lanner::cut_forest::LANNER_GPU
