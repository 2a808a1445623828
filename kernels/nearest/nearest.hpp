// Exact nearest neighbours of a batch of rows in a reference set.
//
// Definition (the same bits on every backend). For a query q and a reference row r, s(q, r) is the float64
// chain
//   s = 0; for feature j in order: d = double(q[j]) - double(r[j]); s = fma(d, d, s)
// Neighbours are ordered by (s, index of the original row); the distance is float32(sqrt(s)), the largest
// finite float where that overflows. Screens (float32, on GPUs bfloat16) may only exclude rows that a proven
// bound excludes: docs/bounds/nearest.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "kernels/device/device.hpp"
#include "kernels/rows.hpp"

namespace lanner::nearest {

struct IndexPlan;  // kernels/nearest/plan.hpp

/// The reference rows, each distinct row once: plain data. Two rows are the same when all their bits are,
/// -0 counted as +0. Distinct rows stand in the order of their first occurrence.
struct ReferenceSet {
  std::size_t width = 0;
  std::vector<float> values;           ///< [distinct, width] row-major
  std::vector<std::uint32_t> weight;   ///< [distinct]: how many original rows are this one; >= 1
  std::vector<std::uint32_t> members;  ///< original row indices, grouped by distinct row, ascending in each
  std::vector<std::uint32_t> member_begin;  ///< [distinct + 1]: where each group begins in `members`
  /// How to lay it out for a CPU; without one, it is planned whenever an index is made.
  std::shared_ptr<const IndexPlan> plan = {};

  std::size_t distinct() const { return weight.size(); }
  std::size_t rows() const { return members.size(); }
  Rows view() const { return {values.data(), distinct(), width, width}; }
};

ReferenceSet distinct_rows(Rows rows);

/// Which distinct row each original row is: [rows].
std::vector<std::uint32_t> distinct_of_rows(const ReferenceSet&);

/// What k counts. `rows`: a distinct row counts as often as it occurred (the neighbours are those of the
/// original rows, duplicates included). `distinct`: every distinct row counts once, so that k identical rows
/// cannot make a k-distance of zero.
enum class Count { rows, distinct };

struct Request;  // kernels/nearest/request.hpp

/// A reference set made resident on a device.
class Index {
 public:
  virtual ~Index() = default;
  virtual std::size_t distinct() const = 0;
  virtual std::size_t rows() const = 0;
  virtual std::size_t width() const = 0;
  /// Bytes of device memory that a search of `queries` queries needs.
  virtual std::size_t workspace_bytes(std::size_t queries, std::size_t k, Count) const = 0;
  /// What search and distances do once shapes are checked.
  virtual void answer(Stream&, const Request&) const = 0;
};

/// Copies what it needs; a set that a GPU has no memory for stays in pinned memory, and every search streams
/// it through the workspace. `k`: of most searches to come; how fast they are may depend on it, no answer
/// does. Throws std::invalid_argument for an empty set.
std::shared_ptr<const Index> make_index(Device&, const ReferenceSet&, std::size_t k = 10);

inline constexpr std::uint32_t no_self = std::numeric_limits<std::uint32_t>::max();

/// Where the answer goes; row-major [queries, k]. Entry e < count[i] of query i is one distinct row:
/// its index in the ReferenceSet, its distance, and how many of its original rows belong to the k nearest
/// (Count::distinct: all of them, the row's weight). Entries are in order; count[i] <= k. Where the set holds
/// fewer than k rows, all are given.
struct Neighbours {
  std::size_t k = 0;
  std::uint32_t* row = nullptr;
  float* distance = nullptr;
  std::uint32_t* taken = nullptr;
  std::uint32_t* count = nullptr;  ///< [queries]
};

/// The k >= 1 nearest. Queries, self, workspace and answers are memory of the stream's device. `self`: empty,
/// or for each query the distinct row that it is itself (no_self if none): one original row of it
/// (Count::rows), or the whole distinct row (Count::distinct), is left out, as when training rows are scored
/// against each other. Where distances tie at the k-th place the original rows of lowest index are taken. The
/// answer does not depend on the batch, the threads or the tier. Allocates nothing.
void search(Stream&, const Index&, Rows queries, std::size_t k, Count count,
            std::span<const std::uint32_t> self, std::span<std::byte> workspace, Neighbours out);

/// The distances alone, for detectors that need no more: the k-th smallest, or the mean of the k smallest (a
/// float64 chain of distance * taken in order, divided by the rows taken, rounded to float32). A set with
/// fewer than k rows answers for all it has; with none left (self), 0. Same workspace. [queries]
enum class Summary { kth, mean };
void distances(Stream&, const Index&, Rows queries, std::size_t k, Count count, Summary summary,
               std::span<const std::uint32_t> self, std::span<std::byte> workspace, std::span<float> out);

}  // namespace lanner::nearest
