// After the screen: of each slot's settled rows the k nearest, in order, by a warp. Ties at the k-th place
// are cut by original row index.
//
// Computed: 16 (k + 512) bytes a query read from L2 about a dozen times by the selection, one byte of the key
// a pass, and k log2(k)^2 / 2 comparisons by the sort: below a hundredth of the screen's time for k = 10,
// about as long for k = 2,048 among 100,000 rows of 64 features.
#include "kernels/nearest/distance_formula.hpp"
#include "kernels/nearest/search_gpu.hpp"
#include "kernels/nearest/warp_settled.hpp"

namespace lanner::nearest::LANNER_GPU {
namespace {

/// How many of an entry's original rows have an index up to `last`. Where the query itself is left out, the
/// last of them is (which one matters only if another row is as near as the query is to itself).
__device__ unsigned members_up_to(const GpuIndexView& index, const Settled& entry, unsigned last) {
  const unsigned* const members = index.members + index.member_begin[entry.row];
  unsigned low = 0, high = entry.weight;
  while (low < high) {
    const unsigned middle = low + (high - low) / 2;
    if (members[middle] <= last)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/// Cuts weights so that they add up to k, where there is more: of the rows at the k-th distance the original
/// rows of lowest index are taken. Entries that are left with none go.
__device__ unsigned cut(const GpuSearch& search, Settled* entries, unsigned count, unsigned* bins) {
  if (total_weight(entries, count) <= search.k) return count;
  const Key last = select_key(entries, count, search.k, true, 8, bins);
  count = gather(entries, entries, count, [&](const Settled& entry) { return up_to(key_of(entry), last); });
  const double kth = farthest(entries, count);
  unsigned nearer = 0;
  for (unsigned i = warp_lane(); i < count; i += 32)
    if (entries[i].squared < kth) nearer += entries[i].weight;
  const unsigned wanted = search.k - warp_sum(nearer);
  unsigned low = 0, high = search.index.original - 1;
  while (low < high) {
    const unsigned middle = low + (high - low) / 2;
    unsigned found = 0;
    for (unsigned i = warp_lane(); i < count; i += 32)
      if (entries[i].squared == kth) found += members_up_to(search.index, entries[i], middle);
    if (warp_sum(found) >= wanted)
      high = middle;
    else
      low = middle + 1;
  }
  for (unsigned i = warp_lane(); i < count; i += 32)
    if (entries[i].squared == kth) entries[i].weight = members_up_to(search.index, entries[i], low);
  __syncwarp();
  return gather(entries, entries, count, [](const Settled& entry) { return entry.weight > 0; });
}

/// The chain of the definition, over `count` sorted entries: every lane brings one, and the first adds them
/// up.
__device__ float mean_distance(const Settled* entries, unsigned count) {
  double sum = 0, taken = 0;
  for (unsigned begin = 0; begin < count; begin += 32) {
    double distance = 0, weight = 0;
    if (begin + warp_lane() < count) {
      const Settled entry = entries[begin + warp_lane()];
      distance = static_cast<double>(distance_of(entry.squared));
      weight = static_cast<double>(entry.weight);
    }
    const unsigned some = min(count - begin, 32u);
    for (unsigned i = 0; i < some; ++i) {
      const double each = __shfl_sync(whole_warp, weight, static_cast<int>(i));
      sum = fma(__shfl_sync(whole_warp, distance, static_cast<int>(i)), each, sum);
      taken += each;
    }
  }
  return static_cast<float>(sum / taken);
}

// ptxas: finish_kernel: block 256, registers <= 64, shared <= 8192, occupancy >= 50 %
__global__ void __launch_bounds__(block_threads, 4) finish_kernel(GpuSearch search) {
  SHARED_ARRAY(unsigned, all_bins, block_warps* bin_count);
  unsigned* const bins = all_bins + threadIdx.x / 32 * bin_count;
  const unsigned slot = blockIdx.x * block_warps + threadIdx.x / 32, lane = warp_lane();
  if (slot >= search.count) return;
  Settled* const entries = search.entries + std::size_t{slot} * search.splits * search.segment;
  const unsigned* const counts = search.entry_count + slot * search.splits;
  unsigned count = counts[0];
  for (unsigned split = 1; split < search.splits; ++split) {
    const Settled* const segment = entries + std::size_t{split} * search.segment;
    count += gather(entries + count, segment, counts[split], [](const Settled&) { return true; });
  }
  if (search.weighted) {
    count = cut(search, entries, count, bins);
  } else if (count > search.k) {
    const Key last = select_key(entries, count, search.k, false, 12, bins);
    count = gather(entries, entries, count, [&](const Settled& entry) { return up_to(key_of(entry), last); });
  }

  const unsigned query = search.query_of[slot];
  if (search.summary && (count == 0 || search.summarise == Summary::kth)) {
    const float kth = distance_of(farthest(entries, count));
    if (lane == 0) search.summary[query] = kth;
    return;
  }
  sort_entries(entries, count);
  if (search.summary) {
    const float mean = mean_distance(entries, count);
    if (lane == 0) search.summary[query] = mean;
    return;
  }
  const Neighbours& out = search.neighbours;
  for (unsigned i = lane; i < count; i += 32) {
    const Settled entry = entries[i];
    out.row[query * out.k + i] = entry.row;
    out.distance[query * out.k + i] = distance_of(entry.squared);
    out.taken[query * out.k + i] = entry.weight;
  }
  if (lane == 0) out.count[query] = count;
}

}  // namespace

void finish(Stream& stream, const GpuSearch& search) {
  launch(stream, finish_kernel, dim3((search.count + block_warps - 1) / block_warps), dim3(block_threads), 0,
         search);
}

}  // namespace lanner::nearest::LANNER_GPU
