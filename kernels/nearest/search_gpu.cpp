// The GPU backends' search, seen from the host: how it is cut up, and what is put into the stream.
#include "kernels/nearest/search_gpu.hpp"

#include <algorithm>
#include <stdexcept>

#include "kernels/device/gpu.hpp"
#include "kernels/nearest/cells.hpp"

namespace lanner::nearest {
namespace {

constexpr std::size_t group_max = 16384;
constexpr std::size_t group_bytes = std::size_t{256} << 20;
constexpr std::size_t pending_min = 512;  ///< entries beyond the kept ones; at least two cells

struct Plan {
  std::size_t group = 0;
  std::size_t bytes = 0;
  Tile tile;  ///< where a streamed one is put
};

void carve(const GpuIndex& index, std::byte* memory, GpuSearch& search, Plan& plan) {
  const GpuIndexView& view = index.view();
  const std::size_t count = plan.group, slots = padded(count, block_slots);
  Carver carver(memory);
  search.home = carver.take<std::uint32_t>(count);
  search.bounded = carver.take<std::uint32_t>(count);
  search.slots_from = carver.take<std::uint32_t>(view.cells);
  search.query_of = carver.take<std::uint32_t>(count);
  search.query = carver.take<float>(slots * view.padded_width);
  search.box_query = carver.take<float>(slots * view.box_width);
  search.self_position = carver.take<std::uint32_t>(count);
  search.limit = carver.take<std::uint32_t>(count);
  search.entry_count = carver.take<std::uint32_t>(count * search.splits);
  search.entries = carver.take<Settled>(count * search.splits * search.segment);
  if (index.streamed()) {
    plan.tile.panels = carver.take<std::uint32_t>(index.tile_cells() * index.panel_words());
    plan.tile.rows = carver.take<float>(index.tile_cells() * index.cell_values());
  }
  plan.bytes = carver.used();
}

// The group is as large as its memory allows; where it has too few blocks for the device, several share a
// block's queries, each with a part of the cells.
Plan plan_search(const GpuIndex& index, std::size_t queries, std::size_t k, Count count, GpuSearch& search) {
  const GpuIndexView& view = index.view();
  search.index = view;
  search.k = static_cast<std::uint32_t>(std::min<std::size_t>(k, view.original));
  search.keep = std::min(search.k, view.distinct);
  search.distinct_only = count == Count::distinct;
  search.weighted = count == Count::rows && view.repeated;
  search.segment = static_cast<std::uint32_t>(std::min(
      search.keep + std::max<std::size_t>(pending_min, search.keep), std::size_t{view.cells} * cell_rows));

  const std::size_t slot_bytes = search.segment * sizeof(Settled);
  Plan plan;
  std::size_t fitting = std::clamp<std::size_t>(group_bytes / slot_bytes, 1, group_max);
  if (fitting > block_slots) fitting -= fitting % block_slots;
  plan.group = std::min(queries, fitting);
  const std::size_t blocks = padded(plan.group, block_slots) / block_slots;
  const std::size_t wanted = (2 * std::size_t{index.device().multiprocessors()} + blocks - 1) / blocks;
  const std::size_t most = std::max<std::size_t>(group_bytes / (plan.group * slot_bytes), 1);
  search.splits =
      static_cast<std::uint32_t>(std::max<std::size_t>(std::min({wanted, most, index.tile_cells() / 2}), 1));
  carve(index, nullptr, search, plan);
  return plan;
}

/// So many items from `at` on, of memory that the device owns.
template <class T>
std::span<T> piece(const T* at, std::size_t count) {
  return {const_cast<T*>(at), count};
}

}  // namespace

std::size_t GpuIndex::workspace_bytes(std::size_t queries, std::size_t k, Count count) const {
  if (queries == 0 || k == 0) return 0;
  GpuSearch search;
  return plan_search(*this, queries, k, count, search).bytes + workspace_alignment;
}

void GpuIndex::answer(Stream& stream, const Request& request) const {
  if (&stream.device() != device_)
    throw std::invalid_argument("nearest: the index belongs to another device than the stream");
  GpuSearch search;
  Plan plan = plan_search(*this, request.queries.count, request.k, request.count, search);
  // A workspace for more queries may hold fewer splits than these could use.
  while (search.splits > 1 && plan.bytes + workspace_alignment > request.workspace.size()) {
    search.splits = (search.splits + 1) / 2;
    carve(*this, nullptr, search, plan);
  }
  carve(*this, aligned_workspace(request.workspace, plan.bytes), search, plan);

  for (std::size_t begin = 0; begin < request.queries.count; begin += plan.group) {
    const std::size_t end = std::min(begin + plan.group, request.queries.count);
    search.queries = request.queries.row(begin);
    search.stride = request.queries.stride;
    search.count = static_cast<std::uint32_t>(end - begin);
    search.self = request.self.empty() ? nullptr : request.self.data() + begin;
    search.summarise = request.summarise;
    if (request.summary) {
      search.summary = request.summary + begin;
    } else {
      const Neighbours& out = request.neighbours;
      search.neighbours = {out.k, out.row + begin * out.k, out.distance + begin * out.k,
                           out.taken + begin * out.k, out.count + begin};
    }
    stream.fill(std::as_writable_bytes(std::span(search.slots_from, view_.cells)), 0);
    LANNER_ON_GPU(*device_, find_homes, stream, search);
    LANNER_ON_GPU(*device_, order_queries, stream, search);
    for (std::size_t cell = 0; cell < view_.cells; cell += tile_cells_) {
      const std::size_t cells = std::min(tile_cells_, view_.cells - cell);
      Tile tile{static_cast<std::uint32_t>(cell), static_cast<std::uint32_t>(cell + cells), panels_.data(),
                rows_.data()};
      if (streamed()) {
        tile.panels = plan.tile.panels;
        tile.rows = plan.tile.rows;
        stream.copy_in(piece(tile.panels, cells * panel_words()),
                       panels_streamed_.data() + cell * panel_words());
        stream.copy_in(piece(tile.rows, cells * cell_values()), rows_streamed_.data() + cell * cell_values());
      }
      if (cell == 0) LANNER_ON_GPU(*device_, place_queries, stream, search, tile);
      LANNER_ON_GPU(*device_, screen, stream, search, tile);
    }
    LANNER_ON_GPU(*device_, finish, stream, search);
  }
}

}  // namespace lanner::nearest
