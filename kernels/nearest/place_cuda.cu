// Before the screen: which cell a query is at home in, the order of the queries, and a first limit for each.
//
// Computed, for d features, n references, k neighbours: find_homes reads 8 min(d, 32) bytes a cell and spends
// 5 min(d, 32) float32 operations on it, n / 256 cells a query: a fiftieth to a quarter of the screen's time,
// bound by float32 issue. place_queries settles k + 256 rows a query, in 2 d float64 operations and 4 d bytes
// each: bound by the L2 cache's bandwidth where d is large; a twentieth of the screen's time for n = 100,000
// and k = 10, and less for more rows. order_queries is one block: some 50 us for 16,384 queries.
#include "kernels/nearest/search_gpu.hpp"
#include "kernels/nearest/warp_settled.hpp"

namespace lanner::nearest::LANNER_GPU {
namespace {

/// A warp a query.
// ptxas: find_homes_kernel: block 256, registers <= 64, shared <= 0, occupancy >= 50 %
__global__ void __launch_bounds__(block_threads, 4) find_homes_kernel(GpuSearch search) {
  const GpuIndexView& index = search.index;
  const unsigned query = blockIdx.x * block_warps + threadIdx.x / 32;
  if (query >= search.count) return;
  const float* const values = search.queries + query * search.stride;
  bool bounded = true;
  for (unsigned j = warp_lane(); j < index.width; j += 32)
    bounded = bounded && absolute(index.scale * values[j]) <= scaled_query_max;
  bounded = __all_sync(whole_warp, bounded);

  float least = __uint_as_float(infinite_bits);
  unsigned home = 0;
  if (bounded) {
    for (unsigned cell = warp_lane(); cell < index.cells; cell += 32) {
      float sum = 0;
      for (unsigned b = 0; b < index.box_width; ++b) {
        const float q = index.scale * values[index.box_feature[b]];
        const float outside = maximum(
            maximum(index.low[b * index.cells + cell] - q, q - index.high[b * index.cells + cell]), 0.0f);
        sum = fma(outside, outside, sum);
      }
      if (sum < least) {
        least = sum;
        home = cell;
      }
    }
    for (int step = 16; step > 0; step /= 2) {
      const float other = __shfl_xor_sync(whole_warp, least, step);
      const unsigned other_home = __shfl_xor_sync(whole_warp, home, step);
      if (other < least || (other == least && other_home < home)) {
        least = other;
        home = other_home;
      }
    }
  }
  if (warp_lane() == 0) {
    search.home[query] = home;
    search.bounded[query] = bounded;
  }
}

/// One block. Among queries of one home the order is that of chance: no answer depends on it.
// ptxas: order_queries_kernel: block 256, registers <= 40, shared <= 1024, occupancy >= 75 %
__global__ void __launch_bounds__(block_threads, 4) order_queries_kernel(GpuSearch search) {
  SHARED_ARRAY(unsigned, before_thread, block_threads);
  unsigned* const from = search.slots_from;
  const unsigned cells = search.index.cells, thread = threadIdx.x;
  for (unsigned cell = thread; cell < cells; cell += block_threads) from[cell] = 0;
  __syncthreads();
  for (unsigned query = thread; query < search.count; query += block_threads)
    atomicAdd(&from[search.home[query]], 1u);
  __syncthreads();
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
  __syncthreads();
  for (unsigned query = thread; query < search.count; query += block_threads)
    search.query_of[atomicAdd(&from[search.home[query]], 1u)] = query;
}

/// A warp a slot; those beyond the count get zeros. The rows nearest to the home's in the tree's order, as
/// far as the tile has them, give the limit.
// ptxas: place_queries_kernel: block 256, registers <= 64, shared <= 8192, occupancy >= 50 %
__global__ void __launch_bounds__(block_threads, 4) place_queries_kernel(GpuSearch search, Tile tile) {
  SHARED_ARRAY(unsigned, bins, block_warps* bin_count);
  const GpuIndexView& index = search.index;
  const unsigned slot = blockIdx.x * block_warps + threadIdx.x / 32, lane = warp_lane();
  if (slot >= (search.count + block_slots - 1) / block_slots * block_slots) return;
  float* const values = search.query + std::size_t{slot} * index.padded_width;
  float* const box =
      search.box_query + std::size_t{slot / block_slots} * index.box_width * block_slots + slot % block_slots;
  const bool real = slot < search.count;
  const unsigned query = real ? search.query_of[slot] : 0;
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
  launch(stream, find_homes_kernel, dim3((search.count + block_warps - 1) / block_warps), dim3(block_threads),
         0, search);
}
void order_queries(Stream& stream, const GpuSearch& search) {
  launch(stream, order_queries_kernel, dim3(1), dim3(block_threads), 0, search);
}
void place_queries(Stream& stream, const GpuSearch& search, const Tile& first) {
  const unsigned slots = (search.count + block_slots - 1) / block_slots * block_slots;
  launch(stream, place_queries_kernel, dim3(slots / block_warps), dim3(block_threads), 0, search, first);
}

}  // namespace lanner::nearest::LANNER_GPU
