// How the cpu backend keeps a reference set. Internal.
//
// The SIMD tiers cut the distinct rows into cells of some hundred rows (cells.hpp) and lay them out one after
// the other, each padded to whole panels; a row's place there is its position. A cell has a box, so that
// queries far from it skip it, and a centre, so that the screen's error is relative to the cell's extent, not
// to the data's. Its rows stand in panels: panel_width rows side by side, feature after feature, centred and
// scaled for the screen; or in codes (codes.hpp), where these leave few rows over. The rows as they came
// stand beside them, in the same order, for settling.
//
// The scalar tier keeps only the rows as they came, in the order of the set.
//
// A window (window.hpp) keeps the same with room to move: its view is another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/device/device.hpp"
#include "kernels/nearest/cells.hpp"
#include "kernels/nearest/codes.hpp"
#include "kernels/nearest/nearest.hpp"
#include "kernels/nearest/screen.hpp"

namespace lanner::nearest {

/// Cells are whole multiples of this many panels, so that a kernel may take up to so many at a time.
inline constexpr std::size_t panels_at_once = 4;
inline constexpr std::size_t cell_granule_max = 32 * panels_at_once;  ///< of any tier
/// Rows are padded with zeros to a multiple of so many floats: for settling, and for centring queries.
inline constexpr std::size_t row_padding = 4;
inline constexpr std::size_t centre_padding = 16;

/// Plain pointers, for kernels.
struct IndexView {
  std::size_t width = 0;
  std::size_t row_stride = 0;     ///< width padded to row_padding
  std::size_t centre_stride = 0;  ///< width padded to centre_padding
  std::size_t distinct = 0;
  std::size_t original = 0;                    ///< rows, duplicates included
  bool repeated = false;                       ///< some distinct row stands for several
  const float* rows = nullptr;                 ///< [positions, row_stride]
  const std::uint32_t* weight = nullptr;       ///< [positions]
  const std::uint32_t* row_at = nullptr;       ///< [positions]: the distinct row at a position
  const std::uint32_t* position_of = nullptr;  ///< [distinct]
  // Either these:
  const std::uint32_t* members = nullptr;       ///< as in the ReferenceSet
  const std::uint32_t* member_begin = nullptr;  ///< as in the ReferenceSet
  // or, of a window, where rows are named by their first original row's number, and numbers rise for ever:
  const std::uint32_t* next = nullptr;  ///< [numbers]: the next original row that is the same
  std::uint32_t oldest = 0;             ///< the number of the window's first row: 0 to those who ask

  // SIMD tiers only.
  std::size_t cells = 0;
  std::size_t panel_width = 0;
  float scale = 1;
  double scale_squared = 1;
  ScreenBound bound;
  float extra_share = 0;
  bool boxes_tell = true;                     ///< queries leave cells out by their boxes
  const std::uint32_t* cell_begin = nullptr;  ///< [cells]: first panel of each cell
  const std::uint32_t* cell_end = nullptr;    ///< [cells]: behind its last
  const float* centre = nullptr;              ///< [cells, centre_stride], scaled
  std::size_t blocks = 0;
  const float* block_low = nullptr;  ///< [blocks, centre_stride], scaled, zeros behind: the block's box
  const float* block_high = nullptr;
  const float* block_spread = nullptr;  ///< [blocks]: the least of its cells'
  const float* boxes = nullptr;  ///< [blocks, width, low and high, block_cells], scaled: the cells' boxes
  const float* spread =
      nullptr;  ///< [blocks, block_cells]: what a cell counts as farther where a search begins (cells.hpp)
  // Either these:
  const float* panels = nullptr;  ///< [panel, width, panel_width]
  const float* bias = nullptr;    ///< [positions]; infinite in padding
  // or those:
  CodeView codes;
};

/// What screens an index of a SIMD tier. By default what costs less; nothing but the time depends on it.
enum class Screen { chosen, floats, codes };

class CpuIndex final : public Index {
 public:
  /// Screen::codes throws std::invalid_argument where has_code_products says no, or rows are too wide.
  CpuIndex(Device&, const ReferenceSet&, Screen = Screen::chosen, std::size_t k = 10);
  std::size_t distinct() const override { return view_.distinct; }
  std::size_t rows() const override { return view_.original; }
  std::size_t width() const override { return view_.width; }
  std::size_t workspace_bytes(std::size_t queries, std::size_t k, Count) const override;
  void answer(Stream&, const Request&) const override;

  const IndexView& view() const { return view_; }
  CpuTier tier() const { return tier_; }
  unsigned threads() const { return threads_; }

 private:
  void keep_plain(Device&, const ReferenceSet&);
  void build_cells(Device&, const ReferenceSet&, Screen, std::size_t k);
  void prepare_codes(Device&, const CodeGrid&, std::size_t cells, std::size_t positions);
  /// codes: room for a row's.
  void put_codes(const CodeGrid&, std::size_t cell, std::size_t position, std::span<std::int8_t> codes);

  CpuTier tier_;
  unsigned threads_;
  IndexView view_;
  Array<float> rows_, centre_, block_low_, block_high_, block_spread_, boxes_, spread_, panels_, bias_;
  Array<std::uint32_t> weight_, members_, member_begin_, row_at_, position_of_, cell_begin_;
  Array<std::int8_t> codes_;
  Array<std::int32_t> code_square_, code_start_;
  Array<float> code_error_, code_cell_error_, code_centre_;
};

}  // namespace lanner::nearest
