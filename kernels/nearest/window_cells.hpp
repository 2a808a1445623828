// Where the distinct rows of a window stand: an IndexView (index.hpp) that can be changed in place. Internal.
//
// A cell's rows stand in a page of cell_rows_max positions, the first of it, so that a search reads no more
// than are there; pages are handed out and given back. A cell's number is its place among the block_cells of
// its block.
//
// A tree of cuts, as that of k-d trees, leads a row to its cell. A full cell is cut in two, and the cut
// stays, so that boxes hardly overlap however they grow. A row that is far from the others of its cell would
// make the cell's box as wide as the data: it is a stray, and a second tree leads it to a cell of strays.
// Cells with few rows are given up, the smallest first, and so are blocks with few cells.
//
// What leaves a box leaves it too large for a while, and a centre is not always the mean: the screen's bounds
// hold for any centre, and for any box that holds the rows.
//
// The scalar tier has the rows alone, one after the other.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/device/device.hpp"
#include "kernels/nearest/index.hpp"

namespace lanner::nearest {

class WindowCells {
 public:
  static constexpr std::uint32_t no_position = no_self;

  /// `position_of`: the owner's, by the numbers of original rows; kept up to date here for every distinct
  /// row's first one.
  WindowCells(Device&, std::size_t width, std::vector<std::uint32_t>& position_of);

  std::size_t distinct() const { return distinct_; }
  const float* row(std::uint32_t position) const { return rows_.data() + position * row_stride_; }
  std::uint32_t& weight(std::uint32_t position) { return weight_.data()[position]; }
  std::uint32_t& number(std::uint32_t position) { return row_at_.data()[position]; }

  /// Before each row that is added, which then throws nothing. Throws std::bad_alloc.
  void reserve_for_one();
  /// A row that is not there yet, with its number; of weight 1. Its values fit the scale.
  void add(const float* row, std::uint32_t number);
  void remove(std::uint32_t position);

  /// Chooses another scale where values of this magnitude would not fit.
  void fit_scale(float largest);
  /// Chooses it anew where the rows have become so small that their squares could vanish.
  void review_scale();

  /// But for what it shows of original rows.
  IndexView view() const;
  std::size_t bytes() const;

 private:
  enum Tree : std::uint32_t { regular, strays };

  struct Cell {
    std::uint32_t page = no_position;  ///< none: there is no such cell
    std::uint32_t rows = 0;
    std::uint32_t left = 0;  ///< rows that have left since its box was made
    Tree tree = regular;
    double squared_norm = 0;  ///< of its rows, centred: their sum
  };

  // A child is another node's number or a page, with the highest bit set. A link is twice the number of a
  // node, and 1 for its second child. Node 0's children are the two trees.
  struct Node {
    std::uint32_t feature;
    float threshold;  ///< rows above it went into the second child when it was made
    std::uint32_t child[2];
    std::uint32_t link;
    std::uint32_t priority;  ///< above a node of the same feature it has a higher one
  };

  bool screened() const { return tier_ != CpuTier::scalar; }
  float scale() const;
  std::size_t slots() const { return blocks_ * block_cells; }
  Cell& cell_on(std::uint32_t page) { return cells_[cell_of_page_[page]]; }
  float* box_of(std::size_t cell);  ///< the first feature's low; high is block_cells behind it
  static double mean_squared_norm(const Cell& cell) { return cell.squared_norm / std::max(cell.rows, 1u); }

  void reserve_pages(std::size_t);
  void reserve_blocks(std::size_t);
  /// For what is done beside adding a row, which may take some itself.
  bool room_to_split() const { return free_pages_.size() > 4 && blocks_ + 4 < blocks_max_; }

  void take_out(std::size_t position);
  void move(std::size_t position, std::uint32_t page);
  void copy_row(std::size_t from, std::size_t to);
  std::size_t put(std::uint32_t page, const float* row);
  double squared_from_centre(const float* row, std::size_t cell) const;
  void put_panel(std::size_t cell, std::size_t position, double squared_norm);

  std::uint32_t open_cell(std::size_t block, Tree);
  void close_cell(std::uint32_t page);
  void forget_cell(std::size_t cell);
  void move_cell(std::size_t from, std::size_t to);
  void note_rows(std::size_t cell);
  void note_spread(std::size_t block);
  void fit_cell(std::uint32_t page);
  void fit_block(std::size_t block);

  void link_to(std::uint32_t link, std::uint32_t what);
  void link_parts(std::uint32_t page, std::uint32_t other, std::size_t feature, float threshold);
  void unlink(std::uint32_t page);
  std::uint32_t page_below(std::uint32_t at, const float* row) const;
  std::uint32_t page_in(Tree, const float* row);
  bool is_stray(std::uint32_t page, const float* row) const;
  std::uint32_t page_or_strays(std::uint32_t page, const float* row);

  void split(std::uint32_t page);
  void send_strays(std::uint32_t page);
  void split_block(std::size_t block);
  void gather();
  void give_up_smallest();
  void merge_blocks();
  void drop_block(std::size_t block);
  void choose_scale(int largest_exponent);

  Device& device_;
  CpuTier tier_;
  std::size_t width_, row_stride_, centre_stride_, panel_width_;
  ScreenBound bound_;
  std::vector<std::uint32_t>& position_of_;
  std::size_t distinct_ = 0;

  bool scaled_ = false;  ///< values other than 0 were there to choose it by
  int scale_exponent_ = 0;

  std::size_t pages_ = 0;                  ///< there is room for
  std::vector<std::uint32_t> free_pages_;  ///< the next one last
  Array<float> rows_, panels_, bias_;
  Array<std::uint32_t> weight_, row_at_;
  std::vector<std::uint32_t> cell_of_page_, link_of_page_;

  std::size_t blocks_ = 0, blocks_max_ = 0, cell_count_ = 0;
  std::vector<Cell> cells_;                ///< [blocks, block_cells]
  std::vector<std::uint32_t> block_used_;  ///< [blocks]: cells
  Array<std::uint32_t> cell_begin_, cell_end_;
  Array<float> centre_, block_low_, block_high_, block_spread_, boxes_, spread_;

  std::vector<Node> nodes_;
  std::vector<std::uint32_t> free_nodes_;
  std::uint32_t priority_ = 1;

  // Room for what is done in one go:
  std::vector<float> low_, high_;                     ///< [width]
  std::vector<double> sum_;                           ///< [width]
  std::vector<std::pair<float, std::uint32_t>> cut_;  ///< [cell_rows_max]
};

}  // namespace lanner::nearest
