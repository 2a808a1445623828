#include "engine/detectors/histogram/model.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/detectors/histogram/scorer.hpp"
#include "engine/detectors/references.hpp"

namespace lanner::engine::histogram {
namespace {

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

void Model::save(TensorWriter& writer) const {
  writer.add("edges", {histograms_.edges.size()}, std::span(histograms_.edges));
  writer.add("penalties", {histograms_.penalties.size()}, std::span(histograms_.penalties));
  save_begins(writer, "edge_begin", histograms_.edge_begin);
  save_begins(writer, "penalty_begin", histograms_.penalty_begin);
}

std::shared_ptr<const Model> Model::load(const TensorReader& reader) {
  density::Histograms histograms;
  histograms.edges = reader.floats("edges");
  histograms.penalties = reader.floats("penalties");
  histograms.edge_begin = load_begins(reader, "edge_begin", histograms.edges.size());
  histograms.penalty_begin = load_begins(reader, "penalty_begin", histograms.penalties.size());
  require(histograms.edge_begin.size() == histograms.penalty_begin.size(),
          "edge_begin and penalty_begin are not of as many features");
  for (std::size_t j = 0; j < histograms.width(); ++j) {
    const auto first = histograms.edges.begin() + static_cast<std::ptrdiff_t>(histograms.edge_begin[j]);
    const auto last = histograms.edges.begin() + static_cast<std::ptrdiff_t>(histograms.edge_begin[j + 1]);
    require(last - first >= 2 && std::adjacent_find(first, last, std::greater_equal<>()) == last,
            "a feature's edges are not at least two and rising");
    require(histograms.penalty_begin[j + 1] - histograms.penalty_begin[j] ==
                static_cast<std::size_t>(last - first) + 1,
            "a feature's penalties are not one for each bin and two for outside");
  }
  // Penalties are logarithms; larger ones could overflow the sum over the features.
  require(std::all_of(histograms.penalties.begin(), histograms.penalties.end(),
                      [](float x) { return x >= 0 && x <= 1e6f; }),
          "penalties holds a value that is no penalty");
  require(
      std::all_of(histograms.edges.begin(), histograms.edges.end(), [](float x) { return std::isfinite(x); }),
      "edges holds a value that is not finite");
  return std::make_shared<Model>(std::move(histograms));
}

std::unique_ptr<Scorer> Model::resident(Device& device) const {
  return std::make_unique<HistogramScorer>(device, histograms_);
}

}  // namespace lanner::engine::histogram
