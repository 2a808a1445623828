// Gaussian kernel sums on a GPU, rule by rule as kernel_sum_formula.hpp has them. A pass of queries goes
// through four kernels:
//   bounds   no exponent of a block is larger than the bound from its bounding box, for every query and
//   block;
//            the block of highest bound is the query's home
//   blocks   of each query's home: its largest exponent tells how far other blocks may lie
//   blocks   of all others that rule 4 may keep: each block gathers the queries that need it into full tiles
//   totals   rule 4 over what the blocks left, and the answer
// Attraction goes through the kept blocks once more, a query a block of threads.
//
// Roofline (computed, not measured), `blocks` with no block skipped, which is nearly all of the time: a pair
// of query and reference costs 2 d float32 instructions (a subtraction, a fused multiply-add) and about 20
// for its term, so 84 at d = 32. Shared memory gives a warp 64 references and 8 queries of a feature by 4
// loads, 4 of its cycles where the 32 instructions that they feed take 8 (A100: 16). A tile of 16 queries and
// 256 references moves 1,088 d bytes out of the second-level cache for 4,096 pairs: 8.5 bytes a pair at d
// = 32. Hence pairs a second:
//           float32 instructions/s   bound by those   cache traffic at that rate
//   A100    9.7e12 (108 SMs)         1.2e11           1.0 TB/s
//   H100    3.3e13 (132 SMs)         4.0e11           3.4 TB/s
//   B200    3.7e13 (148 SMs)         4.4e11           3.7 TB/s
// Instruction issue binds. Barriers between the features' steps and addressing leave an expected 60 to 70 %
// of it.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>

#include "kernels/density/kernel_sum_formula.hpp"
#include "kernels/density/kernel_sum_gpu.hpp"
#include "kernels/density/kernel_sum_packing.hpp"
#include "kernels/device/simt.hpp"

namespace lanner::density::LANNER_GPU {

using kernel_sum::block_rows;
using kernel_sum::chains;
using kernel_sum::panel_rows;
using kernel_sum::panels;
using kernel_sum::partial_sums;
using kernel_sum::Tables;

namespace {

constexpr unsigned warp = 32;
constexpr unsigned all_lanes = 0xFFFFFFFF;
constexpr unsigned no_row = 0xFFFFFFFF;  // nearest::no_self
constexpr float none = -std::numeric_limits<float>::infinity();

constexpr unsigned bounds_threads = 128;  ///< a block of references each
constexpr unsigned bounds_queries = 8;

constexpr unsigned block_threads = 256;
constexpr unsigned tile_queries = 16;
constexpr unsigned step = 16;           ///< features staged together
constexpr unsigned thread_queries = 8;  ///< of a tile; each thread takes two references, half a block apart
constexpr unsigned half_rows = block_rows / 2;
// Strides in shared memory that keep a warp's two panels, or two queries, in different banks.
constexpr unsigned panel_stride = step * panel_rows + 16;
constexpr unsigned value_stride = tile_queries + 4;
constexpr unsigned exponent_stride = block_rows + 16;
constexpr unsigned tile_exponents = tile_queries * exponent_stride;

constexpr unsigned totals_threads = 256;
constexpr unsigned attraction_threads = 256;
constexpr std::size_t attraction_blocks_max = 512;

LANNER_FORMULA unsigned smaller(unsigned a, unsigned b) {
  return a < b ? a : b;
}

/// The key of a query's home: the higher bound, then the lower block, makes the larger key. Bounds are never
/// above -0, so that their bits fall as they rise.
LANNER_FORMULA unsigned long long home_key(float bound, unsigned block) {
  return static_cast<unsigned long long>(~static_cast<unsigned>(to_bits(bound))) << 32 | (no_row - block);
}
LANNER_FORMULA unsigned home_block(unsigned long long key) {
  return no_row - static_cast<unsigned>(key);
}

}  // namespace

struct KernelTotal {
  double sum;
  float largest;
};

/// What is kept of the queries of a pass, in the workspace.
struct KernelPass {
  unsigned queries;
  unsigned query_stride;     ///< queries padded to bounds_queries
  float* bounds;             ///< [blocks, query_stride]
  float* largest;            ///< [queries, block_stride]: each block's m, `none` where it is skipped
  double* sums;              ///< [queries, block_stride]
  unsigned long long* home;  ///< [query_stride]: home_key
  float* known;              ///< [query_stride]: m of the home
  KernelTotal* totals;       ///< [query_stride]
  double* squares;           ///< [attraction blocks, width]
};

// ptxas: kernel_sum_bounds: block 128, registers <= 40, shared <= 0, occupancy >= 75 %
__global__ void __launch_bounds__(bounds_threads)
    kernel_sum_bounds(Tables tables, Rows queries, KernelPass pass) {
  const unsigned block = blockIdx.x * bounds_threads + threadIdx.x;
  const unsigned first = blockIdx.y * bounds_queries;
  const bool inside = block < tables.blocks;
  const float* rows[bounds_queries];
  float s[bounds_queries];
  for (unsigned k = 0; k < bounds_queries; ++k) {
    const unsigned q = first + k < pass.queries ? first + k : first;
    rows[k] = queries.data + q * queries.stride;
    s[k] = 0;
  }
  if (inside) {
    const float* low = tables.low + block;
    const float* high = tables.high + block;
    for (std::size_t j = 0; j < tables.width; ++j) {
      const float l = *low, h = *high;
      for (unsigned k = 0; k < bounds_queries; ++k) {
        const float gap = kernel_sum::box_gap(l, h, rows[k][j]);
        s[k] = fma(gap, gap, s[k]);
      }
      low += tables.block_stride;
      high += tables.block_stride;
    }
  }
  for (unsigned k = 0; k < bounds_queries; ++k) {
    const float bound = kernel_sum::exponent(s[k], tables.scale);
    if (inside) pass.bounds[std::size_t{block} * pass.query_stride + first + k] = bound;
    if (inside && first + k < pass.queries) pass.largest[(first + k) * tables.block_stride + block] = none;
    unsigned long long key = inside ? home_key(bound, block) : 0;
    for (unsigned distance = warp / 2; distance > 0; distance /= 2) {
      const unsigned long long other = __shfl_xor_sync(all_lanes, key, distance);
      key = other > key ? other : key;
    }
    if (threadIdx.x % warp == 0) atomicMax(&pass.home[first + k], key);
  }
}

/// Block `blockIdx.x` for the queries of range `blockIdx.y` that need it: where `homes`, those whose home it
/// is, otherwise those that rule 4 may keep it for.
// ptxas: kernel_sum_blocks: block 256, registers <= 64, shared <= 38240, occupancy >= 50 %
__global__ void __launch_bounds__(block_threads, 4)
    kernel_sum_blocks(Tables tables, Rows queries, const std::uint32_t* self, KernelPass pass, unsigned range,
                      bool homes) {
  SHARED_ARRAY(float4, references4, panels * panel_stride / 4);
  SHARED_ARRAY(float4, values4, step * value_stride / 4);
  SHARED_ARRAY(float, exponents, tile_exponents);
  SHARED_ARRAY(float, weights, block_rows);
  SHARED_ARRAY(unsigned, chosen, block_threads + tile_queries);
  SHARED_ARRAY(unsigned, found, block_threads / warp);
  float* const references = reinterpret_cast<float*>(references4);
  float* const values = reinterpret_cast<float*>(values4);
  const unsigned thread = threadIdx.x, lane = thread % warp, block = blockIdx.x;
  const unsigned width = static_cast<unsigned>(tables.width);
  const float* const block_values = tables.block_values(block);
  const std::size_t first_row = std::size_t{block} * block_rows;
  weights[thread] = tables.weights[first_row + thread];

  // As a reader of references: rows `row` and `row` + half_rows, for thread_queries queries of the tile.
  const unsigned row = thread % half_rows, part = thread / half_rows;
  const float* const own = references + row / panel_rows * panel_stride + row % panel_rows;
  // As a summer: one chain of one query.
  const unsigned summed = thread / chains, chain = thread % chains;

  const unsigned end = smaller(blockIdx.y * range + range, pass.queries);
  unsigned count = 0;  // chosen and not yet done
  bool staged = false;
  for (unsigned begin = blockIdx.y * range; begin < end; begin += block_threads) {
    const unsigned candidate = begin + thread;
    bool needed = false;
    if (candidate < end) {
      const bool at_home = home_block(pass.home[candidate]) == block;
      needed = homes ? at_home
                     : !at_home && !kernel_sum::dropped(
                                       pass.bounds[std::size_t{block} * pass.query_stride + candidate],
                                       pass.known[candidate]);
    }
    const unsigned ballot = __ballot_sync(all_lanes, needed);
    if (lane == 0) found[thread / warp] = static_cast<unsigned>(__popc(ballot));
    __syncthreads();  // found is there
    unsigned before = count;
    for (unsigned w = 0; w < block_threads / warp; ++w) {
      if (w < thread / warp) before += found[w];
      count += found[w];
    }
    if (needed) chosen[before + static_cast<unsigned>(__popc(ballot & ((1u << lane) - 1)))] = candidate;
    __syncthreads();  // chosen is there, found used up

    const bool last = end - begin <= block_threads;
    unsigned done = 0;
    while (count - done >= tile_queries || (last && done < count)) {
      const unsigned tile = smaller(tile_queries, count - done);
      float s[thread_queries][2];
      for (unsigned k = 0; k < thread_queries; ++k) s[k][0] = s[k][1] = 0;
      for (unsigned j = 0; j < width; j += step) {
        const unsigned features = smaller(step, width - j);
        if (j > 0) __syncthreads();  // the step before is used up
        if (!staged || width > step)
          for (unsigned i = thread; i < panels * step * panel_rows / 4; i += block_threads) {
            const unsigned panel = i / (step * panel_rows / 4), at = i % (step * panel_rows / 4);
            if (at < features * (panel_rows / 4))
              references4[panel * (panel_stride / 4) + at] = reinterpret_cast<const float4*>(
                  block_values + (std::size_t{panel} * width + j) * panel_rows)[at];
          }
        {
          const unsigned q = thread / step, f = thread % step;
          if (f < features)
            values[f * value_stride + q] =
                queries.data[chosen[done + (q < tile ? q : 0)] * queries.stride + j + f];
        }
        __syncthreads();  // references and values are there
        staged = true;
        for (unsigned f = 0; f < features; ++f) {
          const float r0 = own[f * panel_rows], r1 = own[f * panel_rows + panels / 2 * panel_stride];
          const float4 a = values4[f * (value_stride / 4) + part * 2];
          const float4 b = values4[f * (value_stride / 4) + part * 2 + 1];
          const float x[thread_queries] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
          for (unsigned k = 0; k < thread_queries; ++k) {
            const float d0 = x[k] - r0, d1 = x[k] - r1;
            s[k][0] = fma(d0, d0, s[k][0]);
            s[k][1] = fma(d1, d1, s[k][1]);
          }
        }
      }
      for (unsigned k = 0; k < thread_queries; ++k) {
        float* const of_query = exponents + (part * thread_queries + k) * exponent_stride;
        of_query[row] = kernel_sum::exponent(s[k][0], tables.scale);
        of_query[row + half_rows] = kernel_sum::exponent(s[k][1], tables.scale);
      }
      __syncthreads();  // exponents are there, references and values used up

      // Rule 3.
      const unsigned query = chosen[done + (summed < tile ? summed : 0)];
      unsigned left_out = no_row;
      if (self && self[query] != no_row) {
        const std::size_t place = tables.place[self[query]];
        if (place / block_rows == block) left_out = static_cast<unsigned>(place % block_rows);
      }
      const auto weight = [&](unsigned i) { return weights[i] - (i == left_out ? 1.0f : 0.0f); };
      float e[block_rows / chains];
      float most = none;
      for (unsigned i = 0; i < block_rows / chains; ++i) {
        const unsigned at = i * static_cast<unsigned>(chains) + chain;
        e[i] = weight(at) > 0 ? exponents[summed * exponent_stride + at] : none;
        most = maximum(most, e[i]);
      }
      for (unsigned distance = chains / 2; distance > 0; distance /= 2)
        most = maximum(most, __shfl_xor_sync(all_lanes, most, distance));
      float acc = 0;
      for (unsigned i = 0; i < block_rows / chains; ++i)
        acc = fma(weight(i * static_cast<unsigned>(chains) + chain), kernel_sum::term(e[i] - most), acc);
      double sum = static_cast<double>(acc);
      for (unsigned distance = chains / 2; distance > 0; distance /= 2)
        sum = sum + __shfl_xor_sync(all_lanes, sum, distance);
      if (chain == 0 && summed < tile) {
        pass.largest[query * tables.block_stride + block] = most;
        pass.sums[query * tables.block_stride + block] = most == none ? 0 : sum;
        if (homes) pass.known[query] = most;
      }
      done += tile;
    }
    // What doesn't fill a tile waits for the next candidates.
    count -= done;
    const unsigned waiting = thread < count ? chosen[done + thread] : 0;
    __syncthreads();  // chosen is used up
    if (thread < count) chosen[thread] = waiting;
  }
}

/// Rule 4, a lane for each of its chains.
// ptxas: kernel_sum_totals: block 256, registers <= 32, shared <= 0, occupancy >= 100 %
__global__ void __launch_bounds__(totals_threads)
    kernel_sum_totals(Tables tables, KernelPass pass, double lowest, double log_rows, double* log_sums,
                      float* scores) {
  const unsigned query = (blockIdx.x * totals_threads + threadIdx.x) / partial_sums;
  const unsigned chain = threadIdx.x % partial_sums;
  // All lanes take part in the shuffles.
  const std::size_t begin = (query < pass.queries ? query : 0) * tables.block_stride;
  const float* const largest = pass.largest + begin;
  const double* const sums = pass.sums + begin;
  float most = none;
  for (std::size_t b = chain; b < tables.blocks; b += partial_sums) most = maximum(most, largest[b]);
  for (unsigned distance = partial_sums / 2; distance > 0; distance /= 2)
    most = maximum(most, __shfl_xor_sync(all_lanes, most, distance));
  double sum = 0;
  for (std::size_t b = chain; b < tables.blocks; b += partial_sums) {
    if (largest[b] == none || kernel_sum::dropped(largest[b], most)) continue;
    const double below = static_cast<double>(largest[b]) - static_cast<double>(most);
    sum = sum + sums[b] * kernel_sum::block_factor(below);
  }
  for (unsigned distance = partial_sums / 2; distance > 0; distance /= 2)
    sum = sum + __shfl_xor_sync(all_lanes, sum, distance);
  if (chain != 0 || query >= pass.queries) return;
  pass.totals[query] = {sum, most};
  const double log_sum = most == none ? kernel_sum::nothing : kernel_sum::log_sum(most, sum);
  if (log_sums) log_sums[query] = log_sum;
  if (scores) scores[query] = kernel_sum::negative_log_density(log_sum, lowest, log_rows);
}

/// Rule 5, a query after the other.
// ptxas: kernel_sum_attraction: block 256, registers <= 48, shared <= 1024, occupancy >= 62 %
__global__ void __launch_bounds__(attraction_threads)
    kernel_sum_attraction(Tables tables, Rows queries, KernelPass pass, MutableRows out) {
  SHARED_ARRAY(float, terms, block_rows);
  const unsigned thread = threadIdx.x, chain = thread % chains;
  double* const squares = pass.squares + blockIdx.x * tables.width;
  for (unsigned q = blockIdx.x; q < pass.queries; q += gridDim.x) {
    const float* const query = queries.data + q * queries.stride;
    const KernelTotal total = pass.totals[q];
    // A feature's chains are always the same lanes, whose first keeps its squares.
    for (std::size_t j = thread / chains; j < tables.width; j += attraction_threads / chains)
      if (chain == 0) squares[j] = 0;
    for (std::size_t b = 0; b < tables.blocks; ++b) {
      const float most = pass.largest[q * tables.block_stride + b];
      if (most == none || kernel_sum::dropped(most, total.largest)) continue;
      const double factor =
          kernel_sum::block_factor(static_cast<double>(most) - static_cast<double>(total.largest));
      const float* const values = tables.block_values(b);
      const float* const own = values + thread / panel_rows * panel_rows * tables.width + thread % panel_rows;
      float s = 0;
      for (std::size_t j = 0; j < tables.width; ++j) {
        const float d = query[j] - own[j * panel_rows];
        s = fma(d, d, s);
      }
      const float weight = tables.weights[b * block_rows + thread];
      terms[thread] =
          weight > 0 ? weight * kernel_sum::near_term(kernel_sum::exponent(s, tables.scale) - most) : 0.0f;
      __syncthreads();  // terms are there
      for (std::size_t begin = 0; begin < tables.width; begin += attraction_threads / chains) {
        const std::size_t j = begin + thread / chains;
        float acc = 0;
        if (j < tables.width)
          for (unsigned i = 0; i < panels; ++i) {
            const float d = query[j] - values[(i * tables.width + j) * panel_rows + chain];
            acc = fma(terms[i * static_cast<unsigned>(chains) + chain], minimum(d * d, kernel_sum::largest),
                      acc);
          }
        double sum = static_cast<double>(acc);
        for (unsigned distance = chains / 2; distance > 0; distance /= 2)
          sum = sum + __shfl_xor_sync(all_lanes, sum, distance);
        if (chain == 0 && j < tables.width) squares[j] = squares[j] + sum * factor;
      }
      __syncthreads();  // terms are used up
    }
    for (std::size_t j = thread / chains; j < tables.width; j += attraction_threads / chains)
      if (chain == 0)
        out.data[q * out.stride + j] =
            kernel_sum::attraction_value(squares[j], total.sum, tables.attraction_scale);
  }
}

class GpuKernelSum final : public ResidentKernelSum {
 public:
  GpuKernelSum(Device& device, const nearest::ReferenceSet& set, double bandwidth, std::size_t pass_bytes)
      : resident_(device, set, bandwidth),
        multiprocessors_(device.multiprocessors()),
        pass_bytes_(pass_bytes) {}

  std::size_t width() const override { return tables().width; }

  std::size_t workspace_bytes(std::size_t queries) const override {
    KernelPass none_yet{};
    return carve(nullptr, std::min(queries, pass_queries()), none_yet) + alignment;
  }

  void log_kernel_sum(Stream& stream, Rows queries, const std::uint32_t* self, std::span<std::byte> workspace,
                      double* out) const override {
    over_passes(queries.count, workspace, [&](std::size_t begin, std::size_t end, const KernelPass& pass) {
      sum(stream, queries.slice(begin, end), self ? self + begin : nullptr, pass, 0, 0, out + begin, nullptr);
    });
  }

  void negative_log_density(Stream& stream, Rows queries, double lowest, double log_rows,
                            std::span<std::byte> workspace, float* out) const override {
    over_passes(queries.count, workspace, [&](std::size_t begin, std::size_t end, const KernelPass& pass) {
      sum(stream, queries.slice(begin, end), nullptr, pass, lowest, log_rows, nullptr, out + begin);
    });
  }

  void attraction(Stream& stream, Rows queries, std::span<std::byte> workspace,
                  MutableRows out) const override {
    over_passes(queries.count, workspace, [&](std::size_t begin, std::size_t end, const KernelPass& pass) {
      const Rows part = queries.slice(begin, end);
      sum(stream, part, nullptr, pass, 0, 0, nullptr, nullptr);
      const auto blocks = static_cast<unsigned>(std::min(part.count, attraction_blocks_max));
      launch(stream, kernel_sum_attraction, blocks, attraction_threads, 0, tables(), part, pass,
             MutableRows{out.row(begin), part.count, out.width, out.stride});
    });
  }

 private:
  static constexpr std::size_t alignment = 64;

  const Tables& tables() const { return resident_.tables(); }

  std::size_t pass_queries() const {
    const std::size_t each = tables().block_stride * (2 * sizeof(float) + sizeof(double));
    // Ranges and grids are counted in 16 and 32 bits.
    constexpr std::size_t most = std::size_t{60000} * bounds_queries;
    return std::clamp<std::size_t>(pass_bytes_ / each / tile_queries * tile_queries, tile_queries, most);
  }

  /// Lays a pass of so many queries into the memory; returns its bytes.
  std::size_t carve(std::byte* memory, std::size_t queries, KernelPass& pass) const {
    std::size_t used = 0;
    const auto take = [&]<class T>(T*& piece, std::size_t count) {
      if (memory) piece = reinterpret_cast<T*>(memory + used);
      used += (count * sizeof(T) + alignment - 1) / alignment * alignment;
    };
    const std::size_t stride = (queries + bounds_queries - 1) / bounds_queries * bounds_queries;
    pass.queries = static_cast<unsigned>(queries);
    pass.query_stride = static_cast<unsigned>(stride);
    take(pass.bounds, tables().blocks * stride);
    take(pass.largest, queries * tables().block_stride);
    take(pass.sums, queries * tables().block_stride);
    take(pass.home, stride);
    take(pass.known, stride);
    take(pass.totals, stride);
    take(pass.squares, std::min(queries, attraction_blocks_max) * tables().width);
    return used;
  }

  template <class Task>
  void over_passes(std::size_t queries, std::span<std::byte> workspace, const Task& task) const {
    std::byte* const memory =
        workspace.data() +
        (alignment - reinterpret_cast<std::uintptr_t>(workspace.data()) % alignment) % alignment;
    const std::size_t most = pass_queries();
    for (std::size_t begin = 0; begin < queries; begin += most) {
      const std::size_t end = std::min(queries, begin + most);
      KernelPass pass{};
      carve(memory, end - begin, pass);
      task(begin, end, pass);
    }
  }

  void sum(Stream& stream, Rows queries, const std::uint32_t* self, const KernelPass& pass, double lowest,
           double log_rows, double* log_sums, float* scores) const {
    const auto pieces = [](std::size_t count, std::size_t each) {
      return static_cast<unsigned>((count + each - 1) / each);
    };
    const auto blocks = static_cast<unsigned>(tables().blocks);
    stream.fill(std::as_writable_bytes(std::span(pass.home, pass.query_stride)), 0);
    launch(stream, kernel_sum_bounds,
           dim3(pieces(blocks, bounds_threads), pieces(pass.queries, bounds_queries)), bounds_threads, 0,
           tables(), queries, pass);
    // Few blocks of references are shared out by ranges of queries, so that all multiprocessors have work.
    const unsigned enough = 8 * multiprocessors_;
    const unsigned ranges = std::clamp(pieces(enough, blocks), 1u, pieces(pass.queries, tile_queries));
    const unsigned range = pieces(pieces(pass.queries, ranges), tile_queries) * tile_queries;
    const dim3 grid(blocks, pieces(pass.queries, range));
    for (const bool homes : {true, false})
      launch(stream, kernel_sum_blocks, grid, block_threads, 0, tables(), queries, self, pass, range, homes);
    launch(stream, kernel_sum_totals, pieces(pass.queries, totals_threads / partial_sums), totals_threads, 0,
           tables(), pass, lowest, log_rows, log_sums, scores);
  }

  kernel_sum::ResidentTables resident_;
  unsigned multiprocessors_;
  std::size_t pass_bytes_;
};

std::shared_ptr<const ResidentKernelSum> make_kernel_sum(Device& device, const nearest::ReferenceSet& set,
                                                         double bandwidth, std::size_t pass_bytes) {
  return std::make_shared<GpuKernelSum>(device, set, bandwidth, pass_bytes);
}

}  // namespace lanner::density::LANNER_GPU
