// Walks down oblique trees on a GPU. Four threads take a row down all trees, each with every fourth of the 16
// chains, so that the first two levels of their sum are a thread's own; a warp walks eight rows at once,
// until the last of them is in a leaf, and a block 64. A row's part in the cuts stands in shared memory,
// standardised, where cuts see at most 128 features: the eight rows of a warp have four banks each. Wider
// rows are standardised again at each node. Lengths are whole numbers.
//
// Roofline (computed, not measured), 100 trees of 256 samples, 32 features: a row is 128 bytes read and 750
// cuts, each of 128 bytes of weights and a node of 16: 108 KB, of which the upper nodes come from the
// first-level cache. For eight rows a cut takes a warp some 50 instructions, and 1.05 of these where the
// longest of eight ways is waited for: 4,900 a row. Rows a second:
//          L2 (if nothing were in L1)     instruction issue (4 warps a cycle and SM)
//   A100   4.0e12 B/s: 3.7e7              108 SMs: 1.2e8
//   H100   5.5e12 B/s: 5.1e7              132 SMs: 1.9e8
//   B200   1.0e13 B/s: 9.3e7              148 SMs: 2.2e8
// L2 binds, where less than two thirds of the weights come from L1: expected 40 % of issue.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>

#include "kernels/device/resident.hpp"
#include "kernels/device/simt.hpp"
#include "kernels/oblique_forest/oblique_forest_gpu.hpp"

namespace lanner::oblique_forest::LANNER_GPU {
namespace {

constexpr unsigned threads = 256;
constexpr unsigned lanes = 4;  ///< threads of a row
constexpr unsigned warp_rows = 32 / lanes;
constexpr unsigned block_of_rows = threads / lanes;
constexpr unsigned shared_floats_max = 128;
constexpr unsigned apart = 4;  ///< floats between rows in shared memory, whose pitch is a multiple of 8
constexpr unsigned everyone = 0xFFFFFFFFu;

}  // namespace

// ptxas: descend<true>: block 256, registers <= 32, shared <= 0, dynamic 33792, occupancy >= 50 %
// ptxas: descend<false>: block 256, registers <= 32, shared <= 0, occupancy >= 100 %
template <bool in_shared>
__global__ void __launch_bounds__(threads) descend(ForestTables forest, Rows rows, float* scores) {
  DYNAMIC_SHARED(float, shared);
  const unsigned own = threadIdx.x / lanes, lane = threadIdx.x % lanes;
  const std::size_t index = std::size_t{blockIdx.x} * block_of_rows + own;
  if (index - own % warp_rows >= rows.count) return;  // the whole warp
  const bool is_row = index < rows.count;
  const float* const row = rows.data + (is_row ? index : 0) * rows.stride;
  float* const kept = shared + own * (forest.row_pitch + apart);
  const auto standardised = [&](unsigned j) {
    if (j >= forest.seen_count) return 0.0f;
    const Feature feature = forest.seen[j];
    return mlp::standardised(row[feature.column], feature.shift, feature.scale, forest.limit);
  };
  if (in_shared) {
    for (unsigned j = lane; j < forest.row_pitch; j += lanes) kept[j] = standardised(j);
    __syncwarp();  // the row is there
  }
  const auto value = [&](unsigned i, unsigned place) {
    const unsigned j = forest.indices ? forest.indices[i] : place;
    return in_shared ? kept[j] : standardised(j);
  };

  long long ticks = 0;
  for (unsigned t = 0; t < forest.tree_count; ++t) {
    unsigned at = forest.trees[t].root;
    Node node = forest.nodes[at];
    while (__any_sync(everyone, node.left != at)) {
      float sums[chains / lanes] = {};
      for (unsigned i = lane; i < forest.pitch; i += chains) {
#pragma unroll
        for (unsigned c = 0; c < chains / lanes; ++c) {
          const unsigned place = i + c * lanes;
          if (place < forest.pitch)
            sums[c] = fma(forest.weights[node.cut + place], value(node.cut + place, place), sums[c]);
        }
      }
      float sum = (sums[0] + sums[2]) + (sums[1] + sums[3]);
      sum = sum + __shfl_xor_sync(everyone, sum, 2, lanes);
      sum = sum + __shfl_xor_sync(everyone, sum, 1, lanes);
      at = node.left + (sum > node.threshold ? 1u : 0u);
      node = forest.nodes[at];
    }
    ticks += node.ticks;
  }
  if (is_row && lane == 0) scores[index] = score_of(forest, static_cast<double>(ticks), row);
}

class GpuForest final : public ResidentObliqueForest {
 public:
  GpuForest(Device& device, const PackedForest& packed)
      : width_(packed.width), row_pitch_(pitch_of(packed.seen.size())), arrays_(device, packed) {}

  std::size_t width() const override { return width_; }
  std::size_t workspace_bytes() const override { return 0; }

  void isolation(Stream& stream, Rows rows, std::span<std::byte>, float* scores) const override {
    const auto blocks = static_cast<unsigned>((rows.count + block_of_rows - 1) / block_of_rows);
    if (row_pitch_ <= shared_floats_max) {
      launch(stream, descend<true>, blocks, threads, block_of_rows * (row_pitch_ + apart) * sizeof(float),
             arrays_.tables(), rows, scores);
    } else {
      launch(stream, descend<false>, blocks, threads, 0, arrays_.tables(), rows, scores);
    }
  }
  void attribution(Stream&, Rows, std::span<std::byte>, MutableRows, double*) const override {
    throw std::logic_error("oblique forest: contributions are made on the CPU");
  }

 private:
  std::size_t width_, row_pitch_;
  ResidentArrays arrays_;
};

std::shared_ptr<const ResidentObliqueForest> make_resident(Device& device, const PackedForest& packed) {
  return std::make_shared<GpuForest>(device, packed);
}

}  // namespace lanner::oblique_forest::LANNER_GPU
