// Routes: for each stream its models, resident and with their state. A snapshot is immutable in its
// structure; the next one replaces it between two batches, and shares with it whatever didn't change.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/calibrate/decide.hpp"
#include "engine/model/model.hpp"
#include "host/config/config.hpp"
#include "host/pipeline/counters.hpp"
#include "host/pipeline/drift.hpp"
#include "host/pipeline/gpu.hpp"
#include "host/pipeline/lane_identity.hpp"
#include "host/pipeline/learning.hpp"
#include "host/pipeline/refitting.hpp"
#include "host/pipeline/series_lane.hpp"

namespace lanner::host {

/// One model at work on one stream.
struct Lane : LaneIdentity {
  Lane(const StreamConfig&, std::string name, Role, std::shared_ptr<const engine::ModelScorer>, Device&,
       const Lane* before, const Gpus& = {});

  std::shared_ptr<const engine::ModelScorer> scorer;
  std::shared_ptr<engine::FeatureState> state;  ///< the intake thread's; null where no feature has a window
  /// The scoring thread's. It stays where a model takes another's place: budgets are the stream's.
  std::shared_ptr<engine::Decider> decider;
  double least_p_value;
  std::shared_ptr<Drift> drift;  ///< likewise; null where nothing is watched
  /// One a GPU: the same model there; null where it couldn't be made. `scorer` is the CPU's: it scores what a
  /// GPU doesn't, and explains.
  std::vector<std::shared_ptr<const engine::ModelScorer>> on_gpu;

  const engine::Model& model() const { return scorer->model(); }
  std::size_t width() const { return model().features().width(); }
};

struct Route {
  std::string stream, scores_topic, alerts_topic;
  StreamConfig config;
  engine::Schema schema;
  bool needs_time = false;  ///< for its decision rule
  /// A batch has a result of each, in this order: of models of rows, and of series.
  std::vector<std::shared_ptr<Lane>> lanes;
  std::vector<std::shared_ptr<SeriesLane>> series;
  /// The scoring thread's: what its models cost. A change of models begins anew.
  std::shared_ptr<CostModel> costs = std::make_shared<CostModel>();
  std::shared_ptr<Learning> learning;    ///< where there is no model yet
  std::shared_ptr<Refitting> refitting;  ///< where a model is fitted again
  std::size_t refitted = 0;              ///< which of the lanes
  std::shared_ptr<StreamCounters> counters;

  std::size_t width() const;  ///< of all lanes together
  std::size_t results() const { return lanes.size() + series.size(); }
  const LaneIdentity& identity(std::size_t result) const {
    if (result < lanes.size()) return *lanes[result];
    return *series[result - lanes.size()];
  }
};

using Routes = std::map<std::string, std::shared_ptr<Route>, std::less<>>;

/// Loads the models that `before` doesn't have already. Faults are appended, not yet located; the result
/// means something only if there are none.
Routes build_routes(const Config&, Device&, StreamCounterTable&, const Routes& before,
                    std::vector<ConfigError>& faults, const Gpus& = {});

/// The same routes, with a model that was learned in place of the learning.
Routes with_learned(const Routes& before, const std::string& stream, const Learning&,
                    std::shared_ptr<const engine::Model>, std::shared_ptr<engine::FeatureState>, Device&,
                    const Gpus& = {});
/// The same routes, with a refitted model in place of `now`, whose windows and decisions go on. Nothing where
/// that is no longer at work.
std::optional<Routes> with_refitted(const Routes& before, const std::string& stream, const Refitting&,
                                    const engine::Model& now, std::shared_ptr<const engine::Model> next,
                                    Device&, const Gpus& gpus = {});
/// The same routes, with a learning that failed begun anew.
Routes with_new_learning(const Routes& before, const std::string& stream, const Learning& failed);

}  // namespace lanner::host
