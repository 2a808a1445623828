// Histogram look-ups on a GPU. A block of threads takes tiles of 128 rows, one a thread, whose chain that
// thread adds. Rows come in by steps of 16 features through shared memory, so that reads are whole sectors
// whatever the width. Features stand in groups whose tables fit shared memory together; a feature too large
// for that is looked up in global memory, which the second-level cache answers.
//
// Roofline (computed, not measured): a value is 4 bytes read (and 4 written with parts) and about 25
// instructions, 4 of them accesses to shared memory; a table of fewer than 32 entries has each in a bank of
// its own, so that those don't conflict. Values a second, without parts:
//          memory                   instruction issue (4 warps a cycle and SM)
//   A100   1.6 TB/s: 3.9e11         108 SMs: 7.8e11
//   H100   3.4 TB/s: 8.4e11         132 SMs: 1.3e12
//   B200   8.0 TB/s: 2.0e12         148 SMs: 1.5e12
// Memory binds on the first two, issue on the last; expected share 80 % of the lower one. Where edges have to
// be searched, a value costs log2 of the bins more dependent loads, and issue binds.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "kernels/density/histogram_gpu.hpp"
#include "kernels/density/histogram_layout.hpp"
#include "kernels/device/resident.hpp"
#include "kernels/device/simt.hpp"

namespace lanner::density::LANNER_GPU {
namespace {

constexpr unsigned tile_rows = 128;  ///< and threads
constexpr unsigned step = 16;        ///< features of a row that are staged together
constexpr unsigned row_stride = step + 1;
constexpr unsigned tile_floats = tile_rows * row_stride;
constexpr std::size_t shared_floats_max = 4096;  ///< of a group's tables

}  // namespace

/// edges [last + 1], the last raised, then penalties [last + 2].
struct FeatureTable {
  const float* values;
  unsigned last;
  float first, per_width;
  bool even;

  LANNER_FORMULA unsigned bin(const float* edges, float x) const {
    if (even) {
      const float highest = counted_from + static_cast<float>(last);
      const auto near =
          static_cast<unsigned>(to_bits(nearest_edge(x, first, per_width, highest)) - to_bits(counted_from));
      return near + (edges[near] <= x ? 1 : 0);
    }
    unsigned low = 0, high = last + 1;
    while (low < high) {
      const unsigned middle = (low + high) / 2;
      if (edges[middle] <= x) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
};

/// Consecutive features.
struct TableGroup {
  unsigned begin, end;
  const float* values;  ///< of the first; those of the others follow
  unsigned floats;      ///< of all of them; 0: they stay in global memory
};

// Of shared memory `dynamic` is what the largest tables take.
// ptxas: histogram_look_up: block 128, registers <= 40, shared <= 8704, dynamic 16384, occupancy >= 37 %
__global__ void __launch_bounds__(tile_rows)
    histogram_look_up(const FeatureTable* features, const TableGroup* groups, unsigned group_count, Rows rows,
                      float* scores, MutableRows parts) {
  SHARED_ARRAY(float, tile, tile_floats);
  DYNAMIC_SHARED(float, tables);
  const unsigned thread = threadIdx.x;
  float* const own = tile + thread * row_stride;
  for (std::size_t begin = std::size_t{blockIdx.x} * tile_rows; begin < rows.count;
       begin += std::size_t{gridDim.x} * tile_rows) {
    const unsigned count =
        rows.count - begin < tile_rows ? static_cast<unsigned>(rows.count - begin) : tile_rows;
    const bool first_tile = begin == std::size_t{blockIdx.x} * tile_rows;
    float score = 0;
    for (unsigned g = 0; g < group_count; ++g) {
      const TableGroup group = groups[g];
      if (first_tile || group_count > 1)
        for (unsigned i = thread; i < group.floats; i += tile_rows) tables[i] = group.values[i];
      for (unsigned j = group.begin; j < group.end; j += step) {
        const unsigned width = group.end - j < step ? group.end - j : step;
        for (unsigned i = thread; i < tile_rows * step; i += tile_rows) {
          const unsigned r = i / step, f = i % step;
          if (r < count && f < width) tile[r * row_stride + f] = rows.data[(begin + r) * rows.stride + j + f];
        }
        __syncthreads();  // tables and values are there
        const auto add = [&](const auto& table_of) {
          for (unsigned f = 0; f < width; ++f) {
            const FeatureTable feature = features[j + f];
            const float* const edges = table_of(feature);
            const float penalty = edges[feature.last + 1 + feature.bin(edges, own[f])];
            score += penalty;
            if (parts.data) own[f] = penalty;
          }
        };
        if (thread < count) {
          if (group.floats > 0) {
            add([&](const FeatureTable& feature) { return tables + (feature.values - group.values); });
          } else {
            add([](const FeatureTable& feature) { return feature.values; });
          }
        }
        __syncthreads();  // values are used up, penalties there
        // Each thread writes where it will read the next step's values to.
        if (parts.data)
          for (unsigned i = thread; i < tile_rows * step; i += tile_rows) {
            const unsigned r = i / step, f = i % step;
            if (r < count && f < width)
              parts.data[(begin + r) * parts.stride + j + f] = tile[r * row_stride + f];
          }
      }
    }
    constexpr float largest = std::numeric_limits<float>::max();
    if (thread < count) scores[begin + thread] = minimum(maximum(score, -largest), largest);
  }
}

class GpuHistograms final : public ResidentHistograms {
 public:
  GpuHistograms(Device& device, const Histograms& histograms) : multiprocessors_(device.multiprocessors()) {
    const std::size_t width = histograms.width();
    std::vector<float> values;
    std::vector<std::size_t> begin;
    std::vector<FeatureTable> features(width);
    for (std::size_t j = 0; j < width; ++j) {
      const std::span<const float> edges(histograms.edges.data() + histograms.edge_begin[j],
                                         histograms.edges.data() + histograms.edge_begin[j + 1]);
      const std::span<const float> penalties(histograms.penalties.data() + histograms.penalty_begin[j],
                                             histograms.penalties.data() + histograms.penalty_begin[j + 1]);
      const EvenEdges even = even_edges(edges);
      features[j] = {nullptr, static_cast<unsigned>(edges.size() - 1), even.first, even.per_width,
                     even.proven};
      begin.push_back(values.size());
      const std::vector<float> raised = raised_edges(edges);
      values.insert(values.end(), raised.begin(), raised.end());
      values.insert(values.end(), penalties.begin(), penalties.end());
    }
    begin.push_back(values.size());
    values_ = resident_copy(device, values);

    std::vector<TableGroup> groups;
    for (std::size_t j = 0; j < width; ++j) {
      features[j].values = values_.data() + begin[j];
      const std::size_t floats = begin[j + 1] - begin[j];
      const bool stays = floats > shared_floats_max;
      const bool joins = !groups.empty() && (stays ? groups.back().floats == 0
                                                   : groups.back().floats > 0 &&
                                                         groups.back().floats + floats <= shared_floats_max);
      if (!joins) groups.push_back({static_cast<unsigned>(j), 0, features[j].values, 0});
      groups.back().end = static_cast<unsigned>(j + 1);
      if (!stays) groups.back().floats += static_cast<unsigned>(floats);
      shared_floats_ = std::max<std::size_t>(shared_floats_, groups.back().floats);
    }
    features_ = resident_copy(device, features);
    groups_ = resident_copy(device, groups);
  }

  std::size_t width() const override { return features_.size(); }

  void look_up(Stream& stream, Rows rows, float* scores, MutableRows parts) const override {
    const std::size_t tiles = (rows.count + tile_rows - 1) / tile_rows;
    // No more blocks than run at a time: each loads the tables of a lone group once.
    const auto blocks = static_cast<unsigned>(std::min<std::size_t>(tiles, 16 * multiprocessors_));
    launch(stream, histogram_look_up, blocks, tile_rows, shared_floats_ * sizeof(float), features_.data(),
           groups_.data(), static_cast<unsigned>(groups_.size()), rows, scores, parts);
  }

 private:
  unsigned multiprocessors_;
  Array<float> values_;
  Array<FeatureTable> features_;
  Array<TableGroup> groups_;
  std::size_t shared_floats_ = 0;
};

std::shared_ptr<const ResidentHistograms> make_histograms(Device& device, const Histograms& histograms) {
  return std::make_shared<GpuHistograms>(device, histograms);
}

}  // namespace lanner::density::LANNER_GPU
