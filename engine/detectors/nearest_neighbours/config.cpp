// What can be set, and fitting: it keeps the rows and settles k.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "engine/detectors/nearest_neighbours/model.hpp"
#include "engine/detectors/nearest_neighbours/nearest_neighbours.hpp"
#include "engine/detectors/references.hpp"
#include "kernels/nearest/plan.hpp"

namespace lanner::engine::nearest_neighbours {
namespace {

// A tenth of the rows outlives clusters of anomalies (docs/detectors/nearest_neighbours.md gives figures);
// beyond a thousand neighbours accuracy stands still and only cost grows.
constexpr double automatic_share = 0.1;
constexpr std::size_t automatic_most = 1000;

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      {"k",
       Kind::count_or_share,
       "auto",
       "How many neighbours; a value below 1 is a share of the training rows; auto is a tenth of them, at "
       "most 1000",
       {"auto"},
       1,
       1e6},
      {"distance",
       Kind::word,
       "kth",
       "The distance to the k-th neighbour, or the mean of the distances to all k",
       {"kth", "mean"}},
  };
  return table;
}

std::size_t neighbours_of(const Settings& settings, std::size_t rows) {
  const auto share_of_rows = [&](double share) {
    return static_cast<std::size_t>(std::llround(share * static_cast<double>(rows)));
  };
  std::size_t k = 0;
  if (settings.is("k", "auto")) {
    k = std::min(share_of_rows(automatic_share), automatic_most);
  } else {
    const double given = settings.number("k");
    k = given < 1 ? share_of_rows(given) : static_cast<std::size_t>(given);
  }
  return std::clamp<std::size_t>(k, 1, rows);
}

std::shared_ptr<const Fitted> fit(const FitRequest& request) {
  check_training_rows(request.rows);
  const auto summary =
      request.settings.is("distance", "mean") ? nearest::Summary::mean : nearest::Summary::kth;
  const std::size_t k = neighbours_of(request.settings, request.rows.count);
  nearest::ReferenceSet references = nearest::distinct_rows(request.rows);
  if (request.progress) request.progress(0.1, "rows kept");
  references.plan = nearest::plan_index(references, k);
  if (request.progress) request.progress(1, "searches planned");
  return std::make_shared<Model>(std::move(references), k, summary);
}

}  // namespace

Detector detector() {
  return {"nearest_neighbours",
          "Distance to the nearest training rows: the true neighbours, never approximate ones.",
          "Ramaswamy, Rastogi & Shim 2000 (k-th distance); Angiulli & Pizzuti 2002 (mean distance)",
          parameters(),
          fit,
          [](const TensorReader& reader, const Settings&) -> std::shared_ptr<const Fitted> {
            return Model::load(reader);
          }};
}

}  // namespace lanner::engine::nearest_neighbours
