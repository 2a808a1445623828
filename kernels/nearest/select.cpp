#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/arithmetic/scalar.hpp"
#include "kernels/nearest/distance_formula.hpp"
#include "kernels/nearest/search.hpp"

namespace lanner::nearest {
namespace {

constexpr auto before = [](const Settled& a, const Settled& b) {
  return a.squared < b.squared || (a.squared == b.squared && a.row < b.row);
};

// Sorts into `sorted`. Many entries are dealt out by distance first, since comparing them costs a hundred
// times what dealing does; where distances crowd into few of the bins, comparing remains.
Settled* in_order(Settled* entries, std::size_t count, const Scratch& scratch) {
  if (count < 48) {
    std::sort(entries, entries + count, before);
    return entries;
  }
  double low = entries[0].squared, high = low;
  for (std::size_t i = 1; i < count; ++i) {
    low = std::min(low, entries[i].squared);
    high = std::max(high, entries[i].squared);
  }
  const double each = high > low ? static_cast<double>(count - 1) / (high - low) : 0;
  const auto bin = [&](const Settled& entry) {
    return std::min(static_cast<std::size_t>((entry.squared - low) * each), count - 1);
  };
  std::uint32_t* const end = scratch.bins;
  std::fill_n(end, count + 1, 0u);
  for (std::size_t i = 0; i < count; ++i) ++end[bin(entries[i]) + 1];
  for (std::size_t i = 0; i < count; ++i) end[i + 1] += end[i];
  for (std::size_t i = 0; i < count; ++i) scratch.sorted[end[bin(entries[i])]++] = entries[i];
  for (std::size_t i = 0, begin = 0; i < count; begin = end[i++])
    if (end[i] - begin > 1) std::sort(scratch.sorted + begin, scratch.sorted + end[i], before);
  return scratch.sorted;
}

// The original rows that a distinct row may give. Where the query itself is to be left out, the last of them
// is (which one matters only if another row is as near as the query is to itself).
std::span<const std::uint32_t> members(const IndexView& index, const Settled& entry) {
  return {index.members + index.member_begin[entry.row], entry.weight};
}

// Of rows that tie at the k-th place, in order, the `wanted` original rows of lowest index: replaces weights
// by how many of each are taken. There are more than `wanted`.
void share_lowest(const IndexView& index, std::span<Settled> tied, std::size_t wanted) {
  const auto up_to = [&](const Settled& entry, std::uint32_t index_max) {
    const auto rows = members(index, entry);
    return static_cast<std::size_t>(std::upper_bound(rows.begin(), rows.end(), index_max) - rows.begin());
  };
  std::uint32_t low = 0, high = static_cast<std::uint32_t>(index.original - 1);
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    std::size_t found = 0;
    for (const Settled& entry : tied) found += up_to(entry, middle);
    if (found >= wanted)
      high = middle;
    else
      low = middle + 1;
  }
  for (Settled& entry : tied) entry.weight = static_cast<std::uint32_t>(up_to(entry, low));
}

// The same in a window, where a row's originals are linked one to the next.
void share_lowest_linked(const IndexView& index, std::span<Settled> tied, std::size_t wanted,
                         const Scratch& scratch) {
  std::uint32_t* const heap = scratch.bins;  // of entries, that with the lowest original row first
  std::uint32_t* const original = heap + tied.size();
  std::uint32_t* const taken = original + tied.size();
  for (std::uint32_t i = 0; i < tied.size(); ++i) {
    heap[i] = i;  // in order, so a heap
    original[i] = tied[i].row;
    taken[i] = 0;
  }
  const auto later = [&](std::uint32_t a, std::uint32_t b) { return original[a] > original[b]; };
  std::uint32_t* end = original;
  for (; wanted > 0; --wanted) {
    std::pop_heap(heap, end, later);
    const std::uint32_t i = end[-1];
    if (++taken[i] == tied[i].weight) {
      --end;
    } else {
      original[i] = index.next[original[i]];
      std::push_heap(heap, end, later);
    }
  }
  for (std::size_t i = 0; i < tied.size(); ++i) tied[i].weight = taken[i];
}

// Of entries in order: how many hold the k nearest, the last ones' weights cut.
std::size_t cut(const Job& job, const Scratch& scratch, Settled* entries, std::size_t count) {
  if (job.count == Count::distinct || !job.weighted) return std::min(count, job.k);
  std::size_t taken = 0;
  for (std::size_t i = 0; i < count;) {
    std::size_t end = i, tied = 0;
    for (; end < count && entries[end].squared == entries[i].squared; ++end) tied += entries[end].weight;
    if (taken + tied >= job.k) {
      if (taken + tied > job.k) {
        if (job.index.next)
          share_lowest_linked(job.index, {entries + i, end - i}, job.k - taken, scratch);
        else
          share_lowest(job.index, {entries + i, end - i}, job.k - taken);
      }
      return static_cast<std::size_t>(
          std::remove_if(entries + i, entries + end, [](const Settled& entry) { return entry.weight == 0; }) -
          entries);
    }
    taken += tied;
    i = end;
  }
  return count;
}

// The squared distance at which entries, some of them, weigh k; the largest if all weigh less.
double kth_of(const Job& job, std::span<Settled> entries, std::size_t k) {
  if (job.weighted) {
    std::sort(entries.begin(), entries.end(), before);
    std::size_t taken = 0;
    for (const Settled& entry : entries)
      if ((taken += entry.weight) >= k) return entry.squared;
  }
  return std::max_element(entries.begin(), entries.end(), before)->squared;
}

}  // namespace

// k entries suffice even where duplicates count: an original row of the k+1st distinct row in order of
// (distance, first original row) has the first original rows of k others before it.
std::uint32_t keep_nearest(const Job& job, Settled* entries, std::size_t count, double* kth) {
  const std::size_t k = job.k;
  *kth = std::numeric_limits<double>::infinity();
  if (count > k) {
    std::nth_element(entries, entries + (k - 1), entries + count, before);
    count = k;
  }
  if (!job.weighted) {
    if (count == k) *kth = std::max_element(entries, entries + count, before)->squared;
    return static_cast<std::uint32_t>(count);
  }
  std::sort(entries, entries + count, before);
  std::size_t taken = 0;
  for (std::size_t i = 0; i < count; ++i) {
    taken += entries[i].weight;
    if (taken >= k) {
      *kth = entries[i].squared;
      while (i + 1 < count && entries[i + 1].squared == *kth) ++i;
      return static_cast<std::uint32_t>(i + 1);
    }
  }
  return static_cast<std::uint32_t>(count);
}

void finish(const Job& job, const Scratch& scratch, std::size_t query, std::size_t count,
            std::size_t nearer) {
  const std::size_t k = job.k - nearer;
  Settled* entries = scratch.merged;
  if (count > k) {
    std::nth_element(entries, entries + (k - 1), entries + count, before);
    count = k;
  }
  if (job.summary && job.summarise == Summary::kth) {
    job.summary[query] = count ? distance_of(kth_of(job, {entries, count}, k)) : 0;
    return;
  }
  entries = in_order(entries, count, scratch);
  count = cut(job, scratch, entries, count);

  if (job.summary) {
    if (count == 0) {
      job.summary[query] = 0;
    } else {
      double sum = 0, taken = 0;
      for (std::size_t i = 0; i < count; ++i) {
        sum = fma(static_cast<double>(distance_of(entries[i].squared)),
                  static_cast<double>(entries[i].weight), sum);
        taken += entries[i].weight;
      }
      job.summary[query] = static_cast<float>(sum / taken);
    }
    return;
  }
  const Neighbours& out = job.neighbours;
  for (std::size_t i = 0; i < count; ++i) {
    out.row[query * k + i] = entries[i].row - job.index.oldest;
    out.distance[query * k + i] = distance_of(entries[i].squared);
    out.taken[query * k + i] = entries[i].weight;
  }
  out.count[query] = static_cast<std::uint32_t>(count);
}

}  // namespace lanner::nearest
