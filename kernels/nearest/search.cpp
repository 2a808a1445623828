#include "kernels/nearest/search.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "kernels/arithmetic/environment.hpp"

namespace lanner::nearest {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t group_max = 1024;
constexpr std::size_t group_bytes = std::size_t{8} << 20;

std::size_t padded(std::size_t n, std::size_t to) {
  return (n + to - 1) / to * to;
}

// Hands out parts of a block one after the other; without a block it only counts.
class Carver {
 public:
  explicit Carver(std::byte* memory) : memory_(memory) {}
  template <class T>
  T* take(std::size_t n) {
    T* at = memory_ ? reinterpret_cast<T*>(memory_ + used_) : nullptr;
    used_ += padded(n * sizeof(T), alignment);
    return at;
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* memory_;
  std::size_t used_ = 0;
};

std::size_t carve(const IndexView& index, const Plan& plan, bool screened, std::byte* memory,
                  Scratch& scratch) {
  Carver carver(memory);
  const std::size_t buffer = padded(plan.capacity + buffer_slack, 16);
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
  scratch.bins = carver.take<std::uint32_t>(plan.keep + 1);
  scratch.exact_query = carver.take<double>(index.row_stride);
  if (screened) {
    scratch.exact_squared = carver.take<double>(buffer);
    scratch.query = carver.take<float>(plan.group * index.centre_stride);
    scratch.scaled = carver.take<float>(index.width * plan.columns);
    scratch.box_distance = carver.take<float>(index.cells * plan.columns);
    scratch.home = carver.take<float>(plan.columns);
    scratch.reach = carver.take<float>(plan.columns);
    scratch.tile = carver.take<float>(padded(index.width, tile_features) * tile_rows_max);
    scratch.column = carver.take<float>(padded(index.cells, 16));
    scratch.active = carver.take<std::uint32_t>(plan.columns);
  }
  return carver.used();
}

void check_search(const CpuIndex& index, Rows queries, std::size_t k, std::span<const std::uint32_t> self) {
  const auto fail = [](const std::string& what) { throw std::invalid_argument("nearest: " + what); };
  if (k == 0) fail("k must be at least 1");
  if (queries.count && (queries.width != index.width() || queries.stride < queries.width))
    fail("queries have " + std::to_string(queries.width) + " features, the index " +
         std::to_string(index.width()));
  if (!self.empty() && self.size() != queries.count)
    fail("self must name a row for every query, or be empty");
  for (std::uint32_t row : self)
    if (row != no_self && row >= index.distinct()) fail("self names a row that the index does not have");
}

void run(Stream& stream, const Index& any_index, Job& job, std::span<const std::uint32_t> self,
         std::span<std::byte> workspace) {
  const auto* index = dynamic_cast<const CpuIndex*>(&any_index);
  if (!index) throw std::invalid_argument("nearest: the index belongs to another backend than the stream");
  check_search(*index, job.queries, job.k, self);
  if (job.queries.count == 0) return;
  job.index = index->view();
  job.plan = plan_search(*index, job.queries.count, job.k, job.count);
  job.weighted = job.count == Count::rows && job.index.repeated;
  job.self = self.empty() ? nullptr : self.data();

  const auto address = reinterpret_cast<std::uintptr_t>(workspace.data());
  const std::size_t skipped = padded(address, alignment) - address;
  if (stream.device().threads() > index->threads())
    throw std::invalid_argument(
        "nearest: the stream has more threads than the device that the index was made for");
  if (workspace.size() < skipped + job.plan.bytes * index->threads())
    throw std::invalid_argument("nearest: the workspace is too small");
  std::byte* const memory = workspace.data() + skipped;

  auto* const group = index->tier() == CpuTier::scalar ? search_group_scalar
                      : index->tier() == CpuTier::avx2 ? search_group_avx2
                                                       : search_group_avx512;
  auto piece = [&](std::size_t begin, std::size_t end, unsigned worker) {
    Scratch scratch{};
    carve(job.index, job.plan, index->tier() != CpuTier::scalar, memory + job.plan.bytes * worker, scratch);
    group(job, scratch, begin, end);
  };
  stream.for_range(job.queries.count, job.plan.group, piece);
}

}  // namespace

// The group is as large as its workspace allows, so that a cell's tiles fill; but every thread gets a part of
// a small batch.
Plan plan_search(const CpuIndex& index, std::size_t queries, std::size_t k, Count) {
  const IndexView& view = index.view();
  const bool screened = index.tier() != CpuTier::scalar;
  Plan plan;
  plan.keep = std::min(k, view.distinct);
  if (!screened) {
    plan.group = 1;
    plan.capacity = plan.keep + 1024;
  } else {
    plan.capacity =
        std::min(padded(view.distinct, 16), padded(plan.keep + std::max<std::size_t>(plan.keep, 32), 16));
    plan.homes = 1 + plan.keep / 128;
    const std::size_t share = padded((queries + index.threads() - 1) / index.threads(), tile_rows_max);
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

std::size_t CpuIndex::workspace_bytes(std::size_t queries, std::size_t k, Count count) const {
  if (queries == 0 || k == 0) return 0;
  return plan_search(*this, queries, k, count).bytes * threads_ + alignment;
}

void search(Stream& stream, const Index& index, Rows queries, std::size_t k, Count count,
            std::span<const std::uint32_t> self, std::span<std::byte> workspace, Neighbours out) {
  if (out.k != k) throw std::invalid_argument("nearest: room for another k than is asked for");
  Job job;
  job.queries = queries;
  job.k = k;
  job.count = count;
  job.neighbours = out;
  run(stream, index, job, self, workspace);
}

void distances(Stream& stream, const Index& index, Rows queries, std::size_t k, Count count, Summary summary,
               std::span<const std::uint32_t> self, std::span<std::byte> workspace, std::span<float> out) {
  if (out.size() < queries.count)
    throw std::invalid_argument("nearest: room for fewer distances than queries");
  Job job;
  job.queries = queries;
  job.k = k;
  job.count = count;
  job.summary = out.data();
  job.summarise = summary;
  run(stream, index, job, self, workspace);
}

}  // namespace lanner::nearest
