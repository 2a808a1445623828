// Random cut trees on a GPU. Eight threads walk a row through all trees, each with two of the 16 chains; a
// warp walks four rows at once, until the last of them is in a leaf, and a block 32. Sums of trees are whole
// numbers. A row stands in shared memory, standardised, where up to 128 features let it; rows of a warp lie 8
// banks apart. Wider rows are standardised again at each node.
//
// Roofline (computed, not measured), 100 trees of 256 samples, 32 features: a row is 128 bytes read and 1,240
// nodes, each a box of 256 bytes and 24 of its own: 350 KB, of which the upper nodes come from the
// first-level cache. For four rows a node takes a warp some 80 instructions, and 1.3 of these where the
// longest of four ways is waited for: 32,000 a row. Rows a second:
//          L2 (if nothing were in L1)     instruction issue (4 warps a cycle and SM)
//   A100   4.0e12 B/s: 1.1e7              108 SMs: 1.9e7
//   H100   5.5e12 B/s: 1.6e7              132 SMs: 2.8e7
//   B200   1.0e13 B/s: 2.9e7              148 SMs: 3.4e7
// L2 binds, or issue where half of the boxes come from L1: expected 60 % of issue.
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
constexpr unsigned lanes = 8;  ///< threads of a row
constexpr unsigned block_of_rows = threads / lanes;
constexpr unsigned shared_groups_max = 8;
constexpr unsigned apart = 8;  ///< floats between rows in shared memory
constexpr unsigned all = 0xFFFFFFFFu;

}  // namespace

// ptxas: separation_of<true>: block 256, registers <= 40, shared <= 0, dynamic 17408, occupancy >= 75 %
// ptxas: separation_of<false>: block 256, registers <= 40, shared <= 0, occupancy >= 75 %
template <bool in_shared>
__global__ void __launch_bounds__(threads, 6) separation_of(ForestTables forest, Rows rows, float* scores) {
  DYNAMIC_SHARED(float, shared);
  const unsigned own = threadIdx.x / lanes, lane = threadIdx.x % lanes;
  const unsigned width = static_cast<unsigned>(rows.width), pitch = forest.groups * chains;
  const std::size_t row = std::size_t{blockIdx.x} * block_of_rows + own;
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
      float low = 0, high = 0;
      if (walks) {
        const float* box = forest.box(here) + lane;
        for (unsigned j = lane; j < pitch; j += chains, box += 2 * chains) {
          low = low + excess(value(j), box[0], box[chains]);
          high = high + excess(value(j + lanes), box[lanes], box[chains + lanes]);
        }
      }
      float beyond = low + high;
      for (int step = lanes / 2; step > 0; step /= 2)
        beyond = beyond + __shfl_xor_sync(all, beyond, step, lanes);
      if (walks) {
        const Node node = forest.nodes[here];
        at_node(given, beyond, node.range, node.value);
        at = node.child[value(node.feature) > node.threshold ? 1 : 0];
      }
    }
    const Leaf leaf = forest.leaves[std::size_t{tree.first_leaf} + (at - tree.nodes)];
    const float* const point = forest.point(leaf.point);
    bool differs = false;
    for (unsigned j = lane; j < pitch && !differs; j += lanes) differs = value(j) != point[j];
    const unsigned differing = __ballot_sync(all, differs) >> (threadIdx.x & 31 & ~(lanes - 1)) & 0xFFu;
    sum += static_cast<double>(in_ticks(given, differing ? leaf.apart : leaf.same));
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
