// Before the screen: which cell a query is at home in, the order of the queries, and a first limit for each.
//
// Computed, for d features, n references, k neighbours: find_homes spends 5 min(d, 32) float32 operations and
// a few on a cell's box and a query, n / 256 cells a query, and stops where none of a warp's queries can be
// nearer: bound by float32 issue. place_queries settles k + 256 rows a query, in 2 d float64 operations and 4
// d bytes each, read from L2 once for the queries of a home that run together: bound by float64 issue.
#include "kernels/nearest/search_gpu.hpp"
#include "kernels/nearest/warp_settled.hpp"

namespace lanner::nearest::LANNER_GPU {
namespace {

constexpr unsigned box_queries = 4;  ///< a warp's, which share what it reads of the boxes
constexpr unsigned box_votes_every =
    8;  ///< features between two looks at whether a box can still be the nearest

/// Where a warp's queries are as far as they can be bounded; which can, as bits.
__device__ unsigned scale_queries(const GpuSearch& search, unsigned first, float* scaled) {
  const GpuIndexView& index = search.index;
  const unsigned lane = warp_lane();
  unsigned bounded = 0;
  for (unsigned h = 0; h < box_queries; ++h) {
    const bool real = first + h < search.count;
    const float* const values = search.queries + (real ? first + h : 0) * search.stride;
    bool small = real;
    for (unsigned j = lane; j < index.width; j += 32)
      small = small && absolute(index.scale * values[j]) <= scaled_query_max;
    small = __all_sync(whole_warp, small);
    bounded |= static_cast<unsigned>(small) << h;
    for (unsigned b = lane; b < index.box_width; b += 32)
      scaled[b * box_queries + h] = small ? index.scale * values[index.box_feature[b]] : 0;
  }
  __syncwarp();
  return bounded;
}

/// Squared distances of four queries to the box of a lane's cell; false, and not all of the sums, once none
/// of the warp's is within `reach`. scaled: [box_width], of the four.
__device__ bool box_sums(const GpuIndexView& index, const float4* scaled, unsigned cell,
                         const float (&reach)[box_queries], float (&sum)[box_queries]) {
#pragma unroll
  for (unsigned h = 0; h < box_queries; ++h) sum[h] = 0;
  for (unsigned from = 0; from < index.box_width; from += box_votes_every) {
    const unsigned to = min(from + box_votes_every, index.box_width);
    for (unsigned b = from; b < to; ++b) {
      const float low = index.low[b * index.cells + cell], high = index.high[b * index.cells + cell];
      const float4 four = scaled[b];
      const float q[box_queries] = {four.x, four.y, four.z, four.w};
#pragma unroll
      for (unsigned h = 0; h < box_queries; ++h) {
        const float outside = maximum(maximum(low - q[h], q[h] - high), 0.0f);
        sum[h] = fma(outside, outside, sum[h]);
      }
    }
    bool near = false;
#pragma unroll
    for (unsigned h = 0; h < box_queries; ++h) near = near || sum[h] <= reach[h];
    if (!__any_sync(whole_warp, near)) return false;
  }
  return true;
}

/// A warp for four queries: a cell a lane.
// ptxas: find_homes_kernel: block 256, registers <= 64, shared <= 4096, occupancy >= 50 %
__global__ void __launch_bounds__(block_threads, 4) find_homes_kernel(GpuSearch search) {
  SHARED_ARRAY(float4, all_scaled, block_warps * box_width_max);
  const GpuIndexView& index = search.index;
  const unsigned lane = warp_lane(), first = (blockIdx.x * block_warps + threadIdx.x / 32) * box_queries;
  if (first >= search.count) return;
  float4* const scaled = all_scaled + threadIdx.x / 32 * box_width_max;
  const unsigned bounded = scale_queries(search, first, reinterpret_cast<float*>(scaled));

  float least[box_queries], bar[box_queries];  // a lane's, and the warp's
  unsigned home[box_queries];
#pragma unroll
  for (unsigned h = 0; h < box_queries; ++h) {
    least[h] = bar[h] = __uint_as_float(infinite_bits);
    home[h] = 0;
  }
  for (unsigned begin = 0; begin < index.cells; begin += 32) {
    const unsigned cell = min(begin + lane, index.cells - 1);
    float sum[box_queries];
    if (!box_sums(index, scaled, cell, bar, sum)) continue;
#pragma unroll
    for (unsigned h = 0; h < box_queries; ++h) {
      if (sum[h] < least[h]) {
        least[h] = sum[h];
        home[h] = cell;
      }
      bar[h] = least[h];
      for (int step = 16; step > 0; step /= 2)
        bar[h] = minimum(bar[h], __shfl_xor_sync(whole_warp, bar[h], step));
    }
  }
#pragma unroll
  for (unsigned h = 0; h < box_queries; ++h) {
    const unsigned best = __ballot_sync(whole_warp, least[h] == bar[h]);
    const unsigned chosen = __shfl_sync(whole_warp, home[h], __ffs(static_cast<int>(best)) - 1);
    if (lane == 0 && first + h < search.count) {
      const bool small = bounded >> h & 1;
      const unsigned cell = small ? chosen : 0;
      search.home[first + h] = cell;
      search.bounded[first + h] = small;
      atomicAdd(&search.slots_from[cell], 1u);
    }
  }
}

/// One block: counts become where each cell's slots begin.
// ptxas: number_slots_kernel: block 256, registers <= 40, shared <= 1024, occupancy >= 75 %
__global__ void __launch_bounds__(block_threads, 4) number_slots_kernel(GpuSearch search) {
  SHARED_ARRAY(unsigned, before_thread, block_threads);
  unsigned* const from = search.slots_from;
  const unsigned cells = search.index.cells, thread = threadIdx.x;
  const unsigned each = (cells + block_threads - 1) / block_threads;
  const unsigned begin = min(thread * each, cells), end = min(begin + each, cells);
  unsigned own = 0;
  for (unsigned cell = begin; cell < end; ++cell) own += from[cell];
  before_thread[thread] = own;
  for (unsigned step = 1; step < block_threads; step *= 2) {
    __syncthreads();
    const unsigned other = thread >= step ? before_thread[thread - step] : 0;
    __syncthreads();
    before_thread[thread] += other;
  }
  unsigned slot = before_thread[thread] - own;
  for (unsigned cell = begin; cell < end; ++cell) {
    const unsigned queries = from[cell];
    from[cell] = slot;
    slot += queries;
  }
}

/// A thread a query. Among queries of one home the order is that of chance: no answer depends on it.
// ptxas: order_queries_kernel: block 256, registers <= 32, shared <= 0, occupancy >= 75 %
__global__ void __launch_bounds__(block_threads, 4) order_queries_kernel(GpuSearch search) {
  const unsigned query = blockIdx.x * block_threads + threadIdx.x;
  if (query < search.count) search.query_of[atomicAdd(&search.slots_from[search.home[query]], 1u)] = query;
}

/// A warp a slot; those beyond the count get zeros. The rows nearest to the home's in the tree's order, as
/// far as the tile has them, give the limit.
// ptxas: place_queries_kernel: block 256, registers <= 64, shared <= 8192, occupancy >= 50 %
__global__ void __launch_bounds__(block_threads, 4) place_queries_kernel(GpuSearch search, Tile tile) {
  SHARED_ARRAY(unsigned, bins, block_warps* bin_count);
  const GpuIndexView& index = search.index;
  const unsigned slot = blockIdx.x * block_warps + threadIdx.x / 32, lane = warp_lane();
  if (slot >= (search.count + block_slots - 1) / block_slots * block_slots) return;
  const bool real = slot < search.count;
  const unsigned query = real ? search.query_of[slot] : 0;
  float* const values = search.query + std::size_t{slot} * index.padded_width;
  float* const box =
      search.box_query + std::size_t{slot / block_slots} * index.box_width * block_slots + slot % block_slots;
  const float* const from = search.queries + query * search.stride;
  const bool bounded = real && search.bounded[query];
  for (unsigned j = lane; j < index.padded_width; j += 32) values[j] = real && j < index.width ? from[j] : 0;
  for (unsigned b = lane; b < index.box_width; b += 32)
    box[b * block_slots] = bounded ? index.scale * from[index.box_feature[b]] : 0;
  __syncwarp();
  if (!real) return;

  const unsigned self = search.self ? search.self[query] : no_self;
  const unsigned self_position = self < index.distinct ? index.position_of[self] : no_self;
  Settled* const entries = search.entries + std::size_t{slot} * search.splits * search.segment;
  const unsigned tile_begin = tile.begin * cell_rows, tile_end = min(tile.end * cell_rows, index.distinct);
  const unsigned wanted = min(min(search.keep + cell_rows, search.segment), tile_end - tile_begin);
  const unsigned middle = search.home[query] * cell_rows + cell_rows / 2;
  const unsigned begin = min(max(middle, tile_begin + wanted / 2) - wanted / 2, tile_end - wanted);
  unsigned count = 0;
  for (unsigned i = 0; i < wanted; i += 32) {
    const unsigned position = begin + i + lane;
    const unsigned weight = i + lane < wanted ? weight_at(search, position, self_position) : 0;
    const unsigned taken = __ballot_sync(whole_warp, weight > 0);
    if (weight > 0) entries[count + lanes_below(taken)] = {0, position, weight};
    count += static_cast<unsigned>(__popc(taken));
  }
  __syncwarp();
  settle(search, tile, values, entries, 0, count);
  double kth;
  keep_nearest(search, entries, count, &kth, bins + threadIdx.x / 32 * bin_count);
  if (lane == 0) {
    search.self_position[slot] = self_position;
    search.limit[slot] = __float_as_uint(screen_limit(kth * index.scale_squared));
    for (unsigned split = 0; split < search.splits; ++split)
      search.entry_count[slot * search.splits + split] = 0;
  }
}

}  // namespace

void find_homes(Stream& stream, const GpuSearch& search) {
  constexpr unsigned block_queries = block_warps * box_queries;
  launch(stream, find_homes_kernel, dim3((search.count + block_queries - 1) / block_queries),
         dim3(block_threads), 0, search);
}
void order_queries(Stream& stream, const GpuSearch& search) {
  launch(stream, number_slots_kernel, dim3(1), dim3(block_threads), 0, search);
  launch(stream, order_queries_kernel, dim3((search.count + block_threads - 1) / block_threads),
         dim3(block_threads), 0, search);
}
void place_queries(Stream& stream, const GpuSearch& search, const Tile& first) {
  const unsigned slots = (search.count + block_slots - 1) / block_slots * block_slots;
  launch(stream, place_queries_kernel, dim3(slots / block_warps), dim3(block_threads), 0, search, first);
}

}  // namespace lanner::nearest::LANNER_GPU
