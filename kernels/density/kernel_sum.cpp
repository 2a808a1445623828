#include "kernels/density/kernel_sum.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "kernels/density/kernel_sum_gpu.hpp"
#include "kernels/density/kernel_sum_layout.hpp"
#include "kernels/density/kernel_sum_packing.hpp"
#include "kernels/device/gpu.hpp"

namespace lanner::density {
namespace kernel_sum {

std::size_t Workspace::bytes(const Tables& tables, std::size_t queries) {
  const std::size_t raw = queries * tables.block_stride * (2 * sizeof(float) + sizeof(double)) +
                          (queries + 2 * tile_queries_max) * tables.width * sizeof(float) +
                          tables.width * sizeof(double);
  return (raw + 5 * 64 + 63) / 64 * 64;
}

Workspace Workspace::at(std::byte* memory, const Tables& tables, std::size_t queries) {
  const auto take = [&](std::size_t bytes) {
    memory += (64 - reinterpret_cast<std::uintptr_t>(memory) % 64) % 64;
    std::byte* taken = memory;
    memory += bytes;
    return taken;
  };
  Workspace w;
  w.bounds = reinterpret_cast<float*>(take(queries * tables.block_stride * sizeof(float)));
  w.largest = reinterpret_cast<float*>(take(queries * tables.block_stride * sizeof(float)));
  w.sums = reinterpret_cast<double*>(take(queries * tables.block_stride * sizeof(double)));
  w.packed = reinterpret_cast<float*>(take((queries + 2 * tile_queries_max) * tables.width * sizeof(float)));
  w.squares = reinterpret_cast<double*>(take(tables.width * sizeof(double)));
  return w;
}

}  // namespace kernel_sum

namespace {

using kernel_sum::block_rows;
using kernel_sum::queries_max;
using kernel_sum::Tables;
using kernel_sum::Workspace;

void validate(const nearest::ReferenceSet& set, double bandwidth) {
  const std::size_t n = set.distinct();
  if (n == 0 || set.width == 0) throw std::invalid_argument("kernel sum: no reference rows");
  if (set.values.size() != n * set.width)
    throw std::invalid_argument("kernel sum: the reference set's parts do not fit together");
  if (n >= std::numeric_limits<std::uint32_t>::max() - block_rows)
    throw std::invalid_argument("kernel sum: too many reference rows");
  for (float value : set.values)
    if (!std::isfinite(value)) throw std::invalid_argument("kernel sum: reference values must be finite");
  for (std::uint32_t weight : set.weight)
    if (weight == 0) throw std::invalid_argument("kernel sum: a reference row's weight is 0");
  if (!(std::isfinite(bandwidth) && bandwidth > 0))
    throw std::invalid_argument("kernel sum: the bandwidth must be positive and finite");
}

/// Runs task(begin, end, workspace) over pieces of at most queries_max queries.
template <class Task>
void over_pieces(Stream& stream, const Tables& tables, std::size_t queries, std::span<std::byte> workspace,
                 const Task& task) {
  if (queries == 0) return;
  const std::size_t threads = stream.device().threads();
  const std::size_t piece = std::min(queries_max, (queries + threads - 1) / threads);
  const std::size_t each = Workspace::bytes(tables, piece);
  auto run = [&](std::size_t begin, std::size_t end, unsigned worker) {
    task(begin, end, Workspace::at(workspace.data() + worker * each, tables, piece));
  };
  stream.for_range(queries, piece, run);
}

kernel_sum::LogSums chosen_log_sums(CpuTier tier) {
  switch (tier) {
    case CpuTier::scalar:
      return kernel_sum::log_sums_scalar;
    case CpuTier::avx2:
      return kernel_sum::log_sums_avx2;
    case CpuTier::avx512:
      return kernel_sum::log_sums_avx512;
  }
  return kernel_sum::log_sums_scalar;
}

kernel_sum::Attraction chosen_attraction(CpuTier tier) {
  switch (tier) {
    case CpuTier::scalar:
      return kernel_sum::attraction_scalar;
    case CpuTier::avx2:
      return kernel_sum::attraction_avx2;
    case CpuTier::avx512:
      return kernel_sum::attraction_avx512;
  }
  return kernel_sum::attraction_scalar;
}

class CpuKernelSum final : public ResidentKernelSum {
 public:
  CpuKernelSum(Device& device, const nearest::ReferenceSet& set, double bandwidth)
      : threads_(device.threads()), resident_(device, set, bandwidth) {}

  std::size_t width() const override { return tables().width; }
  std::size_t workspace_bytes(std::size_t queries) const override {
    return threads_ * Workspace::bytes(tables(), std::min(queries, queries_max)) + 64;
  }

  void log_kernel_sum(Stream& stream, Rows queries, const std::uint32_t* self, std::span<std::byte> workspace,
                      double* out) const override {
    const kernel_sum::LogSums log_sums = chosen_log_sums(stream.tier());
    const auto task = [&](std::size_t begin, std::size_t end, const Workspace& own) {
      log_sums(tables(), queries.slice(begin, end), self ? self + begin : nullptr, own, out + begin);
    };
    over_pieces(stream, tables(), queries.count, workspace, task);
  }

  void negative_log_density(Stream& stream, Rows queries, double lowest, double log_rows,
                            std::span<std::byte> workspace, float* out) const override {
    const kernel_sum::LogSums log_sums = chosen_log_sums(stream.tier());
    const auto task = [&](std::size_t begin, std::size_t end, const Workspace& own) {
      double sums[queries_max];
      log_sums(tables(), queries.slice(begin, end), nullptr, own, sums);
      for (std::size_t q = begin; q < end; ++q)
        out[q] = kernel_sum::negative_log_density(sums[q - begin], lowest, log_rows);
    };
    over_pieces(stream, tables(), queries.count, workspace, task);
  }

  void attraction(Stream& stream, Rows queries, std::span<std::byte> workspace,
                  MutableRows out) const override {
    const kernel_sum::Attraction attraction_of = chosen_attraction(stream.tier());
    const auto task = [&](std::size_t begin, std::size_t end, const Workspace& own) {
      attraction_of(tables(), queries.slice(begin, end), own,
                    {out.row(begin), end - begin, out.width, out.stride});
    };
    over_pieces(stream, tables(), queries.count, workspace, task);
  }

 private:
  const Tables& tables() const { return resident_.tables(); }

  unsigned threads_;
  kernel_sum::ResidentTables resident_;
};

void check(const ResidentKernelSum& resident, Rows queries, std::size_t room,
           std::span<const std::byte> workspace) {
  const auto refuse = [](const std::string& reason) { throw std::invalid_argument("kernel sum: " + reason); };
  if (queries.width != resident.width() || queries.stride < queries.width)
    refuse("queries have " + std::to_string(queries.width) + " features, the references " +
           std::to_string(resident.width()));
  if (room < queries.count) refuse("there is no room for every query's answer");
  if (workspace.size() < resident.workspace_bytes(queries.count)) refuse("the workspace is too small");
}

}  // namespace

std::shared_ptr<const ResidentKernelSum> make_kernel_sum(Device& device, const nearest::ReferenceSet& set,
                                                         double bandwidth) {
  validate(set, bandwidth);
  if (device.backend() == Backend::cpu) return std::make_shared<CpuKernelSum>(device, set, bandwidth);
  return LANNER_ON_GPU(device, make_kernel_sum, device, set, bandwidth);
}

void log_kernel_sum(Stream& stream, const ResidentKernelSum& resident, Rows queries,
                    std::span<const std::uint32_t> self, std::span<std::byte> workspace,
                    std::span<double> out) {
  if (queries.count == 0) return;
  check(resident, queries, out.size(), workspace);
  if (!self.empty() && self.size() != queries.count)
    throw std::invalid_argument("kernel sum: self must name a row for every query, or be empty");
  resident.log_kernel_sum(stream, queries, self.empty() ? nullptr : self.data(), workspace, out.data());
}

void negative_log_density(Stream& stream, const ResidentKernelSum& resident, Rows queries, double lowest,
                          double log_rows, std::span<std::byte> workspace, std::span<float> out) {
  if (queries.count == 0) return;
  check(resident, queries, out.size(), workspace);
  resident.negative_log_density(stream, queries, lowest, log_rows, workspace, out.data());
}

void attraction(Stream& stream, const ResidentKernelSum& resident, Rows queries,
                std::span<std::byte> workspace, MutableRows out) {
  if (queries.count == 0) return;
  check(resident, queries, out.width == queries.width ? out.count : 0, workspace);
  resident.attraction(stream, queries, workspace, out);
}

}  // namespace lanner::density
