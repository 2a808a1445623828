#include "kernels/nearest/index.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/arithmetic/scalar.hpp"
#include "kernels/nearest/cells.hpp"
#include "kernels/nearest/index_gpu.hpp"
#include "kernels/nearest/plan.hpp"

namespace lanner::nearest {
namespace {

template <class T>
void fill(Device& device, Array<T>& array, std::size_t n) {
  array = device.array<T>(n);
}

/// The cells' rows, block after block; nothing where a block is not full. A box around cells of several
/// groups would be as wide as what lies between them, so a group begins a block, but where the one before is
/// nearly empty.
std::vector<std::span<const std::uint32_t>> in_blocks(const Cells& cells) {
  constexpr std::size_t nearly_empty = block_cells / 4;
  std::vector<std::span<const std::uint32_t>> placed;
  for (std::size_t group = 0; group < cells.groups.size(); ++group) {
    const std::size_t begin = cells.groups[group];
    const std::size_t end = group + 1 < cells.groups.size() ? cells.groups[group + 1] : cells.count();
    const std::size_t used = placed.size() % block_cells;
    if (used >= nearly_empty || used + (end - begin) > block_cells)
      placed.resize(padded(placed.size(), block_cells));
    for (std::size_t cell = begin; cell < end; ++cell) placed.push_back(cells.rows(cell));
  }
  return placed;
}

}  // namespace

std::shared_ptr<const Index> make_index(Device& device, const ReferenceSet& set, std::size_t k) {
  check_reference(set);
  FloatEnvironment environment;
  if (device.backend() != Backend::cpu) return make_gpu_index(device, set);
  return std::make_shared<CpuIndex>(device, set, Screen::chosen, k);
}

CpuIndex::CpuIndex(Device& device, const ReferenceSet& set, Screen screen, std::size_t k)
    : tier_(device.tier()), threads_(device.threads()) {
  const std::size_t n = set.distinct();
  view_.width = set.width;
  view_.row_stride = padded(set.width, row_padding);
  view_.centre_stride = padded(set.width, centre_padding);
  view_.distinct = n;
  view_.original = set.rows();
  view_.repeated = set.rows() > n;
  view_.bound = screen_bound(set.width);
  view_.extra_share = screen_extra_share(view_.bound);

  fill(device, members_, set.rows());
  fill(device, member_begin_, n + 1);
  std::copy(set.members.begin(), set.members.end(), members_.data());
  std::copy(set.member_begin.begin(), set.member_begin.end(), member_begin_.data());
  if (tier_ == CpuTier::scalar)
    keep_plain(device, set);
  else
    build_cells(device, set, screen, k);

  view_.rows = rows_.data();
  view_.weight = weight_.data();
  view_.members = members_.data();
  view_.member_begin = member_begin_.data();
  view_.row_at = row_at_.data();
  view_.position_of = position_of_.data();
  view_.cell_begin = cell_begin_.data();
  view_.centre = centre_.data();
  view_.block_low = block_low_.data();
  view_.block_high = block_high_.data();
  view_.block_spread = block_spread_.data();
  view_.boxes = boxes_.data();
  view_.spread = spread_.data();
  view_.panels = panels_.data();
  view_.bias = bias_.data();
  view_.codes.codes = codes_.data();
  view_.codes.square = code_square_.data();
  view_.codes.start = code_start_.data();
  view_.codes.error = code_error_.data();
  view_.codes.cell_error = code_cell_error_.data();
  view_.codes.centre = code_centre_.data();
}

void CpuIndex::keep_plain(Device& device, const ReferenceSet& set) {
  fill(device, rows_, view_.distinct * view_.row_stride);
  fill(device, weight_, view_.distinct);
  fill(device, row_at_, view_.distinct);
  fill(device, position_of_, view_.distinct);
  std::iota(row_at_.data(), row_at_.data() + view_.distinct, 0u);
  std::iota(position_of_.data(), position_of_.data() + view_.distinct, 0u);
  for (std::size_t i = 0; i < view_.distinct; ++i)
    std::copy_n(set.values.data() + i * set.width, set.width, rows_.data() + i * view_.row_stride);
  std::copy(set.weight.begin(), set.weight.end(), weight_.data());
}

void CpuIndex::build_cells(Device& device, const ReferenceSet& set, Screen screen, std::size_t k) {
  const std::size_t width = set.width, n = set.distinct();
  const std::size_t lanes = view_.panel_width = tier_ == CpuTier::avx512 ? 32 : 16;
  const std::size_t granule = lanes * panels_at_once;
  const std::shared_ptr<const IndexPlan> plan = set.plan ? set.plan : plan_index(set, k);
  if (set.plan && !fits(*plan, set))
    throw std::invalid_argument("nearest: the plan is that of another reference set");
  const Cells& parts = plan->cells;
  const std::vector<std::span<const std::uint32_t>> placed = in_blocks(parts);
  const std::size_t cells = view_.cells = placed.size();
  fill(device, cell_begin_, cells + 1);
  view_.cell_end = cell_begin_.data() + 1;
  std::size_t panels = 0;
  for (std::size_t cell = 0; cell < cells; ++cell) {
    cell_begin_.data()[cell] = static_cast<std::uint32_t>(panels);
    panels += padded(placed[cell].size(), granule) / lanes;
  }
  cell_begin_.data()[cells] = static_cast<std::uint32_t>(panels);
  const std::size_t positions = panels * lanes;
  const float scale = view_.scale = scale_for(set);
  view_.scale_squared = static_cast<double>(scale) * scale;

  fill(device, rows_, positions * view_.row_stride);
  fill(device, weight_, positions);
  fill(device, row_at_, positions);
  fill(device, position_of_, n);
  fill(device, centre_, cells * view_.centre_stride);
  const std::size_t blocks = view_.blocks = padded(cells, block_cells) / block_cells;
  fill(device, block_low_, blocks * view_.centre_stride);
  fill(device, block_high_, blocks * view_.centre_stride);
  fill(device, block_spread_, blocks);
  fill(device, boxes_, blocks * width * 2 * block_cells);
  fill(device, spread_, blocks * block_cells);
  const bool coded = screen == Screen::codes || (screen != Screen::floats && has_code_products(tier_) &&
                                                 codes_pay(tier_, width, parts.rows_read, plan->left_over));
  view_.boxes_tell = !coded || parts.rows_read < 0.9 * static_cast<double>(n);
  const CodeGrid grid = coded ? code_grid(set, scale) : CodeGrid();
  constexpr float infinite = std::numeric_limits<float>::infinity();
  std::vector<std::int8_t> row_codes;
  if (coded) {
    prepare_codes(device, grid, cells, positions);
    row_codes.resize(width);
  } else {
    fill(device, panels_, panels * width * lanes);
    fill(device, bias_, positions);
    std::fill_n(bias_.data(), positions, infinite);
  }
  std::fill_n(block_spread_.data(), blocks, infinite);
  std::fill_n(spread_.data(), blocks * block_cells, infinite);
  for (std::size_t cell = 0; cell < cells; ++cell) {
    const std::span<const std::uint32_t> part = placed[cell];
    const std::size_t begin = cell_begin_.data()[cell] * lanes, end = begin + part.size();
    for (std::size_t at = begin; at < end; ++at) {
      const std::uint32_t row = part[at - begin];
      row_at_.data()[at] = row;
      position_of_.data()[row] = static_cast<std::uint32_t>(at);
      weight_.data()[at] = set.weight[row];
      std::copy_n(set.values.data() + row * width, width, rows_.data() + at * view_.row_stride);
    }
    float* centre = centre_.data() + cell * view_.centre_stride;
    const std::size_t block = cell / block_cells, in_block = cell % block_cells;
    float* block_low = block_low_.data() + block * view_.centre_stride;
    float* block_high = block_high_.data() + block * view_.centre_stride;
    for (std::size_t j = 0; j < width; ++j) {
      double sum = 0;
      float low = infinite, high = -infinite;
      for (std::size_t at = begin; at < end; ++at) {
        const float value = scale * rows_.data()[at * view_.row_stride + j];
        sum += value;
        low = std::min(low, value);
        high = std::max(high, value);
      }
      float* box = boxes_.data() + (block * width + j) * 2 * block_cells + in_block;
      box[0] = low;
      box[block_cells] = high;
      block_low[j] = in_block == 0 ? low : std::min(block_low[j], low);
      block_high[j] = in_block == 0 ? high : std::max(block_high[j], high);
      if (begin < end) centre[j] = static_cast<float>(sum / static_cast<double>(end - begin));
    }
    if (part.empty()) continue;
    double spread = 0;
    for (std::size_t at = begin; at < end; ++at) {
      const float* row = rows_.data() + at * view_.row_stride;
      double squared_norm = 0;
      for (std::size_t j = 0; j < width; ++j) {
        const double offset =
            fma(static_cast<double>(scale), static_cast<double>(row[j]), -static_cast<double>(centre[j]));
        squared_norm = fma(offset, offset, squared_norm);
      }
      spread += squared_norm;
      if (coded) {
        put_codes(grid, cell, at, row_codes);
        continue;
      }
      float* panel = panels_.data() + at / lanes * width * lanes + at % lanes;
      for (std::size_t j = 0; j < width; ++j) panel[j * lanes] = fma(scale, row[j], -centre[j]);
      bias_.data()[at] = screen_bias(view_.bound, squared_norm);
    }
    spread_.data()[cell] = static_cast<float>(spread_share * spread / static_cast<double>(part.size()));
    block_spread_.data()[block] = std::min(block_spread_.data()[block], spread_.data()[cell]);
  }
}

void CpuIndex::prepare_codes(Device& device, const CodeGrid& grid, std::size_t cells, std::size_t positions) {
  if (!has_code_products(tier_) || view_.width > code_width_max)
    throw std::invalid_argument("nearest: no codes on this processor, or for so many features");
  CodeView& view = view_.codes;
  view.step = grid.step;
  view.groups = padded(view_.width, code_features) / code_features;
  view.stride = padded(view_.width, code_padding);
  fill(device, codes_, positions * view.groups * code_features);
  fill(device, code_square_, positions);
  fill(device, code_start_, positions);
  fill(device, code_error_, positions);
  fill(device, code_cell_error_, cells);
  fill(device, code_centre_, view_.centre_stride);
  std::fill_n(code_start_.data(), positions, padding_start);
  std::copy(grid.centre.begin(), grid.centre.end(), code_centre_.data());
}

void CpuIndex::put_codes(const CodeGrid& grid, std::size_t cell, std::size_t at,
                         std::span<std::int8_t> codes) {
  const std::size_t lanes = view_.panel_width;
  const float error =
      float_above(encode(grid, view_.scale, rows_.data() + at * view_.row_stride, codes.data()));
  std::int8_t* to = codes_.data() + (at / lanes * view_.codes.groups * lanes + at % lanes) * code_features;
  std::int32_t square = 0, sum = 0;
  for (std::size_t j = 0; j < codes.size(); ++j) {
    to[j / code_features * lanes * code_features + j % code_features] = codes[j];
    square += codes[j] * codes[j];
    sum += codes[j];
  }
  code_square_.data()[at] = square;
  code_start_.data()[at] = -code_range(tier_).offset * sum;
  code_error_.data()[at] = error;
  code_cell_error_.data()[cell] = std::max(code_cell_error_.data()[cell], error);
}

}  // namespace lanner::nearest
