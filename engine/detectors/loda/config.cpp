// What can be set.
#include <vector>

#include "engine/detectors/loda/fit.hpp"
#include "engine/detectors/loda/loda.hpp"

namespace lanner::engine::loda {
namespace {

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      {"projections",
       Kind::integer,
       "100",
       "How many random projections; more make the score steadier and scoring slower",
       {},
       1,
       10000},
      {"bins",
       Kind::integer,
       "10",
       "Bins of each projection; auto lets a penalised likelihood choose for each",
       {"auto"},
       2,
       4096},
  };
  return table;
}

std::shared_ptr<const Fitted> fit(const FitRequest& request) {
  const Settings& settings = request.settings;
  Projecting projecting;
  projecting.projections = static_cast<std::size_t>(settings.integer("projections"));
  projecting.binning.bins =
      settings.is("bins", "auto") ? 0 : static_cast<std::size_t>(settings.integer("bins"));
  projecting.seed = request.seed;
  return std::make_shared<Model>(learn(request, projecting));
}

}  // namespace

Detector detector() {
  return {"loda",
          "How rare a row is along each of many random directions, on average.",
          "Pevny 2016, Loda: Lightweight on-line detector of anomalies",
          parameters(),
          fit,
          [](const TensorReader& reader, const Settings&) -> std::shared_ptr<const Fitted> {
            return Model::load(reader);
          }};
}

}  // namespace lanner::engine::loda
