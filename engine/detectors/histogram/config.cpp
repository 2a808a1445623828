// What can be set, and fitting: every feature's bins and penalties.
#include <span>
#include <vector>

#include "engine/detectors/binned_penalties.hpp"
#include "engine/detectors/histogram/histogram.hpp"
#include "engine/detectors/histogram/histograms.hpp"
#include "engine/detectors/references.hpp"
#include "kernels/sort/sort.hpp"

namespace lanner::engine::histogram {
namespace {

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      {"bins",
       Kind::integer,
       "10",
       "Bins of each feature; auto lets a penalised likelihood choose for each feature",
       {"auto"},
       2,
       4096},
      {"rule",
       Kind::word,
       "equal_width",
       "Bins of equal width, or holding equally many training rows",
       {"equal_width", "equal_count"}},
  };
  return table;
}

std::shared_ptr<const Fitted> fit(const FitRequest& request) {
  check_training_rows(request.rows);
  Binning binning;
  binning.bins =
      request.settings.is("bins", "auto") ? 0 : static_cast<std::size_t>(request.settings.integer("bins"));
  binning.rule = request.settings.is("rule", "equal_count") ? Rule::equal_count : Rule::equal_width;

  density::Histograms histograms;
  histograms.edge_begin = {0};
  histograms.penalty_begin = {0};
  const Rows rows = request.rows;
  sort::sort_columns(request.gpu_or_cpu(), rows, [&](std::size_t column, std::span<const float> ascending) {
    append_feature(histograms, ascending, binning);
    if (request.progress)
      request.progress(static_cast<double>(column + 1) / static_cast<double>(rows.width),
                       "histograms counted");
  });
  make_sums_exact(histograms);
  return std::make_shared<BinnedPenalties>(std::move(histograms));
}

}  // namespace

Detector detector() {
  return {"histogram",
          "How rare each feature's value is, by its histogram, added up over the features.",
          "Goldstein & Dengel 2012, Histogram-based Outlier Score (HBOS)",
          parameters(),
          fit,
          BinnedPenalties::load};
}

}  // namespace lanner::engine::histogram
