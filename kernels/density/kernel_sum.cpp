#include "kernels/density/kernel_sum.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/density/kernel_sum_layout.hpp"
#include "kernels/device/resident.hpp"

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
using kernel_sum::panel_rows;
using kernel_sum::queries_max;
using kernel_sum::Tables;
using kernel_sum::Workspace;

constexpr std::size_t sampled_rows = 512;

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

// Rule 1 of the definition. A set of more than `block_rows` rows is split at the feature of largest extent
// (the mean absolute deviation from the mean over every k-th row in order, k = ceil(rows / 512), both float64
// chains; the first feature where several tie): its rows in order of (value, index), half of the blocks it
// will fill, rounded up, go to the first part. Rows of a part stay in index order, so the blocks depend on
// nothing but the rows.
class Blocks {
 public:
  explicit Blocks(const nearest::ReferenceSet& set)
      : set_(set), order(set.distinct()), sorted_(set.distinct()) {
    std::iota(order.begin(), order.end(), 0u);
    split(0, order.size());
  }

 private:
  const nearest::ReferenceSet& set_;

 public:
  std::vector<std::uint32_t> order;  ///< block after block

 private:
  std::vector<std::uint32_t> sorted_;

  float value(std::uint32_t row, std::size_t j) const { return set_.values[row * set_.width + j]; }

  void split(std::size_t begin, std::size_t end) {
    const std::size_t blocks = (end - begin + block_rows - 1) / block_rows;
    if (blocks <= 1) return;
    const std::size_t middle = begin + (blocks + 1) / 2 * block_rows;
    const std::size_t j = widest(begin, end);
    const auto before = [&](std::uint32_t a, std::uint32_t b) {
      const float x = value(a, j), y = value(b, j);
      return x < y || (x == y && a < b);
    };
    const auto at = [](std::vector<std::uint32_t>& v, std::size_t i) {
      return v.begin() + static_cast<std::ptrdiff_t>(i);
    };
    std::copy(at(order, begin), at(order, end), at(sorted_, begin));
    std::nth_element(at(sorted_, begin), at(sorted_, middle), at(sorted_, end), before);
    std::sort(at(sorted_, begin), at(sorted_, middle));
    std::sort(at(sorted_, middle), at(sorted_, end));
    std::copy(at(sorted_, begin), at(sorted_, end), at(order, begin));
    split(begin, middle);
    split(middle, end);
  }

  std::size_t widest(std::size_t begin, std::size_t end) const {
    const std::size_t step = (end - begin + sampled_rows - 1) / sampled_rows;
    std::vector<double> mean(set_.width, 0.0), deviation(set_.width, 0.0);
    double count = 0;
    for (std::size_t i = begin; i < end; i += step) {
      for (std::size_t j = 0; j < set_.width; ++j) mean[j] += static_cast<double>(value(order[i], j));
      count += 1;
    }
    for (double& m : mean) m /= count;
    for (std::size_t i = begin; i < end; i += step)
      for (std::size_t j = 0; j < set_.width; ++j)
        deviation[j] += std::fabs(static_cast<double>(value(order[i], j)) - mean[j]);
    return static_cast<std::size_t>(std::max_element(deviation.begin(), deviation.end()) - deviation.begin());
  }
};

class CpuKernelSum final : public ResidentKernelSum {
 public:
  CpuKernelSum(Device& device, const nearest::ReferenceSet& set, double bandwidth)
      : threads_(device.threads()) {
    const std::size_t n = set.distinct(), width = set.width;
    const Blocks blocks(set);
    tables_.width = width;
    tables_.blocks = (n + block_rows - 1) / block_rows;
    tables_.last_block_rows = n - (tables_.blocks - 1) * block_rows;
    tables_.block_stride = (tables_.blocks + 31) / 32 * 32;
    const double scale = 1 / (2 * bandwidth * bandwidth);
    const auto greatest = static_cast<double>(kernel_sum::largest);
    tables_.attraction_scale = std::clamp(scale, 0x1p-126, greatest);
    // A normal number, so that no product with it is 0 times infinity.
    tables_.scale = static_cast<float>(std::clamp(scale / kernel_sum::ln2, 0x1p-126, greatest));

    std::vector<float> values(tables_.blocks * block_rows * width), weights(tables_.blocks * block_rows);
    std::vector<float> low(width * tables_.block_stride, kernel_sum::largest),
        high(low.size(), -kernel_sum::largest);
    std::vector<std::uint32_t> place(n);
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint32_t row = blocks.order[i];
      place[row] = static_cast<std::uint32_t>(i);
      weights[i] = static_cast<float>(set.weight[row]);
      const std::size_t block = i / block_rows;
      for (std::size_t j = 0; j < width; ++j) {
        const float x = set.values[row * width + j];
        values[(i / panel_rows * width + j) * panel_rows + i % panel_rows] = x;
        float& box_low = low[j * tables_.block_stride + block];
        float& box_high = high[j * tables_.block_stride + block];
        box_low = std::min(box_low, x);
        box_high = std::max(box_high, x);
      }
    }
    values_ = resident_copy(device, values);
    weights_ = resident_copy(device, weights);
    low_ = resident_copy(device, low);
    high_ = resident_copy(device, high);
    place_ = resident_copy(device, place);
    tables_.values = values_.data();
    tables_.weights = weights_.data();
    tables_.low = low_.data();
    tables_.high = high_.data();
    tables_.place = place_.data();
  }

  std::size_t width() const override { return tables_.width; }
  std::size_t workspace_bytes(std::size_t queries) const override {
    return threads_ * Workspace::bytes(tables_, std::min(queries, queries_max)) + 64;
  }
  const Tables& tables() const { return tables_; }

 private:
  unsigned threads_;
  Array<float> values_, weights_, low_, high_;
  Array<std::uint32_t> place_;
  Tables tables_;
};

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

}  // namespace

std::shared_ptr<const ResidentKernelSum> make_kernel_sum(Device& device, const nearest::ReferenceSet& set,
                                                         double bandwidth) {
  validate(set, bandwidth);
  if (device.backend() != Backend::cpu)
    throw std::invalid_argument("kernel sum: none for backend " + std::string(name(device.backend())));
  const FloatEnvironment environment;
  return std::make_shared<CpuKernelSum>(device, set, bandwidth);
}

void log_kernel_sum(Stream& stream, const ResidentKernelSum& resident, Rows queries,
                    std::span<const std::uint32_t> self, std::span<std::byte> workspace,
                    std::span<double> out) {
  const Tables& tables = static_cast<const CpuKernelSum&>(resident).tables();
  const kernel_sum::LogSums log_sums = chosen_log_sums(stream.tier());
  const auto task = [&](std::size_t begin, std::size_t end, const Workspace& own) {
    log_sums(tables, queries.slice(begin, end), self.empty() ? nullptr : self.data() + begin, own,
             out.data() + begin);
  };
  over_pieces(stream, tables, queries.count, workspace, task);
}

void attraction(Stream& stream, const ResidentKernelSum& resident, Rows queries,
                std::span<std::byte> workspace, MutableRows out) {
  const Tables& tables = static_cast<const CpuKernelSum&>(resident).tables();
  const kernel_sum::Attraction attraction_of = chosen_attraction(stream.tier());
  const auto task = [&](std::size_t begin, std::size_t end, const Workspace& own) {
    attraction_of(tables, queries.slice(begin, end), own,
                  {out.row(begin), end - begin, out.width, out.stride});
  };
  over_pieces(stream, tables, queries.count, workspace, task);
}

}  // namespace lanner::density
