#include "kernels/nearest/index_gpu.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/device/resident.hpp"
#include "kernels/nearest/cells.hpp"

namespace lanner::nearest {
namespace {

static_assert(cell_rows == cell_rows_max);

std::size_t cells_of(const ReferenceSet& set) {
  return padded(set.distinct(), cell_rows) / cell_rows;
}
/// Of a cell's panel and rows.
std::size_t cell_bytes(const ReferenceSet& set) {
  return cell_rows * (2 * padded(set.width, step_features) + sizeof(float) * padded(set.width, 4));
}

// The features of greatest variance, by a sample.
std::vector<std::uint32_t> box_features(const ReferenceSet& set) {
  std::vector<std::uint32_t> features(set.width);
  std::iota(features.begin(), features.end(), 0u);
  if (set.width <= box_width_max) return features;
  std::vector<double> mean(set.width, 0), square(set.width, 0);
  const std::size_t step = std::max<std::size_t>(1, set.distinct() / 2000);
  double count = 0;
  for (std::size_t i = 0; i < set.distinct(); i += step) {
    ++count;
    for (std::size_t j = 0; j < set.width; ++j) {
      const double x = set.values[i * set.width + j], d = x - mean[j];
      mean[j] += d / count;
      square[j] += d * (x - mean[j]);
    }
  }
  std::stable_sort(features.begin(), features.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return square[a] > square[b]; });
  features.resize(box_width_max);
  return features;
}

}  // namespace

std::shared_ptr<const Index> make_gpu_index(Device& device, const ReferenceSet& set) {
  // Half of what is free is left for workspaces, and for others.
  const std::size_t room = device.memory_free() / 2, all = cells_of(set) * cell_bytes(set);
  const std::size_t tile = all <= room ? 0 : std::max<std::size_t>(1, room / 8 / cell_bytes(set));
  return std::make_shared<GpuIndex>(device, set, tile);
}

std::shared_ptr<const Index> make_gpu_index(Device& device, const ReferenceSet& set, std::size_t tile_rows) {
  check_reference(set);
  FloatEnvironment environment;
  return std::make_shared<GpuIndex>(device, set, std::max<std::size_t>(1, tile_rows / cell_rows));
}

GpuIndex::GpuIndex(Device& device, const ReferenceSet& set, std::size_t tile_cells) : device_(&device) {
  const std::size_t n = set.distinct(), width = set.width, cells = cells_of(set);
  const std::size_t padded_width = padded(width, step_features), stride = padded(width, 4);
  const Cells halves = halved(set, cell_rows);
  const float scale = scale_for(set);
  const std::vector<std::uint32_t> box_feature = box_features(set);
  tile_cells_ = tile_cells == 0 ? cells : std::min(tile_cells, cells);

  view_.width = static_cast<std::uint32_t>(width);
  view_.padded_width = static_cast<std::uint32_t>(padded_width);
  view_.row_stride = static_cast<std::uint32_t>(stride);
  view_.distinct = static_cast<std::uint32_t>(n);
  view_.original = static_cast<std::uint32_t>(set.rows());
  view_.cells = static_cast<std::uint32_t>(cells);
  view_.box_width = static_cast<std::uint32_t>(box_feature.size());
  view_.repeated = set.rows() > n;
  view_.scale = scale;
  view_.scale_squared = static_cast<double>(scale) * scale;
  view_.bound = screen_bound_bf16(width);
  view_.box_bound = screen_bound(width);

  const auto value_at = [stride](std::size_t position, std::size_t feature) {
    const std::size_t first = position / cell_rows * cell_rows * stride;
    return first + (feature / 4 * cell_rows + position % cell_rows) * 4 + feature % 4;
  };
  std::vector<std::uint32_t> position_of(n), weight(n);
  std::vector<float> low(box_feature.size() * cells), high(low.size()), centre(cells * padded_width);
  // Of padding: hardly any threshold reaches it (what passes is checked once more). Finite, since products
  // are added to it.
  std::vector<float> bias(cells * cell_rows, 0x1p126f);
  Pinned<std::uint32_t> panels = device.pinned<std::uint32_t>(cells * panel_words());
  Pinned<float> rows = device.pinned<float>(cells * cell_values());
  for (std::size_t at = 0; at < n; ++at) {
    const std::uint32_t row = halves.order[at];
    position_of[row] = static_cast<std::uint32_t>(at);
    weight[at] = set.weight[row];
    for (std::size_t j = 0; j < width; ++j) rows[value_at(at, j)] = set.values[row * width + j];
  }

  std::vector<float> centred(padded_width, 0);
  for (std::size_t cell = 0; cell < cells; ++cell) {
    const std::size_t begin = cell * cell_rows, end = std::min(begin + cell_rows, n);
    float* const middle = &centre[cell * padded_width];
    for (std::size_t j = 0; j < width; ++j) {
      double sum = 0;
      for (std::size_t at = begin; at < end; ++at) sum += static_cast<double>(scale * rows[value_at(at, j)]);
      middle[j] = static_cast<float>(sum / static_cast<double>(end - begin));
    }
    for (std::size_t b = 0; b < box_feature.size(); ++b) {
      float least = std::numeric_limits<float>::infinity(), most = -least;
      for (std::size_t at = begin; at < end; ++at) {
        const float value = scale * rows[value_at(at, box_feature[b])];
        least = std::min(least, value);
        most = std::max(most, value);
      }
      low[b * cells + cell] = least;
      high[b * cells + cell] = most;
    }
    std::uint32_t* const panel = panels.data() + cell * panel_words();
    for (std::size_t at = begin; at < end; ++at) {
      double squared_norm = 0;
      for (std::size_t j = 0; j < width; ++j) {
        const float value = rows[value_at(at, j)];
        centred[j] = fma(scale, value, -middle[j]);
        const double offset =
            fma(static_cast<double>(scale), static_cast<double>(value), -static_cast<double>(middle[j]));
        squared_norm = fma(offset, offset, squared_norm);
      }
      bias[at] = screen_bias(view_.bound, squared_norm);
      for (std::size_t j = 0; j < padded_width; j += 4) {
        const auto quad = static_cast<std::uint32_t>(j % step_features / 4);
        std::uint32_t* const words =
            panel + j / step_features * step_words + panel_word(static_cast<std::uint32_t>(at - begin), quad);
        words[0] = to_bf16_pair(centred[j], centred[j + 1]);
        words[1] = to_bf16_pair(centred[j + 2], centred[j + 3]);
      }
    }
  }

  box_feature_ = resident_copy(device, box_feature);
  row_at_ = resident_copy(device, halves.order);
  position_of_ = resident_copy(device, position_of);
  weight_ = resident_copy(device, weight);
  members_ = resident_copy(device, set.members);
  member_begin_ = resident_copy(device, set.member_begin);
  low_ = resident_copy(device, low);
  high_ = resident_copy(device, high);
  centre_ = resident_copy(device, centre);
  bias_ = resident_copy(device, bias);
  if (streamed()) {
    panels_streamed_ = std::move(panels);
    rows_streamed_ = std::move(rows);
  } else {
    panels_ = device.array<std::uint32_t>(panels.size());
    rows_ = device.array<float>(rows.size());
    Stream stream = device.stream();
    stream.copy_in(panels_, panels, panels.size());
    stream.copy_in(rows_, rows, rows.size());
    finish_copies(stream);
  }
  view_.box_feature = box_feature_.data();
  view_.row_at = row_at_.data();
  view_.position_of = position_of_.data();
  view_.weight = weight_.data();
  view_.members = members_.data();
  view_.member_begin = member_begin_.data();
  view_.low = low_.data();
  view_.high = high_.data();
  view_.centre = centre_.data();
  view_.bias = bias_.data();
}

}  // namespace lanner::nearest
