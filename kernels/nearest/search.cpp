#include "kernels/nearest/search.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "kernels/arithmetic/environment.hpp"

namespace lanner::nearest {
namespace {

constexpr std::size_t group_max = 1024;
constexpr std::size_t group_bytes = std::size_t{8} << 20;

std::size_t carve(const IndexView& index, const Plan& plan, bool screened, std::byte* memory,
                  Scratch& scratch) {
  Carver carver(memory);
  const std::size_t buffer = padded(plan.capacity + 2 * buffer_slack, 16);
  scratch.state = carver.take<QueryState>(plan.group);
  for (std::size_t i = 0; i < plan.group; ++i) {
    QueryState unused;
    QueryState& state = memory ? scratch.state[i] : unused;
    if (screened) {
      state.lower = carver.take<float>(buffer);
      state.upper = carver.take<float>(buffer);
      state.position = carver.take<std::uint32_t>(buffer);
      state.weight = carver.take<std::uint32_t>(buffer);
      state.settled = carver.take<Settled>(plan.keep);
    }
  }
  scratch.merged = carver.take<Settled>(plan.keep + buffer);
  scratch.sorted = carver.take<Settled>(plan.keep);
  scratch.bins = carver.take<std::uint32_t>(3 * plan.keep + 1);
  scratch.exact_query = carver.take<double>(index.row_stride);
  if (screened) {
    scratch.exact_squared = carver.take<double>(buffer);
    scratch.measured_query = carver.take<float>(index.centre_stride);
    scratch.query = carver.take<float>(plan.columns * index.centre_stride);
    scratch.scaled = carver.take<float>(index.width * plan.columns);
    scratch.block_distance = carver.take<float>(index.blocks * plan.columns);
    scratch.home_cell = carver.take<std::uint32_t>(plan.columns);
    scratch.home_end = carver.take<std::uint32_t>(index.blocks * block_cells + 1);
    scratch.home = carver.take<float>(plan.columns);
    scratch.reach = carver.take<float>(plan.columns);
    if (index.codes.codes) {
      scratch.codes = carver.take<std::uint8_t>(plan.group * index.codes.stride);
      scratch.coded = carver.take<CodedQuery>(plan.group);
      scratch.code_tile = carver.take<std::uint8_t>(padded(index.width, code_tile_features) * tile_rows_max);
    } else {
      scratch.tile = carver.take<float>(padded(index.width, tile_features) * tile_rows_max);
    }
    scratch.bound = carver.take<float>(index.blocks * block_cells);
    scratch.key = carver.take<float>(index.blocks * block_cells);
    scratch.active = carver.take<std::uint32_t>(std::max(block_cells * plan.columns, index.blocks));
    scratch.active_bound = carver.take<float>(block_cells * plan.columns);
    scratch.through = carver.take<std::uint32_t>(plan.columns);
  }
  return carver.used();
}

[[noreturn]] void fail(const std::string& what) {
  throw std::invalid_argument("nearest: " + what);
}

void answer(Stream& stream, const Index& index, const Request& request) {
  if (request.k == 0) fail("k must be at least 1");
  const Rows& queries = request.queries;
  if (queries.count && (queries.width != index.width() || queries.stride < queries.width))
    fail("queries have " + std::to_string(queries.width) + " features, the index " +
         std::to_string(index.width()));
  if (!request.self.empty() && request.self.size() != queries.count)
    fail("self must name a row for every query, or be empty");
  if (queries.count) index.answer(stream, request);
}

}  // namespace

// The group is as large as its workspace allows, so that a cell's tiles fill; but every thread gets a part of
// a small batch.
Plan CpuSearch::plan(std::size_t queries, std::size_t k) const {
  const bool screened = tier != CpuTier::scalar;
  Plan plan;
  plan.keep = std::min(k, view.distinct);
  if (!screened) {
    plan.group = 1;
    plan.capacity = plan.keep + 1024;
  } else {
    plan.capacity =
        std::min(padded(view.distinct, 16),
                 padded(plan.keep + std::max<std::size_t>(plan.keep, view.codes.codes ? 16 : 32), 16));
    plan.homes = 1 + plan.keep / 128;
    const std::size_t share = padded((queries + threads - 1) / threads, tile_rows_max);
    Scratch none;
    plan.group = plan.columns = 1;
    const std::size_t fixed = carve(view, plan, true, nullptr, none);
    plan.group = plan.columns = 17;
    const std::size_t each = (carve(view, plan, true, nullptr, none) - fixed) / 16;
    plan.group = std::clamp<std::size_t>(group_bytes / each, tile_rows_max, group_max);
    plan.group = std::max<std::size_t>(std::min({plan.group, share, queries}), 1);
    plan.columns = padded(plan.group, 16);
  }
  Scratch none;
  plan.bytes = carve(view, plan, screened, nullptr, none);
  return plan;
}

std::size_t CpuSearch::workspace_bytes(std::size_t queries, std::size_t k) const {
  if (queries == 0 || k == 0) return 0;
  return plan(queries, k).bytes * threads + workspace_alignment;
}

void CpuSearch::answer(Stream& stream, const Request& request) const {
  if (stream.backend() != Backend::cpu) fail("the index belongs to another backend than the stream");
  if (stream.device().threads() > threads)
    fail("the stream has more threads than the device that the index was made for");

  Job job;
  job.index = view;
  job.plan = plan(request.queries.count, request.k);
  job.queries = request.queries;
  job.k = request.k;
  job.count = request.count;
  job.weighted = request.count == Count::rows && view.repeated;
  job.self = request.self.empty() ? nullptr : request.self.data();
  job.neighbours = request.neighbours;
  job.summary = request.summary;
  job.summarise = request.summarise;
  std::byte* const memory = aligned_workspace(request.workspace, job.plan.bytes * threads);

  const bool coded = view.codes.codes != nullptr;
  auto* const group = tier == CpuTier::scalar ? search_group_scalar
                      : tier == CpuTier::avx2 ? (coded ? search_codes_avx2 : search_group_avx2)
                                              : (coded ? search_codes_avx512 : search_group_avx512);
  auto piece = [&](std::size_t begin, std::size_t end, unsigned worker) {
    Scratch scratch{};
    carve(job.index, job.plan, tier != CpuTier::scalar, memory + job.plan.bytes * worker, scratch);
    group(job, scratch, begin, end);
  };
  stream.for_range(job.queries.count, job.plan.group, piece);
}

std::size_t CpuIndex::workspace_bytes(std::size_t queries, std::size_t k, Count) const {
  return CpuSearch{view_, tier_, threads_}.workspace_bytes(queries, k);
}

void CpuIndex::answer(Stream& stream, const Request& request) const {
  for (std::uint32_t row : request.self)
    if (row != no_self && row >= distinct()) fail("self names a row that the index does not have");
  CpuSearch{view_, tier_, threads_}.answer(stream, request);
}

std::byte* aligned_workspace(std::span<std::byte> workspace, std::size_t bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(workspace.data());
  const std::size_t skipped = padded(address, workspace_alignment) - address;
  if (workspace.size() < skipped + bytes) fail("the workspace is too small");
  return workspace.data() + skipped;
}

void search(Stream& stream, const Index& index, Rows queries, std::size_t k, Count count,
            std::span<const std::uint32_t> self, std::span<std::byte> workspace, Neighbours out) {
  if (out.k != k) fail("room for another k than is asked for");
  answer(stream, index, {queries, k, count, self, workspace, out});
}

void distances(Stream& stream, const Index& index, Rows queries, std::size_t k, Count count, Summary summary,
               std::span<const std::uint32_t> self, std::span<std::byte> workspace, std::span<float> out) {
  if (out.size() < queries.count) fail("room for fewer distances than queries");
  answer(stream, index, {queries, k, count, self, workspace, {}, out.data(), summary});
}

}  // namespace lanner::nearest
