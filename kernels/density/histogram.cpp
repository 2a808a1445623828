#include "kernels/density/histogram.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "kernels/arithmetic/environment.hpp"
#include "kernels/arithmetic/scalar.hpp"
#include "kernels/density/histogram_gpu.hpp"
#include "kernels/density/histogram_layout.hpp"
#include "kernels/device/gpu.hpp"
#include "kernels/device/resident.hpp"
#include "kernels/finite/finite.hpp"

namespace lanner::density {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float largest = std::numeric_limits<float>::max();
// Bin numbers are found by adding counted_from, and tables are gathered from by 32-bit offsets.
constexpr std::size_t bins_max = 1u << 20;
// Values enough to be worth waking a thread for: of tables looked up in registers, and in memory.
constexpr std::size_t values_in_registers = 500'000, values_in_memory = 130'000;

std::string feature_name(std::size_t j) {
  return "histogram of feature " + std::to_string(j);
}

void validate(const Histograms& histograms) {
  const auto refuse = [](const std::string& reason) { throw std::invalid_argument(reason); };
  const auto& eb = histograms.edge_begin;
  const auto& pb = histograms.penalty_begin;
  if (eb.size() < 2 || pb.size() != eb.size())
    refuse("histograms: no features, or edges and penalties of different ones");
  if (eb.front() != 0 || eb.back() != histograms.edges.size() || pb.front() != 0 ||
      pb.back() != histograms.penalties.size())
    refuse("histograms: the features' parts don't cover the edges and penalties");
  for (std::size_t j = 0; j < histograms.width(); ++j) {
    if (eb[j + 1] < eb[j] || eb[j + 1] > histograms.edges.size() || eb[j + 1] - eb[j] < 2)
      refuse(feature_name(j) + ": fewer than two edges");
    const std::size_t bins = eb[j + 1] - eb[j] - 1;
    if (bins > bins_max) refuse(feature_name(j) + ": more than " + std::to_string(bins_max) + " bins");
    if (pb[j + 1] < pb[j] || pb[j + 1] > histograms.penalties.size() || pb[j + 1] - pb[j] != bins + 2)
      refuse(feature_name(j) + ": needs a penalty for below, each bin, and above");
    for (std::size_t k = eb[j]; k < eb[j + 1]; ++k) {
      if (!std::isfinite(histograms.edges[k])) refuse(feature_name(j) + ": an edge is not finite");
      if (k > eb[j] && !(histograms.edges[k - 1] < histograms.edges[k]))
        refuse(feature_name(j) + ": edges are not ascending");
    }
    for (std::size_t k = pb[j]; k < pb[j + 1]; ++k)
      if (!std::isfinite(histograms.penalties[k])) refuse(feature_name(j) + ": a penalty is not finite");
  }
}

/// Whether the edge nearest to x by that arithmetic is always the one below or above x's bin. The arithmetic
/// is monotone in x, so the two ends of each bin prove it for all values between.
bool places_all(std::span<const float> edges, float first, float per_width) {
  if (!std::isfinite(per_width) || !(per_width > 0)) return false;
  const float highest = counted_from + static_cast<float>(edges.size() - 1);
  for (std::size_t k = 0; k <= edges.size(); ++k) {  // bin k, from edge k - 1 up to just below edge k
    const float low = k == 0 ? -largest : edges[k - 1];
    const float high = k == edges.size() ? largest : std::nextafter(edges[k], -infinity);
    for (float x : {low, high}) {
      if (std::isinf(x)) continue;  // an edge raised beyond the largest float: no value is there
      const float near = nearest_edge(x, first, per_width, highest) - counted_from;
      const auto bin = static_cast<float>(k);
      if (near != bin && near != bin - 1) return false;
    }
  }
  return true;
}

}  // namespace

std::vector<float> raised_edges(std::span<const float> edges) {
  std::vector<float> raised(edges.begin(), edges.end());
  raised.back() = std::nextafter(raised.back(), infinity);
  return raised;
}

EvenEdges even_edges(std::span<const float> edges) {
  EvenEdges even;
  even.first = edges.front();
  even.per_width =
      static_cast<float>(static_cast<double>(edges.size() - 1) /
                         (static_cast<double>(edges.back()) - static_cast<double>(edges.front())));
  even.proven = places_all(raised_edges(edges), even.first, even.per_width);
  return even;
}

namespace {

LookUp chosen(CpuTier tier) {
  switch (tier) {
    case CpuTier::scalar:
      return look_up_scalar;
    case CpuTier::avx2:
      return look_up_avx2;
    case CpuTier::avx512:
      return look_up_avx512;
  }
  return look_up_scalar;
}

class CpuHistograms final : public ResidentHistograms {
 public:
  CpuHistograms(Device& device, const Histograms& histograms) {
    const std::size_t width = histograms.width();
    struct Extent {
      std::size_t edges, penalties, tree;
    };
    std::vector<float> values;
    std::vector<Extent> extents;
    std::vector<FeatureHistogram> features;
    std::size_t longest_edges = 0;
    bool all_even = true;
    for (std::size_t j = 0; j < width; ++j)
      longest_edges = std::max(longest_edges, histograms.edge_begin[j + 1] - histograms.edge_begin[j]);
    const std::size_t longest = longest_edges / table_step * table_step + table_step;  // of penalties
    // Only AVX-512 has registers enough to make use of it.
    const bool alike = device.tier() == CpuTier::avx512 && longest <= short_table_max;
    const std::size_t short_tables = alike ? longest : 0;
    const auto pad = [&](std::size_t begin, std::size_t least, float with) {
      const std::size_t size = std::max(values.size() - begin, least);
      values.resize(begin + (size + table_step - 1) / table_step * table_step, with);
    };
    for (std::size_t j = 0; j < width; ++j) {
      const std::span<const float> edges(histograms.edges.data() + histograms.edge_begin[j],
                                         histograms.edges.data() + histograms.edge_begin[j + 1]);
      const std::vector<float> raised = raised_edges(edges);
      const int levels = std::max(4, static_cast<int>(std::bit_width(alike ? longest_edges : raised.size())));
      const std::size_t nodes = std::size_t{1} << levels;

      Extent extent{values.size(), 0, 0};
      values.insert(values.end(), raised.begin(), raised.end());
      pad(extent.edges, short_tables, infinity);
      extent.penalties = values.size();
      values.insert(
          values.end(),
          histograms.penalties.begin() + static_cast<std::ptrdiff_t>(histograms.penalty_begin[j]),
          histograms.penalties.begin() + static_cast<std::ptrdiff_t>(histograms.penalty_begin[j + 1]));
      pad(extent.penalties, std::max(nodes, short_tables), values.back());
      extent.tree = values.size();
      values.push_back(infinity);  // node 0 is none
      for (int level = 0; level < levels; ++level)
        for (std::size_t node = 0; node < std::size_t{1} << level; ++node) {
          const std::size_t edge = ((2 * node + 1) << (levels - level - 1)) - 1;
          values.push_back(edge < raised.size() ? raised[edge] : infinity);
        }
      extents.push_back(extent);

      FeatureHistogram feature{};
      feature.levels = levels;
      feature.last = static_cast<std::int32_t>(edges.size() - 1);
      const EvenEdges even = even_edges(edges);
      feature.even = even.proven;
      feature.first = even.first;
      feature.per_width = even.per_width;
      feature.highest = counted_from + static_cast<float>(feature.last);
      all_even &= even.proven;
      features.push_back(feature);
    }

    values_ = resident_copy(device, values);
    for (std::size_t j = 0; j < width; ++j) {
      features[j].edges = values_.data() + extents[j].edges;
      features[j].penalties = values_.data() + extents[j].penalties;
      features[j].tree = values_.data() + extents[j].tree;
    }
    features_ = resident_copy(device, features);
    all_even_within_ = all_even ? short_tables : 0;
    all_levels_ = alike ? features.front().levels : 0;
  }

  std::size_t width() const override { return features_.size(); }

  bool look_up_if_finite(Stream& stream, Rows rows, float* scores) const override {
    const HistogramTables tables = view();
    if (!tables.alike() || stream.tier() != CpuTier::avx512)
      return ResidentHistograms::look_up_if_finite(stream, rows, scores);
    std::atomic<bool> all_finite = true;
    auto task = [&](std::size_t begin, std::size_t end, unsigned) {
      if (!look_up_alike_avx512(tables, rows.slice(begin, end), scores + begin)) all_finite = false;
    };
    stream.for_range(rows.count, values_in_registers / width() + 1, task);
    return all_finite;
  }

  void look_up(Stream& stream, Rows rows, float* scores, MutableRows parts) const override {
    const HistogramTables tables = view();
    const LookUp look_up_rows = chosen(stream.tier());
    auto task = [&](std::size_t begin, std::size_t end, unsigned) {
      MutableRows piece = parts;
      if (parts.data) piece.data = parts.row(begin);
      look_up_rows(tables, rows.slice(begin, end), scores + begin, piece);
    };
    stream.for_range(rows.count, values_in_memory / width() + 1, task);
  }

 private:
  HistogramTables view() const { return {features_.data(), features_.size(), all_even_within_, all_levels_}; }

  Array<float> values_;
  Array<FeatureHistogram> features_;
  std::size_t all_even_within_ = 0;
  std::int32_t all_levels_ = 0;
};

}  // namespace

std::shared_ptr<const ResidentHistograms> make_histograms(Device& device, const Histograms& histograms) {
  validate(histograms);
  const FloatEnvironment environment;
  if (device.backend() == Backend::cpu) return std::make_shared<CpuHistograms>(device, histograms);
  return LANNER_ON_GPU(device, make_histograms, device, histograms);
}

namespace {

[[noreturn]] void refuse(const std::string& reason) {
  throw std::invalid_argument("histograms: " + reason);
}

void check(const ResidentHistograms& histograms, Rows rows, std::span<float> scores) {
  if (rows.width != histograms.width() || rows.stride < rows.width)
    refuse("rows have " + std::to_string(rows.width) + " features, the histograms " +
           std::to_string(histograms.width()));
  if (scores.size() < rows.count) refuse("there is no room for every row's score");
}

}  // namespace

void look_up(Stream& stream, const ResidentHistograms& histograms, Rows rows, std::span<float> scores,
             MutableRows parts) {
  if (rows.count == 0) return;
  check(histograms, rows, scores);
  if (parts.data && (parts.count < rows.count || parts.width != rows.width))
    refuse("there is no room for every row's parts");
  histograms.look_up(stream, rows, scores.data(), parts);
}

bool ResidentHistograms::look_up_if_finite(Stream& stream, Rows rows, float* scores) const {
  if (!finite::all_finite(stream.tier(), rows)) return false;
  look_up(stream, rows, scores, {});
  return true;
}

bool look_up_if_finite(Stream& stream, const ResidentHistograms& histograms, Rows rows,
                       std::span<float> scores) {
  if (rows.count == 0) return true;
  if (stream.backend() != Backend::cpu) refuse("only the cpu backend looks at what it scores");
  check(histograms, rows, scores);
  return histograms.look_up_if_finite(stream, rows, scores.data());
}

}  // namespace lanner::density
