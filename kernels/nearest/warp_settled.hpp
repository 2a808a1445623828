// What a warp does with a list of settled rows in global memory: settling, selection, sorting. For the GPU
// kernels of this folder, within their namespace. All 32 lanes call each function with the same arguments,
// and the memory they work on is theirs; each leaves it visible to the whole warp, and has done reading.
#pragma once

#include <cstdint>

#include "kernels/arithmetic/scalar.hpp"
#include "kernels/device/simt.hpp"
#include "kernels/nearest/search_gpu.hpp"

namespace lanner::nearest::LANNER_GPU {

inline constexpr unsigned whole_warp = 0xFFFFFFFFu;
inline constexpr unsigned infinite_bits = 0x7F800000u;
inline constexpr unsigned bin_count = 256;  ///< of a selection, for each warp: shared memory

__device__ inline unsigned warp_lane() {
  return threadIdx.x % 32;
}
__device__ inline unsigned lanes_below(unsigned bits) {
  return static_cast<unsigned>(__popc(bits & ((1u << warp_lane()) - 1)));
}
__device__ inline unsigned warp_sum(unsigned x) {
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(whole_warp, x, step);
  return x;
}
__device__ inline double warp_maximum(double x) {
  for (int step = 16; step > 0; step /= 2) x = maximum(x, __shfl_xor_sync(whole_warp, x, step));
  return x;
}

/// The chain of the definition. Both rows are padded with zeros to a multiple of four, which leave it as it
/// is. `row`: of a tile.
__device__ inline double squared_distance(const float* query, const float* row, unsigned stride) {
  double sum = 0;
  for (unsigned j = 0; j < stride; j += 4) {
    const float4 q = *reinterpret_cast<const float4*>(query + j);
    const float4 r = *reinterpret_cast<const float4*>(row + j * cell_rows);
    double difference = static_cast<double>(q.x) - static_cast<double>(r.x);
    sum = fma(difference, difference, sum);
    difference = static_cast<double>(q.y) - static_cast<double>(r.y);
    sum = fma(difference, difference, sum);
    difference = static_cast<double>(q.z) - static_cast<double>(r.z);
    sum = fma(difference, difference, sum);
    difference = static_cast<double>(q.w) - static_cast<double>(r.w);
    sum = fma(difference, difference, sum);
  }
  return sum;
}

/// How many original rows a position gives to a query: none where it is the query itself.
__device__ inline unsigned weight_at(const GpuSearch& search, unsigned position, unsigned self_position) {
  const unsigned weight = search.index.weight[position];
  if (position != self_position) return weight;
  return search.distinct_only ? 0 : weight - 1;
}

/// The entries [begin, end) come with positions and weights, and get squared distances and rows.
__device__ inline void settle(const GpuSearch& search, const Tile& tile, const float* query, Settled* entries,
                              unsigned begin, unsigned end) {
  const unsigned stride = search.index.row_stride;
  for (unsigned i = begin + warp_lane(); i < end; i += 32) {
    const unsigned position = entries[i].row, in_tile = position - tile.begin * cell_rows;
    const std::size_t cell_begin = std::size_t{in_tile / cell_rows} * cell_rows * stride;
    entries[i].squared = squared_distance(query, tile.rows + cell_begin + in_tile % cell_rows * 4, stride);
    entries[i].row = search.index.row_at[position];
  }
  __syncwarp();
}

/// Entries are ordered by (squared, row); squared distances are not negative, so their bits order as they do.
struct Key {
  unsigned long long squared;
  unsigned row;
};
__device__ inline Key key_of(const Settled& entry) {
  return {static_cast<unsigned long long>(to_bits(entry.squared)), entry.row};
}
__device__ inline bool up_to(const Key& key, const Key& last) {
  return key.squared < last.squared || (key.squared == last.squared && key.row <= last.row);
}
__device__ inline bool before(const Settled& a, const Settled& b) {
  return a.squared < b.squared || (a.squared == b.squared && a.row < b.row);
}

/// A key up to which there are entries of just `wanted` weight (each counts one unless `weighted`), or of
/// more where the last of them is the one that reaches it. There must be so many. Digit by digit, from the
/// top; `digits`: 12, or 8 for the key's squared distance alone, with its row left at the largest.
__device__ inline Key select_key(const Settled* entries, unsigned count, unsigned wanted, bool weighted,
                                 unsigned digits, unsigned* bins) {
  const unsigned lane = warp_lane();
  Key known{0, 0};
  for (unsigned digit = 0; digit < digits; ++digit) {
    const unsigned shift = digit < 8 ? 56 - 8 * digit : 88 - 8 * digit;
    for (unsigned b = lane; b < bin_count; b += 32) bins[b] = 0;
    __syncwarp();
    for (unsigned i = lane; i < count; i += 32) {
      const Key key = key_of(entries[i]);
      bool fits;
      unsigned bin;
      if (digit < 8) {
        fits = digit == 0 || key.squared >> (shift + 8) == known.squared >> (shift + 8);
        bin = static_cast<unsigned>(key.squared >> shift) & 255;
      } else {
        fits = key.squared == known.squared &&
               (digit == 8 || key.row >> (shift + 8) == known.row >> (shift + 8));
        bin = key.row >> shift & 255;
      }
      if (fits) atomicAdd(&bins[bin], weighted ? entries[i].weight : 1u);
    }
    __syncwarp();
    unsigned own = 0;
    for (unsigned b = 0; b < 8; ++b) own += bins[lane * 8 + b];
    unsigned through = own;
    for (unsigned step = 1; step < 32; step *= 2) {
      const unsigned other = __shfl_up_sync(whole_warp, through, step);
      if (lane >= step) through += other;
    }
    const unsigned reached = __ballot_sync(whole_warp, through >= wanted);
    const int chosen = __ffs(static_cast<int>(reached)) - 1;
    unsigned left = wanted - (through - own), bin = lane * 8;  // of the chosen lane
    if (static_cast<int>(lane) == chosen)
      while (bins[bin] < left) left -= bins[bin++];
    bin = __shfl_sync(whole_warp, bin, chosen);
    wanted = __shfl_sync(whole_warp, left, chosen);
    const unsigned held = bins[bin];
    if (digit < 8)
      known.squared |= static_cast<unsigned long long>(bin) << shift;
    else
      known.row |= bin << shift;
    __syncwarp();
    if (held == wanted) {  // all that begin so, whatever follows
      if (digit < 8) return {known.squared | ((1ull << shift) - 1), ~0u};
      return {known.squared, known.row | ((1u << shift) - 1)};
    }
  }
  return {known.squared, digits == 8 ? ~0u : known.row};
}

/// Moves the entries that `kept` wants to the front; returns how many. `from`: where they are now, at or
/// behind `entries`.
template <class Kept>
__device__ unsigned gather(Settled* entries, const Settled* from, unsigned count, const Kept& kept) {
  unsigned left = 0;
  for (unsigned begin = 0; begin < count; begin += 32) {
    const unsigned i = begin + warp_lane();
    Settled entry{0, 0, 0};
    if (i < count) entry = from[i];
    const bool keep = i < count && kept(entry);
    const unsigned keeping = __ballot_sync(whole_warp, keep);
    __syncwarp();  // what is written may lie over what was read
    if (keep) entries[left + lanes_below(keeping)] = entry;
    left += static_cast<unsigned>(__popc(keeping));
  }
  __syncwarp();
  return left;
}

__device__ inline unsigned total_weight(const Settled* entries, unsigned count) {
  unsigned sum = 0;
  for (unsigned i = warp_lane(); i < count; i += 32) sum += entries[i].weight;
  __syncwarp();  // shuffles order no memory
  return warp_sum(sum);
}

/// The largest squared distance; 0 of none.
__device__ inline double farthest(const Settled* entries, unsigned count) {
  double most = 0;
  for (unsigned i = warp_lane(); i < count; i += 32) most = maximum(most, entries[i].squared);
  __syncwarp();
  return warp_maximum(most);
}

/// Of settled entries, keeps those that can be among the k nearest: at most `keep`. Returns how many; *kth:
/// the k-th squared distance, infinite while there are fewer. k entries suffice even where duplicates count:
/// an original row of the k+1st distinct row in order of (distance, first original row) has the first
/// original rows of k others before it.
__device__ inline unsigned keep_nearest(const GpuSearch& search, Settled* entries, unsigned count,
                                        double* kth, unsigned* bins) {
  *kth = __longlong_as_double(0x7FF0000000000000);
  if (search.weighted && total_weight(entries, count) >= search.k) {
    const Key last = select_key(entries, count, search.k, true, 8, bins);
    count = gather(entries, entries, count, [&](const Settled& entry) { return up_to(key_of(entry), last); });
    *kth = farthest(entries, count);
  }
  if (count >= search.k) {
    if (count > search.k) {
      const Key last = select_key(entries, count, search.k, false, 12, bins);
      count =
          gather(entries, entries, count, [&](const Settled& entry) { return up_to(key_of(entry), last); });
    }
    if (!search.weighted) *kth = farthest(entries, count);
  }
  return count;
}

/// By (squared, row). A bitonic network whose comparisons all point one way, so that places beyond the end
/// can be taken for infinite and left out.
__device__ inline void sort_entries(Settled* entries, unsigned count) {
  unsigned whole = 1;
  while (whole < count) whole *= 2;
  const auto order = [&](unsigned low, unsigned high) {
    if (high >= count) return;
    const Settled a = entries[low], b = entries[high];
    if (!before(b, a)) return;
    entries[low] = b;
    entries[high] = a;
  };
  for (unsigned size = 2; size <= whole; size *= 2) {
    for (unsigned i = warp_lane(); i < whole / 2; i += 32) {
      const unsigned block = i / (size / 2) * size, at = i % (size / 2);
      order(block + at, block + size - 1 - at);
    }
    __syncwarp();
    for (unsigned step = size / 4; step > 0; step /= 2) {
      for (unsigned i = warp_lane(); i < whole / 2; i += 32) {
        const unsigned low = i / step * step * 2 + i % step;
        order(low, low + step);
      }
      __syncwarp();
    }
  }
}

}  // namespace lanner::nearest::LANNER_GPU
