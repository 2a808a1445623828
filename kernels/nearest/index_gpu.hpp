// How the GPU backends keep a reference set. Internal.
//
// The distinct rows are ordered by halving (cells.hpp) into cells of 256; only the last may hold fewer. A
// row's place in that order is its position. A cell has a centre, to which the screen's error is relative,
// and a box over the features that the tree likes best to divide by. Its panel holds its rows for the tensor
// cores: centred, scaled, rounded to bfloat16, in the order of their registers (screen_bf16.hpp). Rows as
// they came stand beside the panels, for settling: four features of all the cell's rows after each other, so
// that a warp that takes a row a lane reads whole lines.
//
// Panels and rows, 6 bytes a value, stay in device memory; where they don't fit, in pinned host memory: then
// every search copies them into its workspace, tile by tile. Everything else, some 30 bytes a row, always
// stays in device memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/device/device.hpp"
#include "kernels/nearest/nearest.hpp"
#include "kernels/nearest/screen_bf16.hpp"

namespace lanner::nearest {

/// Features of a box. Fewer than all still give a lower bound, at a small part of the screen's cost.
inline constexpr unsigned box_width_max = 32;

/// Plain pointers to device memory, for kernels.
struct GpuIndexView {
  std::uint32_t width = 0;
  std::uint32_t padded_width = 0;  ///< to whole steps; padding is zero
  std::uint32_t row_stride = 0;    ///< width padded to 4
  std::uint32_t distinct = 0;
  std::uint32_t original = 0;  ///< rows, duplicates included
  std::uint32_t cells = 0;
  std::uint32_t box_width = 0;
  bool repeated = false;
  float scale = 1;
  double scale_squared = 1;
  ScreenBound bound;                            ///< of the screen
  ScreenBound box_bound;                        ///< of distances to boxes, which are float32 sums
  const std::uint32_t* box_feature = nullptr;   ///< [box_width]
  const float* low = nullptr;                   ///< [box_width, cells], scaled
  const float* high = nullptr;                  ///< [box_width, cells]
  const float* centre = nullptr;                ///< [cells, padded_width], scaled
  const float* bias = nullptr;                  ///< [cells, cell_rows]
  const std::uint32_t* row_at = nullptr;        ///< [distinct]: the distinct row at a position
  const std::uint32_t* position_of = nullptr;   ///< [distinct]
  const std::uint32_t* weight = nullptr;        ///< [distinct]: at a position
  const std::uint32_t* members = nullptr;       ///< as in the ReferenceSet
  const std::uint32_t* member_begin = nullptr;  ///< as in the ReferenceSet
};

/// Panels and rows of the cells [begin, end).
struct Tile {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  const std::uint32_t* panels = nullptr;  ///< [cells, padded_width / step_features, step_words]
  const float* rows = nullptr;            ///< [cells, row_stride / 4, cell_rows, 4]
};

class GpuIndex final : public Index {
 public:
  /// tile_cells: how many cells a tile has; 0: all stay in device memory.
  GpuIndex(Device&, const ReferenceSet&, std::size_t tile_cells);
  std::size_t distinct() const override { return view_.distinct; }
  std::size_t rows() const override { return view_.original; }
  std::size_t width() const override { return view_.width; }
  std::size_t workspace_bytes(std::size_t queries, std::size_t k, Count) const override;
  void answer(Stream&, const Request&) const override;

  const GpuIndexView& view() const { return view_; }
  std::size_t tile_cells() const { return tile_cells_; }
  bool streamed() const { return tile_cells_ < view_.cells; }
  const Device& device() const { return *device_; }
  std::size_t panel_words() const { return std::size_t{view_.padded_width} / step_features * step_words; }
  std::size_t cell_values() const { return std::size_t{cell_rows} * view_.row_stride; }

 private:
  Device* device_;
  GpuIndexView view_;
  std::size_t tile_cells_;
  Array<std::uint32_t> box_feature_, row_at_, position_of_, weight_, members_, member_begin_, panels_;
  Array<float> low_, high_, centre_, bias_, rows_;
  Pinned<std::uint32_t> panels_streamed_;
  Pinned<float> rows_streamed_;
};

/// Of a checked set; in tiles where the device has too little memory left.
std::shared_ptr<const Index> make_gpu_index(Device&, const ReferenceSet&);
/// In tiles of so many rows (a whole number of cells, at least one), whatever the memory. For tests.
std::shared_ptr<const Index> make_gpu_index(Device&, const ReferenceSet&, std::size_t tile_rows);

}  // namespace lanner::nearest
