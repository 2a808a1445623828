#include "kernels/nearest/window_cells.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/arithmetic/scalar.hpp"
#include "kernels/nearest/cells.hpp"

namespace lanner::nearest {
namespace {

constexpr std::uint32_t none = no_self;
constexpr std::uint32_t leaf = std::uint32_t{1} << 31;
constexpr float infinite = std::numeric_limits<float>::infinity();
constexpr std::size_t box_stride = 2 * block_cells;
/// Largest values are brought to 2^(scaled_exponent - headroom), and looked at again below 2^-headroom of
/// that.
constexpr int headroom = 20;
/// A row is a stray in a cell of at least so many rows whose mean squared distance from its centre is so many
/// times less than the row's.
constexpr double stray_factor = 4;
constexpr std::uint32_t stray_rows_min = 32;
/// The parts of a cell that is cut have at least so many rows. Where there are more cells than one for so
/// many rows, and some more, the smallest are given up, some for each row that comes or goes.
constexpr std::size_t part_rows_min = 64, cell_rows_mean_min = 96, cells_more = 8;
constexpr int given_up_at_once = 2;
/// Where there are more blocks than one for so many cells, and some more, two are put together, to no more
/// than so many cells.
constexpr std::size_t block_cells_mean_min = 6, blocks_more = 2, block_cells_merged_max = 12;
/// A cell's box is made anew once so many rows have left it, and half as many as are there.
constexpr std::uint32_t left_min = 16;
/// There is room for so many more before a row is added; what would take more waits for the next one.
constexpr std::size_t pages_free = 8, blocks_free = 8;

template <class T>
void grow(Device& device, Array<T>& array, std::size_t n) {
  if (n <= array.size()) return;
  Array<T> larger = device.array<T>(n);
  std::copy_n(array.data(), array.size(), larger.data());
  array = std::move(larger);
}

double squared(double x) {
  return x * x;
}

struct Box {
  const float* low;
  const float* high;
  std::size_t cells;
};

/// How much worse two blocks' cells are bounded in one box, by the squares of diagonals.
double joint_growth(const Box& a, const Box& b, std::size_t width) {
  double joint = 0, of_a = 0, of_b = 0;
  for (std::size_t j = 0; j < width; ++j) {
    joint += squared(std::max(a.high[j], b.high[j]) - std::min(a.low[j], b.low[j]));
    of_a += squared(a.high[j] - a.low[j]);
    of_b += squared(b.high[j] - b.low[j]);
  }
  return static_cast<double>(a.cells) * (joint - of_a) + static_cast<double>(b.cells) * (joint - of_b);
}

}  // namespace

WindowCells::WindowCells(Device& device, std::size_t width, std::vector<std::uint32_t>& position_of)
    : device_(device),
      tier_(device.tier()),
      width_(width),
      row_stride_(padded(width, row_padding)),
      centre_stride_(padded(width, centre_padding)),
      panel_width_(tier_ == CpuTier::avx512 ? 32 : 16),
      bound_(screen_bound(width)),
      position_of_(position_of) {
  if (!screened()) return;
  low_.resize(width);
  high_.resize(width);
  sum_.resize(width);
  cut_.resize(cell_rows_max);
  nodes_.push_back({0, 0, {none, none}, none, 0});
  reserve_blocks(1);
  blocks_ = 1;
}

float WindowCells::scale() const {
  return std::ldexp(1.0f, scale_exponent_);
}

IndexView WindowCells::view() const {
  IndexView view;
  view.width = width_;
  view.row_stride = row_stride_;
  view.centre_stride = centre_stride_;
  view.distinct = distinct_;
  view.rows = rows_.data();
  view.weight = weight_.data();
  view.row_at = row_at_.data();
  view.cells = slots();
  view.panel_width = panel_width_;
  view.scale = scale();
  view.scale_squared = static_cast<double>(view.scale) * view.scale;
  view.bound = bound_;
  view.cell_begin = cell_begin_.data();
  view.cell_end = cell_end_.data();
  view.centre = centre_.data();
  view.blocks = blocks_;
  view.block_low = block_low_.data();
  view.block_high = block_high_.data();
  view.block_spread = block_spread_.data();
  view.boxes = boxes_.data();
  view.spread = spread_.data();
  view.panels = panels_.data();
  view.bias = bias_.data();
  view.extra_share = screen_extra_share(bound_);
  return view;
}

std::size_t WindowCells::bytes() const {
  std::size_t bytes = 0;
  const auto add = [&](const auto&... array) { ((bytes += array.size() * sizeof(*array.data())), ...); };
  add(rows_, panels_, bias_, weight_, row_at_, cell_of_page_, link_of_page_, cells_, block_used_, cell_begin_,
      cell_end_, centre_, block_low_, block_high_, block_spread_, boxes_, spread_, nodes_);
  return bytes + (free_pages_.capacity() + free_nodes_.capacity()) * sizeof(std::uint32_t);
}

// ---- room ----

void WindowCells::reserve_for_one() {
  if (!screened()) {
    if (distinct_ == pages_ * cell_rows_max) reserve_pages(pages_ + 1);
    return;
  }
  if (free_pages_.size() < pages_free) reserve_pages(pages_ + pages_free - free_pages_.size());
  if (blocks_ + blocks_free > blocks_max_) reserve_blocks(blocks_ + blocks_free);
}

void WindowCells::reserve_pages(std::size_t pages) {
  pages = std::max(pages, pages_ + pages_ / 4);
  const std::size_t positions = pages * cell_rows_max;
  grow(device_, rows_, positions * row_stride_);
  grow(device_, weight_, positions);
  grow(device_, row_at_, positions);
  if (screened()) {
    grow(device_, panels_, positions * width_);
    grow(device_, bias_, positions);
    cell_of_page_.resize(pages);
    link_of_page_.resize(pages);
    free_pages_.reserve(pages);
    nodes_.reserve(pages);
    free_nodes_.reserve(pages);
    for (std::size_t page = pages; page > pages_; --page)
      free_pages_.push_back(static_cast<std::uint32_t>(page - 1));
  }
  pages_ = pages;
}

void WindowCells::reserve_blocks(std::size_t blocks) {
  blocks = std::max(blocks, blocks_max_ + blocks_max_ / 4);
  const std::size_t cells = blocks * block_cells;
  grow(device_, cell_begin_, cells);
  grow(device_, cell_end_, cells);
  grow(device_, centre_, cells * centre_stride_);
  grow(device_, block_low_, blocks * centre_stride_);
  grow(device_, block_high_, blocks * centre_stride_);
  grow(device_, block_spread_, blocks);
  grow(device_, boxes_, cells * width_ * 2);
  grow(device_, spread_, cells);
  cells_.resize(cells);
  block_used_.resize(blocks);
  for (std::size_t cell = blocks_max_ * block_cells; cell < cells; ++cell) forget_cell(cell);
  for (std::size_t block = blocks_max_; block < blocks; ++block) fit_block(block);
  blocks_max_ = blocks;
}

// ---- rows ----

void WindowCells::add(const float* row, std::uint32_t number) {
  std::size_t position = distinct_;
  if (screened()) {
    std::uint32_t page = page_or_strays(page_in(regular, row), row);
    while (cell_on(page).rows == cell_rows_max) {
      split(page);
      page = page_or_strays(page_in(regular, row), row);
    }
    position = put(page, row);
  } else {
    std::copy_n(row, width_, rows_.data() + position * row_stride_);
  }
  weight_.data()[position] = 1;
  row_at_.data()[position] = number;
  position_of_[number] = static_cast<std::uint32_t>(position);
  ++distinct_;
  if (screened()) gather();
}

void WindowCells::remove(std::uint32_t position) {
  --distinct_;
  if (!screened()) {
    if (position != distinct_) copy_row(distinct_, position);
    return;
  }
  const auto page = static_cast<std::uint32_t>(position / cell_rows_max);
  take_out(position);
  const Cell& held = cell_on(page);
  if (held.rows == 0)
    close_cell(page);
  else if (held.left >= left_min && 2 * held.left >= held.rows)
    fit_cell(page);
  gather();
}

/// Leaves the cell, even empty, with the box that it has.
void WindowCells::take_out(std::size_t position) {
  const std::size_t cell = cell_of_page_[position / cell_rows_max];
  Cell& held = cells_[cell];
  held.squared_norm =
      std::max(0.0, held.squared_norm - squared_from_centre(rows_.data() + position * row_stride_, cell));
  --held.rows;
  ++held.left;
  const std::size_t last = held.page * cell_rows_max + held.rows;
  if (position != last) {
    copy_row(last, position);
    put_panel(cell, position, squared_from_centre(rows_.data() + position * row_stride_, cell));
  }
  bias_.data()[last] = infinite;
  note_rows(cell);
}

/// What stands there, to another cell.
void WindowCells::move(std::size_t from, std::uint32_t page) {
  copy_row(from, put(page, rows_.data() + from * row_stride_));
  take_out(from);
}

void WindowCells::copy_row(std::size_t from, std::size_t to) {
  std::copy_n(rows_.data() + from * row_stride_, width_, rows_.data() + to * row_stride_);
  weight_.data()[to] = weight_.data()[from];
  row_at_.data()[to] = row_at_.data()[from];
  position_of_[row_at_.data()[to]] = static_cast<std::uint32_t>(to);
}

/// The values alone, behind the others.
std::size_t WindowCells::put(std::uint32_t page, const float* row) {
  const std::size_t cell = cell_of_page_[page];
  Cell& held = cells_[cell];
  const std::size_t position = page * cell_rows_max + held.rows++;
  std::copy_n(row, width_, rows_.data() + position * row_stride_);
  const double squared_norm = squared_from_centre(row, cell);
  put_panel(cell, position, squared_norm);
  held.squared_norm += squared_norm;
  const float by = scale();
  float* box = box_of(cell);
  float* low = block_low_.data() + cell / block_cells * centre_stride_;
  float* high = block_high_.data() + cell / block_cells * centre_stride_;
  for (std::size_t j = 0; j < width_; ++j, box += box_stride) {
    const float value = by * row[j];
    box[0] = std::min(box[0], value);
    box[block_cells] = std::max(box[block_cells], value);
    low[j] = std::min(low[j], value);
    high[j] = std::max(high[j], value);
  }
  note_rows(cell);
  return position;
}

double WindowCells::squared_from_centre(const float* row, std::size_t cell) const {
  const float* centre = centre_.data() + cell * centre_stride_;
  const auto by = static_cast<double>(scale());
  double sum = 0;
  for (std::size_t j = 0; j < width_; ++j)
    sum += squared(by * static_cast<double>(row[j]) - static_cast<double>(centre[j]));
  return sum;
}

void WindowCells::put_panel(std::size_t cell, std::size_t position, double squared_norm) {
  const float* row = rows_.data() + position * row_stride_;
  const float* centre = centre_.data() + cell * centre_stride_;
  float* panel = panels_.data() + position / panel_width_ * width_ * panel_width_ + position % panel_width_;
  const float by = scale();
  for (std::size_t j = 0; j < width_; ++j) panel[j * panel_width_] = fma(by, row[j], -centre[j]);
  bias_.data()[position] = screen_bias(bound_, squared_norm);
}

// ---- cells ----

/// Of a block with room. Returns its page.
std::uint32_t WindowCells::open_cell(std::size_t block, Tree tree) {
  std::size_t cell = block * block_cells;
  while (cells_[cell].page != none) ++cell;
  const std::uint32_t page = free_pages_.back();
  free_pages_.pop_back();
  std::fill_n(bias_.data() + page * cell_rows_max, cell_rows_max, infinite);
  cells_[cell].page = page;
  cells_[cell].tree = tree;
  cell_of_page_[page] = static_cast<std::uint32_t>(cell);
  ++block_used_[block];
  ++cell_count_;
  return page;
}

void WindowCells::close_cell(std::uint32_t page) {
  const std::size_t cell = cell_of_page_[page], block = cell / block_cells;
  unlink(page);
  free_pages_.push_back(page);
  forget_cell(cell);
  --cell_count_;
  if (--block_used_[block] == 0 && blocks_ > 1)
    drop_block(block);
  else
    fit_block(block);
}

void WindowCells::forget_cell(std::size_t cell) {
  cells_[cell] = {};
  cell_begin_.data()[cell] = cell_end_.data()[cell] = 0;
  spread_.data()[cell] = infinite;
  float* box = box_of(cell);
  for (std::size_t j = 0; j < width_; ++j, box += box_stride) {
    box[0] = infinite;
    box[block_cells] = -infinite;
  }
}

void WindowCells::move_cell(std::size_t from, std::size_t to) {
  cells_[to] = cells_[from];
  cell_of_page_[cells_[to].page] = static_cast<std::uint32_t>(to);
  std::copy_n(centre_.data() + from * centre_stride_, centre_stride_, centre_.data() + to * centre_stride_);
  const float* box = box_of(from);
  float* to_box = box_of(to);
  for (std::size_t j = 0; j < width_; ++j, box += box_stride, to_box += box_stride) {
    to_box[0] = box[0];
    to_box[block_cells] = box[block_cells];
  }
  forget_cell(from);
  note_rows(to);
}

float* WindowCells::box_of(std::size_t cell) {
  return boxes_.data() + cell / block_cells * width_ * box_stride + cell % block_cells;
}

/// What a search must know when a cell's rows are more or fewer.
void WindowCells::note_rows(std::size_t cell) {
  const Cell& held = cells_[cell];
  const std::size_t begin = held.page * cell_rows_max / panel_width_;
  cell_begin_.data()[cell] = static_cast<std::uint32_t>(begin);
  cell_end_.data()[cell] = static_cast<std::uint32_t>(begin + padded(held.rows, panel_width_) / panel_width_);
  spread_.data()[cell] = static_cast<float>(spread_share * mean_squared_norm(held));
  note_spread(cell / block_cells);
}

void WindowCells::note_spread(std::size_t block) {
  const float* spread = spread_.data() + block * block_cells;
  block_spread_.data()[block] = *std::min_element(spread, spread + block_cells);
}

/// A box, a centre and panels for the rows that stand in the page, of which there are some.
void WindowCells::fit_cell(std::uint32_t page) {
  const std::size_t cell = cell_of_page_[page];
  Cell& held = cells_[cell];
  const std::size_t begin = page * cell_rows_max, end = begin + held.rows;
  const float by = scale();
  std::fill(low_.begin(), low_.end(), infinite);
  std::fill(high_.begin(), high_.end(), -infinite);
  std::fill(sum_.begin(), sum_.end(), 0.0);
  for (std::size_t at = begin; at < end; ++at) {
    const float* values = rows_.data() + at * row_stride_;
    for (std::size_t j = 0; j < width_; ++j) {
      const float value = by * values[j];
      low_[j] = std::min(low_[j], value);
      high_[j] = std::max(high_[j], value);
      sum_[j] += static_cast<double>(value);
    }
  }
  float* centre = centre_.data() + cell * centre_stride_;
  float* box = box_of(cell);
  for (std::size_t j = 0; j < width_; ++j, box += box_stride) {
    centre[j] = static_cast<float>(sum_[j] / static_cast<double>(held.rows));
    box[0] = low_[j];
    box[block_cells] = high_[j];
  }
  held.left = 0;
  held.squared_norm = 0;
  for (std::size_t at = begin; at < end; ++at) {
    const double squared_norm = squared_from_centre(rows_.data() + at * row_stride_, cell);
    held.squared_norm += squared_norm;
    put_panel(cell, at, squared_norm);
  }
  std::fill(bias_.data() + end, bias_.data() + begin + cell_rows_max, infinite);
  note_rows(cell);
  fit_block(cell / block_cells);
}

void WindowCells::fit_block(std::size_t block) {
  float* low = block_low_.data() + block * centre_stride_;
  float* high = block_high_.data() + block * centre_stride_;
  const float* box = box_of(block * block_cells);
  for (std::size_t j = 0; j < width_; ++j, box += box_stride) {
    low[j] = *std::min_element(box, box + block_cells);
    high[j] = *std::max_element(box + block_cells, box + box_stride);
  }
  note_spread(block);
}

// ---- the trees ----

void WindowCells::link_to(std::uint32_t link, std::uint32_t what) {
  nodes_[link / 2].child[link % 2] = what;
  if (what & leaf)
    link_of_page_[what & ~leaf] = link;
  else
    nodes_[what].link = link;
}

/// A node in the first cell's place, for both.
void WindowCells::link_parts(std::uint32_t page, std::uint32_t other, std::size_t feature, float threshold) {
  if (free_nodes_.empty()) {
    free_nodes_.push_back(static_cast<std::uint32_t>(nodes_.size()));
    nodes_.emplace_back();
  }
  const std::uint32_t at = free_nodes_.back();
  free_nodes_.pop_back();
  Node& node = nodes_[at];
  node.feature = static_cast<std::uint32_t>(feature);
  node.threshold = threshold;
  node.priority = priority_ = priority_ * 1664525 + 1013904223;
  link_to(link_of_page_[page], at);
  link_to(2 * at, page | leaf);
  link_to(2 * at + 1, other | leaf);
  // A treap where one feature is cut again and again, which rows that come in its order would make a chain
  // of.
  while (node.link > 1) {
    const std::uint32_t above = node.link / 2, side = node.link % 2;
    if (nodes_[above].feature != node.feature || nodes_[above].priority >= node.priority) break;
    const std::uint32_t up = nodes_[above].link;
    link_to(2 * above + side, node.child[1 - side]);
    link_to(2 * at + 1 - side, above);
    link_to(up, at);
  }
}

/// The other part of what a cell's rows were once part of takes the place of both.
void WindowCells::unlink(std::uint32_t page) {
  const std::uint32_t link = link_of_page_[page], node = link / 2;
  if (node == 0) {
    nodes_[0].child[link] = none;
    return;
  }
  link_to(nodes_[node].link, nodes_[node].child[1 - link % 2]);
  free_nodes_.push_back(node);
}

std::uint32_t WindowCells::page_below(std::uint32_t at, const float* row) const {
  while (!(at & leaf)) at = nodes_[at].child[row[nodes_[at].feature] > nodes_[at].threshold];
  return at & ~leaf;
}

std::uint32_t WindowCells::page_in(Tree tree, const float* row) {
  if (nodes_[0].child[tree] != none) return page_below(nodes_[0].child[tree], row);
  if (block_used_[blocks_ - 1] != 0) ++blocks_;
  const std::uint32_t page = open_cell(blocks_ - 1, tree);
  link_to(tree, page | leaf);
  const std::size_t cell = cell_of_page_[page];
  for (std::size_t j = 0; j < width_; ++j) centre_.data()[cell * centre_stride_ + j] = scale() * row[j];
  return page;
}

bool WindowCells::is_stray(std::uint32_t page, const float* row) const {
  const std::size_t cell = cell_of_page_[page];
  const Cell& held = cells_[cell];
  return held.tree == regular && held.rows >= stray_rows_min &&
         squared_from_centre(row, cell) > stray_factor * mean_squared_norm(held);
}

std::uint32_t WindowCells::page_or_strays(std::uint32_t page, const float* row) {
  return is_stray(page, row) ? page_in(strays, row) : page;
}

// ---- cutting and putting together ----

/// A full cell along its widest feature, where that leaves the least squares between values that differ.
void WindowCells::split(std::uint32_t page) {
  if (block_used_[cell_of_page_[page] / block_cells] == block_cells)
    split_block(cell_of_page_[page] / block_cells);
  const std::size_t cell = cell_of_page_[page], begin = page * cell_rows_max;
  const float* centre = centre_.data() + cell * centre_stride_;
  const float by = scale();
  std::fill(sum_.begin(), sum_.end(), 0.0);
  for (std::size_t at = begin; at < begin + cell_rows_max; ++at) {
    const float* values = rows_.data() + at * row_stride_;
    for (std::size_t j = 0; j < width_; ++j) sum_[j] += squared(by * values[j] - centre[j]);
  }
  const auto widest = static_cast<std::size_t>(std::max_element(sum_.begin(), sum_.end()) - sum_.begin());
  double total = 0;
  for (std::size_t i = 0; i < cell_rows_max; ++i) {
    cut_[i] = {rows_.data()[(begin + i) * row_stride_ + widest], static_cast<std::uint32_t>(begin + i)};
    total += static_cast<double>(cut_[i].first);
  }
  std::sort(cut_.begin(), cut_.end());
  const double mean = total / cell_rows_max;
  double below = 0, most = -1;
  std::size_t kept = cell_rows_max / 2;
  for (std::size_t i = 1; i <= cell_rows_max - part_rows_min; ++i) {
    below += static_cast<double>(cut_[i - 1].first) - mean;
    if (i < part_rows_min || cut_[i - 1].first == cut_[i].first) continue;
    const double between =
        squared(below) * (1 / static_cast<double>(i) + 1 / static_cast<double>(cell_rows_max - i));
    if (between > most) {
      most = between;
      kept = i;
    }
  }

  const std::uint32_t other = open_cell(cell / block_cells, cells_[cell].tree);
  link_parts(page, other, widest, cut_[kept - 1].first);

  for (std::size_t i = kept; i < cell_rows_max; ++i)
    copy_row(cut_[i].second, other * cell_rows_max + i - kept);
  std::sort(cut_.begin(), cut_.begin() + static_cast<std::ptrdiff_t>(kept),
            [](const auto& a, const auto& b) { return a.second < b.second; });
  for (std::size_t i = 0; i < kept; ++i)
    if (cut_[i].second != begin + i) copy_row(cut_[i].second, begin + i);
  cells_[cell].rows = static_cast<std::uint32_t>(kept);
  cell_on(other).rows = static_cast<std::uint32_t>(cell_rows_max - kept);
  fit_cell(page);
  fit_cell(other);
  send_strays(page);
  send_strays(other);
}

/// Those that were none in a wider cell.
void WindowCells::send_strays(std::uint32_t page) {
  bool sent = false;
  for (std::size_t at = page * cell_rows_max + cell_on(page).rows; at-- > page * cell_rows_max;) {
    const float* row = rows_.data() + at * row_stride_;
    if (!is_stray(page, row)) continue;
    std::uint32_t to = page_in(strays, row);
    if (cell_on(to).rows == cell_rows_max) {
      if (!room_to_split()) break;
      split(to);
      to = page_in(strays, row);
    }
    move(at, to);
    sent = true;
  }
  if (sent) fit_cell(page);
}

/// A full one, by its cells' centres.
void WindowCells::split_block(std::size_t block) {
  const auto centre = [&](std::size_t i) {
    return centre_.data() + (block * block_cells + i) * centre_stride_;
  };
  std::size_t widest = 0;
  double most = -1;
  for (std::size_t j = 0; j < width_; ++j) {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < block_cells; ++i) {
      const double value = static_cast<double>(centre(i)[j]) - static_cast<double>(centre(0)[j]);
      sum += value;
      squares += squared(value);
    }
    const double variance = squares - squared(sum) / block_cells;
    if (variance > most) {
      most = variance;
      widest = j;
    }
  }
  std::pair<float, std::size_t> order[block_cells];
  for (std::size_t i = 0; i < block_cells; ++i) order[i] = {centre(i)[widest], i};
  std::sort(order, order + block_cells);
  const std::size_t other = blocks_++;
  for (std::size_t i = block_cells / 2; i < block_cells; ++i)
    move_cell(block * block_cells + order[i].second, other * block_cells + i);
  block_used_[other] = block_cells / 2;
  block_used_[block] = block_cells / 2;
  fit_block(block);
  fit_block(other);
}

/// Keeps cells and blocks as few as the rows can fill.
void WindowCells::gather() {
  for (int i = 0;
       i < given_up_at_once && cell_count_ > cells_more + distinct_ / cell_rows_mean_min && room_to_split();
       ++i)
    give_up_smallest();
  while (blocks_ > blocks_more + cell_count_ / block_cells_mean_min) merge_blocks();
}

/// Its rows go where they would have gone without it.
void WindowCells::give_up_smallest() {
  std::uint32_t page = none;
  for (std::size_t i = 0; i < slots(); ++i)
    if (cells_[i].page != none && link_of_page_[cells_[i].page] > 1 &&
        (page == none || cells_[i].rows < cell_on(page).rows))
      page = cells_[i].page;
  const auto beside = [&] {
    const std::uint32_t link = link_of_page_[page];
    return nodes_[link / 2].child[1 - link % 2];
  };
  while (cell_on(page).rows > 0) {
    const std::size_t last = page * cell_rows_max + cell_on(page).rows - 1;
    const float* row = rows_.data() + last * row_stride_;
    const std::uint32_t to = page_or_strays(page_below(beside(), row), row);
    if (cell_on(to).rows < cell_rows_max)
      move(last, to);
    else if (room_to_split())
      split(to);
    else
      return;
  }
  close_cell(page);
}

void WindowCells::merge_blocks() {
  const auto box = [&](std::size_t i) {
    return Box{block_low_.data() + i * centre_stride_, block_high_.data() + i * centre_stride_,
               block_used_[i]};
  };
  std::size_t block = 0;
  for (std::size_t i = 1; i < blocks_; ++i)
    if (block_used_[i] < block_used_[block]) block = i;
  std::size_t to = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < blocks_; ++i) {
    if (i == block || block_used_[i] + block_used_[block] > block_cells_merged_max) continue;
    const double growth = joint_growth(box(block), box(i), width_);
    if (growth < least) {
      least = growth;
      to = i;
    }
  }
  std::size_t free = to * block_cells;
  for (std::size_t i = block * block_cells; i < (block + 1) * block_cells; ++i) {
    if (cells_[i].page == none) continue;
    while (cells_[free].page != none) ++free;
    move_cell(i, free);
  }
  block_used_[to] += block_used_[block];
  fit_block(to);
  drop_block(block);
}

/// One without cells; the last takes its number.
void WindowCells::drop_block(std::size_t block) {
  const std::size_t last = --blocks_;
  block_used_[block] = block_used_[last];
  if (block != last)
    for (std::size_t i = 0; i < block_cells; ++i)
      if (cells_[last * block_cells + i].page != none)
        move_cell(last * block_cells + i, block * block_cells + i);
  block_used_[last] = 0;
  fit_block(block);
  fit_block(last);
}

// ---- scale ----

void WindowCells::fit_scale(float largest) {
  if (!screened() || largest == 0) return;
  const int exponent = std::ilogb(largest);
  if (!scaled_ || exponent + scale_exponent_ > scaled_exponent) choose_scale(exponent);
}

void WindowCells::review_scale() {
  if (!screened()) return;
  float largest = 0;
  for (std::size_t cell = 0; cell < slots(); ++cell)
    for (std::size_t i = 0; i < cells_[cell].rows; ++i) {
      const float* values = rows_.data() + (cells_[cell].page * cell_rows_max + i) * row_stride_;
      for (std::size_t j = 0; j < width_; ++j) largest = std::max(largest, std::fabs(values[j]));
    }
  scaled_ = largest > 0;
  if (scaled_ && std::ilogb(largest) + scale_exponent_ < scaled_exponent - 2 * headroom)
    choose_scale(std::ilogb(largest));
}

void WindowCells::choose_scale(int largest_exponent) {
  scaled_ = true;
  scale_exponent_ = std::min(126, scaled_exponent - headroom - largest_exponent);
  for (std::size_t cell = 0; cell < slots(); ++cell)
    if (cells_[cell].page != none) fit_cell(cells_[cell].page);
}

}  // namespace lanner::nearest
