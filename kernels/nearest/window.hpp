// Exact nearest neighbours among rows that come and go: a window that slides over a stream.
//
// It answers what an index made anew of the rows in the window would: the same distances, ties and counts, by
// the same kernels, at every step. Nothing is made anew to that end: a row is put into the cell where it
// fits, and taken out of it again; a full cell is cut in two, one with few rows is given up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/device/device.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::nearest {

/// The original rows of a window are numbered from the oldest on, which is 0, so that a row's number falls as
/// older ones leave. `Neighbours::row` and `self` name a distinct row by the number of its first original
/// row: where an index names the i-th distinct row of a ReferenceSet, a window names
/// set.members[set.member_begin[i]].
///
/// Not to be changed while a search runs, nor by two threads at once. A workspace is for the rows that were
/// there when its size was asked for.
class Window : public Index {
 public:
  /// Behind those that are there, in their order. Throws std::invalid_argument for rows of another width,
  /// values that are not finite, or more than 2^30 rows together, and changes nothing then; where
  /// std::bad_alloc is thrown, the rows before stay.
  ///
  /// A row takes a microsecond or some. Now and then it takes as long as a pass over the whole window: where
  /// there is no room left for more rows than ever before, after as many rows as there is room for, and where
  /// a value is 2^20 times the largest that there was when the scale was chosen.
  virtual void insert(Rows) = 0;
  /// The `count` oldest rows leave. Throws std::invalid_argument where there are fewer, and changes nothing
  /// then.
  virtual void expire(std::size_t count) = 0;
  /// By which number searches name each original row: that of the first that is the same. [rows]
  virtual std::vector<std::uint32_t> first_of_rows() const = 0;
  /// Of memory that it holds. With n the most distinct rows and m the most original rows that it ever had at
  /// once: no more than an index in float32 panels of 4 (n + 2000) rows, and 72 m, however long it slides.
  virtual std::size_t bytes() const = 0;
};

/// An empty window for rows of `width` features; the device must outlive it. Throws std::invalid_argument for
/// a width of 0 or above 65536, and for a GPU: a window is searched on the CPU.
std::unique_ptr<Window> make_window(Device&, std::size_t width);

}  // namespace lanner::nearest
