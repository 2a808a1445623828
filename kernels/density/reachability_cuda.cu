// Local outlier factors on a GPU: a thread a row, whose three float64 chains it adds. Neighbours come in by
// steps of 16 through shared memory, so that they are read by whole sectors; what is known of a training row
// stands together in 16 bytes, so that it costs one sector.
//
// Roofline (computed, not measured): a neighbour is 8 bytes from memory, a sector of 32 bytes from the
// second-level cache, where the training rows fit it (2.5 million do on an A100), and about 25 instructions,
// 5 of them of the float64 units. Neighbours a second:
//          memory             float64 units
//   A100   1.6 TB/s: 1.9e11   4.9e12/s: 9.7e11
//   H100   3.4 TB/s: 4.2e11   1.7e13/s: 3.4e12
//   B200   8.0 TB/s: 1.0e12   1.9e13/s: 3.7e12
// An A100's cache gives 5,120 bytes a cycle, 2.2e11 sectors a second: as near to binding as memory is, and
// where the rows don't fit it, memory gives a quarter. Expected share 70 %. The search before it costs orders
// of magnitude more.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/density/reachability_formula.hpp"
#include "kernels/density/reachability_gpu.hpp"
#include "kernels/device/resident.hpp"
#include "kernels/device/simt.hpp"

namespace lanner::density::LANNER_GPU {
namespace {

constexpr unsigned tile_rows = 128;  ///< and threads
constexpr unsigned step = 16;        ///< neighbours of a row that are staged together
constexpr unsigned row_stride = step + 1;
constexpr unsigned tile_entries = tile_rows * row_stride;

}  // namespace

struct alignas(16) TrainingRow {
  double density;
  float k_distance;
  std::uint32_t weight;
};

// ptxas: reachability_factors: block 128, registers <= 64, shared <= 17920, occupancy >= 50 %
__global__ void __launch_bounds__(tile_rows)
    reachability_factors(const TrainingRow* training, bool lone, nearest::Neighbours found, std::size_t rows,
                         float* out) {
  SHARED_ARRAY(std::uint32_t, neighbours, tile_entries);
  SHARED_ARRAY(float, distances, tile_entries);
  SHARED_ARRAY(unsigned, counts, tile_rows);
  const unsigned thread = threadIdx.x;
  const std::size_t begin = std::size_t{blockIdx.x} * tile_rows, row = begin + thread;
  if (lone) {
    if (row < rows) out[row] = lone_row_factor(found.distance[row * found.k]);
    return;
  }
  const unsigned own_count = row < rows ? found.count[row] : 0;
  counts[thread] = own_count;
  Neighbourhood sums;
  // As long as any row of the tile has neighbours left; the barrier also orders counts and the steps.
  for (unsigned e = 0; __syncthreads_or(e < own_count); e += step) {
    for (unsigned i = thread; i < tile_rows * step; i += tile_rows) {
      const unsigned r = i / step, n = i % step;
      if (e + n < counts[r]) {
        const std::size_t at = (begin + r) * found.k + e + n;
        neighbours[r * row_stride + n] = found.row[at];
        distances[r * row_stride + n] = found.distance[at];
      }
    }
    __syncthreads();  // neighbours are there
    for (unsigned n = 0; n < step && e + n < own_count; ++n) {
      const TrainingRow of = training[neighbours[thread * row_stride + n]];
      sums.add(static_cast<double>(of.weight), reach(of.k_distance, distances[thread * row_stride + n]),
               of.density);
    }
  }
  if (row < rows) out[row] = finite_factor(sums.factor());
}

class GpuDensities final : public ResidentDensities {
 public:
  GpuDensities(Device& device, const TrainingDensity& training) {
    std::vector<TrainingRow> rows(training.weight.size());
    for (std::size_t i = 0; i < rows.size(); ++i)
      rows[i] = {training.density[i], training.k_distance[i], training.weight[i]};
    rows_ = resident_copy(device, rows);
  }

  std::size_t distinct() const override { return rows_.size(); }

  void local_outlier_factors(Stream& stream, const nearest::Neighbours& found, std::size_t count,
                             float* out) const override {
    const auto blocks = static_cast<unsigned>((count + tile_rows - 1) / tile_rows);
    launch(stream, reachability_factors, blocks, tile_rows, 0, rows_.data(), distinct() == 1, found, count,
           out);
  }

 private:
  Array<TrainingRow> rows_;
};

std::shared_ptr<const ResidentDensities> make_densities(Device& device, const TrainingDensity& training) {
  return std::make_shared<GpuDensities>(device, training);
}

}  // namespace lanner::density::LANNER_GPU
