#include "engine/detectors/binned_penalties.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/detectors/references.hpp"
#include "engine/detectors/slot.hpp"

namespace lanner::engine {
namespace {

class SumOfPenalties final : public Scorer {
 public:
  SumOfPenalties(Device& device, const density::Histograms& tables)
      : tables_(density::make_histograms(device, tables)) {}

  std::size_t width() const override { return tables_->width(); }
  std::size_t workspace_bytes(std::size_t rows_max) const override {
    return workspace_alignment + piece_bytes<float>(rows_max);
  }
  float base() const override { return 0; }

  void score(Stream& stream, Rows rows, std::span<std::byte>, std::span<float> scores) const override {
    check_scores(rows, width(), scores);
    if (rows.count > 0) density::look_up(stream, *tables_, rows, scores.first(rows.count), {});
  }

  bool score_if_finite(Stream& stream, Rows rows, std::span<std::byte>,
                       std::span<float> scores) const override {
    check_scores(rows, width(), scores);
    return density::look_up_if_finite(stream, *tables_, rows, scores.first(rows.count));
  }

  void contributions(Stream& stream, Rows rows, std::span<std::byte> workspace,
                     MutableRows out) const override {
    check_contributions(rows, width(), out);
    if (rows.count == 0) return;
    WorkspacePieces pieces(workspace);
    density::look_up(stream, *tables_, rows, pieces.take<float>(rows.count), out);
  }

 private:
  std::shared_ptr<const density::ResidentHistograms> tables_;
};

void save_begins(TensorWriter& writer, std::string_view name, const std::vector<std::size_t>& begins) {
  const std::vector<std::int64_t> values(begins.begin(), begins.end());
  writer.add(name, {values.size()}, std::span(values));
}

std::vector<std::size_t> load_begins(const TensorReader& reader, std::string_view name, std::size_t end) {
  const auto values = reader.integers(name);
  require(values.size() >= 2 && values.front() == 0 && static_cast<std::uint64_t>(values.back()) == end &&
              std::is_sorted(values.begin(), values.end()),
          std::string(name) + " does not divide its values among the features");
  return {values.begin(), values.end()};
}

}  // namespace

void make_sums_exact(density::Histograms& tables) {
  double largest_score = 0;
  for (std::size_t j = 0; j < tables.width(); ++j) {
    const auto begin = tables.penalties.begin();
    largest_score += *std::max_element(begin + static_cast<std::ptrdiff_t>(tables.penalty_begin[j]),
                                       begin + static_cast<std::ptrdiff_t>(tables.penalty_begin[j + 1]));
  }
  // Partial sums are then at most 2^24 spacings, which float32 holds exactly. Rounding up could add half a
  // spacing a feature: the doubling leaves room for it.
  const double spacing = std::exp2(std::ceil(std::log2(2 * largest_score)) - 24);
  for (float& penalty : tables.penalties)
    penalty = static_cast<float>(std::nearbyint(penalty / spacing) * spacing);
}

void save_tables(const density::Histograms& tables, TensorWriter& writer) {
  writer.add("edges", {tables.edges.size()}, std::span(tables.edges));
  writer.add("penalties", {tables.penalties.size()}, std::span(tables.penalties));
  save_begins(writer, "edge_begin", tables.edge_begin);
  save_begins(writer, "penalty_begin", tables.penalty_begin);
}

density::Histograms load_tables(const TensorReader& reader) {
  density::Histograms tables;
  tables.edges = reader.floats("edges");
  tables.penalties = reader.floats("penalties");
  tables.edge_begin = load_begins(reader, "edge_begin", tables.edges.size());
  tables.penalty_begin = load_begins(reader, "penalty_begin", tables.penalties.size());
  require(tables.edge_begin.size() == tables.penalty_begin.size(),
          "edge_begin and penalty_begin are not of as many features");
  for (std::size_t j = 0; j < tables.width(); ++j) {
    const auto first = tables.edges.begin() + static_cast<std::ptrdiff_t>(tables.edge_begin[j]);
    const auto last = tables.edges.begin() + static_cast<std::ptrdiff_t>(tables.edge_begin[j + 1]);
    require(last - first >= 2 && std::adjacent_find(first, last, std::greater_equal<>()) == last,
            "a feature's edges are not at least two and rising");
    require(
        tables.penalty_begin[j + 1] - tables.penalty_begin[j] == static_cast<std::size_t>(last - first) + 1,
        "a feature's penalties are not one for each bin and two for outside");
  }
  // Penalties are logarithms; larger ones could overflow the sum over the features.
  require(std::all_of(tables.penalties.begin(), tables.penalties.end(),
                      [](float x) { return x >= 0 && x <= 1e6f; }),
          "penalties holds a value that is no penalty");
  require(std::all_of(tables.edges.begin(), tables.edges.end(), [](float x) { return std::isfinite(x); }),
          "edges holds a value that is not finite");
  return tables;
}

std::shared_ptr<const Fitted> BinnedPenalties::load(const TensorReader& reader, const Settings&) {
  return std::make_shared<BinnedPenalties>(load_tables(reader));
}

std::unique_ptr<Scorer> BinnedPenalties::resident(Device& device) const {
  return std::make_unique<SumOfPenalties>(device, tables_);
}

}  // namespace lanner::engine
