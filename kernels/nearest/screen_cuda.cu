// The screen: 64 queries a block against the cells that their boxes don't exclude, by tensor cores, and what
// it leaves over settled in float64.
//
// A cell's panel goes from L2 straight into the registers of eight warps, 32 references each, in the order
// that mma.m16n8k16 wants; the queries are centred, rounded and put into shared memory in that order, 64
// features at a time. No distance is written: each is compared with its query's threshold where it was
// summed, and the few that pass leave a position.
//
// Computed, a pair of rows with d features: 2 d bf16 operations; from L2 2 d / 64 bytes of panels and 4 d /
// 256 of queries; some 10 / 256 d float32 and integer operations for centring the query, a fifth of the
// products' time. So 64 operations a byte of panels: at 5,120 bytes a clock of 1.41 GHz (NVIDIA's A100 paper)
// L2 allows 460 Tflop/s where an A100's tensor cores have 312, which bind; at the same rate a clock an H100's
// allows 575 of 990, and binds; for a B200 no rate is published, but 2,250 are out of reach. Expected share,
// at two blocks (16 warps, 128 registers a thread) a multiprocessor: half of the ceiling. DRAM is read once
// for all blocks that run at a time. With d <= 16 the sums are one step long: then comparing binds, some 3
// issued operations a pair, and it is the boxes that spare work.
#include "kernels/nearest/search_gpu.hpp"
#include "kernels/nearest/warp_settled.hpp"

namespace lanner::nearest::LANNER_GPU {
namespace {

constexpr unsigned row_tiles = block_slots / 16;  ///< of 16 queries, for a warp's mma
constexpr unsigned column_tiles = cell_rows / block_warps / 8;
constexpr unsigned chunk_steps = 4;     ///< centred at a time
constexpr unsigned boxes_at_once = 32;  ///< cells tested before any of them is visited
constexpr float largest = 0x1.fffffep127f;

/// The state of a block's queries, in shared memory.
struct Slots {
  unsigned count[block_slots];    ///< entries in the segment
  unsigned settled[block_slots];  ///< of them, the first ones
  unsigned limit[block_slots];    ///< a float's bits
  unsigned self_position[block_slots];
  bool bounded[block_slots];
  float reach[block_slots];
  // By their rank among those active in a cell:
  unsigned active[block_slots];
  float threshold[block_slots];
};

__device__ Settled* segment_of(const GpuSearch& search, unsigned slot) {
  const std::size_t at = (std::size_t{blockIdx.x} * block_slots + slot) * search.splits + blockIdx.y;
  return search.entries + at * search.segment;
}
__device__ const float* query_of(const GpuSearch& search, unsigned slot) {
  return search.query + (std::size_t{blockIdx.x} * block_slots + slot) * search.index.padded_width;
}

/// Makes room in a slot's segment, and lowers its limit. By one warp.
__device__ void make_room(const GpuSearch& search, const Tile& tile, Slots& slots, unsigned slot,
                          unsigned* bins) {
  Settled* const entries = segment_of(search, slot);
  settle(search, tile, query_of(search, slot), entries, slots.settled[slot], slots.count[slot]);
  double kth;
  const unsigned count = keep_nearest(search, entries, slots.count[slot], &kth, bins);
  __syncwarp();
  if (warp_lane() == 0) {
    const unsigned limit = __float_as_uint(screen_limit(kth * search.index.scale_squared));
    slots.count[slot] = slots.settled[slot] = count;
    slots.limit[slot] = min(slots.limit[slot], limit);
    atomicMin(&search.limit[blockIdx.x * block_slots + slot], limit);
  }
}

/// Which slots need which of the next cells, as bits: [cell, half of the slots].
__device__ void test_boxes(const GpuSearch& search, const Tile& tile, Slots& slots, unsigned first,
                           unsigned* needed) {
  const GpuIndexView& index = search.index;
  const unsigned slot = threadIdx.x % block_slots, at = blockIdx.x * block_slots + slot;
  if (threadIdx.x < block_slots) {
    float reach = -1;  // further than nothing
    if (at < search.count) {
      const unsigned limit = min(atomicMin(&search.limit[at], slots.limit[slot]), slots.limit[slot]);
      slots.limit[slot] = limit;
      reach = slots.bounded[slot] ? screen_reach(index.box_bound, __uint_as_float(limit))
                                  : __uint_as_float(infinite_bits);
    }
    slots.reach[slot] = reach;
  }
  __syncthreads();
  const float* const query =
      search.box_query + std::size_t{blockIdx.x} * index.box_width * block_slots + slot;
  for (unsigned c = threadIdx.x / block_slots; c < boxes_at_once; c += block_threads / block_slots) {
    const std::size_t cell = first + std::size_t{c} * search.splits;
    bool near = false;
    if (cell < tile.end) {
      float sum = 0;
      for (unsigned b = 0; b < index.box_width; ++b) {
        const float q = query[b * block_slots];
        const std::size_t box = std::size_t{b} * index.cells + cell;
        const float outside = maximum(maximum(index.low[box] - q, q - index.high[box]), 0.0f);
        sum = fma(outside, outside, sum);
      }
      near = sum <= slots.reach[slot];
    }
    const unsigned bits = __ballot_sync(whole_warp, near);
    if (warp_lane() == 0) needed[c * 2 + slot / 32] = bits;
  }
  __syncthreads();
}

/// Adds the rows of a cell that the bound doesn't exclude to the segments of the active slots.
__device__ void visit(const GpuSearch& search, const Tile& tile, Slots& slots, unsigned cell, unsigned active,
                      uint4* centred) {
  const GpuIndexView& index = search.index;
  const unsigned lane = warp_lane(), warp = threadIdx.x / 32, quad = threadIdx.x % 4;
  const unsigned used_tiles = (active + 15) / 16, steps = index.padded_width / step_features;

  float sum[row_tiles][column_tiles][4];
  const float* const bias = index.bias + std::size_t{cell} * cell_rows + warp * 32 + quad * 2;
#pragma unroll
  for (unsigned n = 0; n < column_tiles; ++n) {
    const float2 start = *reinterpret_cast<const float2*>(bias + n * 8);
#pragma unroll
    for (unsigned m = 0; m < row_tiles; ++m) {
      sum[m][n][0] = sum[m][n][2] = start.x;
      sum[m][n][1] = sum[m][n][3] = start.y;
    }
  }

  // Four threads centre a query.
  const unsigned rank = threadIdx.x / 4;
  const bool real = rank < active, centring = rank < used_tiles * 16;
  const unsigned slot = real ? slots.active[rank] : 0;
  const bool bounded = real && slots.bounded[slot];
  // Indices of 32 bits where they suffice: the sums leave few registers.
  const float4* const queries = reinterpret_cast<const float4*>(search.query);
  const float4* const centres = reinterpret_cast<const float4*>(index.centre);
  const unsigned query_at = (blockIdx.x * block_slots + slot) * (index.padded_width / 4) + quad;
  const unsigned word_at = ((rank / 16 * 32 + rank % 8 * 4 + quad) * 4) + rank / 8 % 2;
  const uint4* const panels = reinterpret_cast<const uint4*>(tile.panels);
  float squared_norm = 0;
  for (unsigned begin = 0; begin < steps; begin += chunk_steps) {
    const unsigned some = min(steps - begin, chunk_steps);
    if (centring) {
#pragma unroll 1
      for (unsigned step = 0; step < some; ++step) {
        float4 v{0, 0, 0, 0};
        if (bounded) {
          const float4 q = queries[query_at + (begin + step) * 4];
          const float4 c = centres[(std::size_t{cell} * steps + begin + step) * 4 + quad];
          v = {fma(index.scale, q.x, -c.x), fma(index.scale, q.y, -c.y), fma(index.scale, q.z, -c.z),
               fma(index.scale, q.w, -c.w)};
        }
        squared_norm = fma(v.x, v.x, squared_norm);
        squared_norm = fma(v.y, v.y, squared_norm);
        squared_norm = fma(v.z, v.z, squared_norm);
        squared_norm = fma(v.w, v.w, squared_norm);
        unsigned* const words = reinterpret_cast<unsigned*>(centred) + word_at + step * row_tiles * 32 * 4;
        words[0] = to_bf16_pair(-2 * v.x, -2 * v.y);
        words[2] = to_bf16_pair(-2 * v.z, -2 * v.w);
      }
    }
    if (begin + chunk_steps >= steps) {
      squared_norm += __shfl_xor_sync(whole_warp, squared_norm, 1);
      squared_norm += __shfl_xor_sync(whole_warp, squared_norm, 2);
      if (quad == 0) {
        float threshold = -__uint_as_float(infinite_bits);
        if (real)
          threshold =
              bounded ? screen_threshold(__uint_as_float(slots.limit[slot]),
                                         screen_lower_shift(index.bound, static_cast<double>(squared_norm)))
                      : largest;
        slots.threshold[rank] = threshold;
      }
    }
    __syncthreads();
#pragma unroll
    for (unsigned step = 0; step < chunk_steps; ++step) {
      if (step >= some) break;
      unsigned references[column_tiles][2];
#pragma unroll
      for (unsigned p = 0; p < column_tiles / 2; ++p) {
        const std::size_t all_steps = std::size_t{cell - tile.begin} * steps + begin + step;
        const uint4 two = panels[all_steps * (step_words / 4) + (warp * 2 + p) * 32 + lane];
        references[2 * p][0] = two.x;
        references[2 * p][1] = two.y;
        references[2 * p + 1][0] = two.z;
        references[2 * p + 1][1] = two.w;
      }
#pragma unroll
      for (unsigned m = 0; m < row_tiles; ++m) {
        if (m >= used_tiles) break;
        const uint4 words = centred[(step * row_tiles + m) * 32 + lane];
        const unsigned factors[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
        for (unsigned n = 0; n < column_tiles; ++n) mma_m16n8k16_bf16(sum[m][n], factors, references[n]);
      }
    }
    __syncthreads();
  }

  unsigned long long passed = 0;
#pragma unroll
  for (unsigned m = 0; m < row_tiles; ++m) {
    if (m >= used_tiles) break;
    const float upper = slots.threshold[m * 16 + lane / 4], lower = slots.threshold[m * 16 + lane / 4 + 8];
#pragma unroll
    for (unsigned n = 0; n < column_tiles; ++n) {
#pragma unroll
      for (unsigned e = 0; e < 4; ++e)
        if (sum[m][n][e] <= (e < 2 ? upper : lower)) passed |= 1ull << ((m * column_tiles + n) * 4 + e);
    }
  }
  for (; passed != 0; passed &= passed - 1) {
    const auto bit = static_cast<unsigned>(__ffsll(static_cast<long long>(passed)) - 1);
    const unsigned e = bit % 4, n = bit / 4 % column_tiles, m = bit / 4 / column_tiles;
    const unsigned position = cell * cell_rows + warp * 32 + n * 8 + quad * 2 + e % 2;
    if (position >= index.distinct) continue;
    const unsigned to = slots.active[m * 16 + lane / 4 + e / 2 * 8];
    const unsigned weight = weight_at(search, position, slots.self_position[to]);
    if (weight == 0) continue;
    segment_of(search, to)[atomicAdd(&slots.count[to], 1u)] = {0, position, weight};
  }
  __syncthreads();
}

// ptxas: screen_kernel: block 256, registers <= 128, shared <= 18496, occupancy >= 25 %
__global__ void __launch_bounds__(block_threads, 2) screen_kernel(GpuSearch search, Tile tile) {
  SHARED_ARRAY(uint4, centred, chunk_steps * row_tiles * 32);
  SHARED_ARRAY(Slots, shared_slots, 1);
  SHARED_ARRAY(unsigned, needed, boxes_at_once * 2);
  SHARED_ARRAY(unsigned, all_bins, block_warps* bin_count);
  Slots& slots = shared_slots[0];
  const unsigned thread = threadIdx.x, warp = thread / 32;
  unsigned* const bins = all_bins + warp * bin_count;
  unsigned* const counts = search.entry_count;

  if (thread < block_slots) {
    const unsigned at = blockIdx.x * block_slots + thread;
    const bool real = at < search.count;
    slots.count[thread] = slots.settled[thread] = real ? counts[at * search.splits + blockIdx.y] : 0;
    slots.limit[thread] = infinite_bits;
    slots.self_position[thread] = real ? search.self_position[at] : no_self;
    slots.bounded[thread] = real && search.bounded[search.query_of[at]];
  }
  for (unsigned first = tile.begin + blockIdx.y; first < tile.end; first += boxes_at_once * search.splits) {
    test_boxes(search, tile, slots, first, needed);
    for (unsigned c = 0; c < boxes_at_once; ++c) {
      const unsigned low = needed[c * 2], high = needed[c * 2 + 1];
      if ((low | high) == 0) continue;
      for (unsigned slot = warp; slot < block_slots; slot += block_warps) {
        const bool active = (slot < 32 ? low >> slot : high >> (slot - 32)) & 1;
        if (active && slots.count[slot] + cell_rows > search.segment)
          make_room(search, tile, slots, slot, bins);
      }
      if (thread < block_slots && ((thread < 32 ? low : high) >> thread % 32 & 1))
        slots.active[lanes_below(thread < 32 ? low : high) +
                     (thread < 32 ? 0u : static_cast<unsigned>(__popc(low)))] = thread;
      __syncthreads();
      visit(search, tile, slots, first + c * search.splits, static_cast<unsigned>(__popc(low) + __popc(high)),
            centred);
    }
    __syncthreads();
  }
  __syncthreads();
  // The tile goes: what it left is settled now.
  for (unsigned slot = warp; slot < block_slots; slot += block_warps) {
    const unsigned at = blockIdx.x * block_slots + slot;
    if (at >= search.count) continue;
    settle(search, tile, query_of(search, slot), segment_of(search, slot), slots.settled[slot],
           slots.count[slot]);
    if (warp_lane() == 0) counts[at * search.splits + blockIdx.y] = slots.count[slot];
  }
}

}  // namespace

void screen(Stream& stream, const GpuSearch& search, const Tile& tile) {
  const unsigned blocks = (search.count + block_slots - 1) / block_slots;
  launch(stream, screen_kernel, dim3(blocks, search.splits), dim3(block_threads), 0, search, tile);
}

}  // namespace lanner::nearest::LANNER_GPU
