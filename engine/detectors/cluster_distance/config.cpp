// What can be set.
#include <vector>

#include "engine/detectors/cluster_distance/cluster_distance.hpp"
#include "engine/detectors/cluster_distance/fit.hpp"
#include "engine/detectors/cluster_distance/model.hpp"

namespace lanner::engine::cluster_distance {
namespace {

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      {"clusters", Kind::integer, "8", "How many clusters the rows are parted into", {}, 1, 10000},
      {"alpha",
       Kind::number,
       "0.85",
       "Share of the rows, 0.5 to 1, that the large clusters hold at least; distances to the others don't "
       "count",
       {},
       0.5,
       1},
      {"beta",
       Kind::number,
       "5",
       "Past that share clusters are large up to one that is this many times the size of the next",
       {},
       1,
       1e9},
      {"runs", Kind::integer, "4", "Clusterings tried, of which the tightest is taken", {}, 1, 1000},
  };
  return table;
}

std::shared_ptr<const Fitted> fit(const FitRequest& request) {
  const Settings& settings = request.settings;
  Clustering clustering;
  clustering.clusters = static_cast<std::size_t>(settings.integer("clusters"));
  clustering.runs = static_cast<std::size_t>(settings.integer("runs"));
  clustering.alpha = settings.number("alpha");
  clustering.beta = settings.number("beta");
  clustering.seed = request.seed;
  return std::make_shared<Model>(large_centres(request, clustering));
}

}  // namespace

Detector detector() {
  return {"cluster_distance",
          "Distance to the centre of the nearest large cluster.",
          "He, Xu & Deng 2003, Discovering cluster-based local outliers (CBLOF); Goldstein & Uchida 2016",
          parameters(),
          fit,
          [](const TensorReader& reader, const Settings&) -> std::shared_ptr<const Fitted> {
            return Model::load(reader);
          }};
}

}  // namespace lanner::engine::cluster_distance
