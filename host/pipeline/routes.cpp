#include "host/pipeline/routes.hpp"

#include <algorithm>
#include <exception>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "engine/model_file/tensors.hpp"
#include "engine/refit/refit.hpp"
#include "engine/series/series_model.hpp"
#include "host/pipeline/field_lane.hpp"
#include "host/pipeline/machine_lane.hpp"
#include "kernels/device/error.hpp"

namespace lanner::host {
namespace {

std::vector<int> raw_fields(const engine::FeaturePlan& plan) {
  std::vector<int> fields(plan.width(), -1);
  for (const engine::FeatureSpec& spec : plan.specs()) {
    if (spec.kind != engine::FeatureKind::identity && spec.kind != engine::FeatureKind::log1p) continue;
    const auto columns = plan.column_names();
    const auto column = std::find(columns.begin(), columns.end(), spec.name) - columns.begin();
    const auto& schema = plan.schema().fields;
    const auto field = std::find_if(schema.begin(), schema.end(), [&](const engine::FieldSpec& candidate) {
      return candidate.name == spec.field;
    });
    if (column < static_cast<std::ptrdiff_t>(columns.size()) && field != schema.end())
      fields[static_cast<std::size_t>(column)] = static_cast<int>(field - schema.begin());
  }
  return fields;
}

LaneIdentity identity_of(const StreamConfig& stream, std::string name, Role role,
                         const engine::ModelScorer& scorer, Device& device, const Gpus& gpus) {
  const engine::Model& model = scorer.model();
  const auto columns = model.features().column_names();
  const auto header_on = [&](const Device& on) {
    return ScoresHeader(stream.name, name, model.hash(), lanner::name(on.backend()));
  };
  return {.name = name,
          .role = role,
          .detector = std::string(model.detector().name),
          .hash = model.hash(),
          .rule = engine::describe(stream.decide),
          .features = {columns.begin(), columns.end()},
          .raw_field = raw_fields(model.features()),
          .base = scorer.scorer().base(),
          .header = header_on(device),
          .gpu_header = header_on(gpus.empty() ? device : gpus[0]->device())};
}

std::string field_list(const engine::Schema& schema) {
  constexpr std::size_t shown_max = 8;
  std::string text;
  for (std::size_t i = 0; i < schema.fields.size() && i < shown_max; ++i)
    text += (i ? ", " : "") + schema.fields[i].name;
  if (schema.fields.size() > shown_max) text += fmt::format(", ... ({} in all)", schema.fields.size());
  return text;
}

std::string model_name(const ModelConfig& config) {
  return config.name.empty() ? config.file.stem().string() : config.name;
}

const Lane* find_lane(const Route* route, const std::string& name) {
  if (!route) return nullptr;
  for (const auto& lane : route->lanes)
    if (lane->name == name) return lane.get();
  return nullptr;
}

// A model that is in use already is not loaded into memory twice, nor loses its windows.
std::shared_ptr<const engine::ModelScorer> resident(std::shared_ptr<const engine::Model> model,
                                                    Device& device, const Lane* before) {
  if (before && before->model().hash() == model->hash()) return before->scorer;
  return std::make_shared<engine::ModelScorer>(std::move(model), device);
}

// A GPU that has no room for it leaves it to the others and the CPU.
std::vector<std::shared_ptr<const engine::ModelScorer>> resident_on_gpus(
    const std::shared_ptr<const engine::Model>& model, const Gpus& gpus) {
  std::vector<std::shared_ptr<const engine::ModelScorer>> scorers;
  for (const auto& gpu : gpus) {
    scorers.push_back(nullptr);
    if (!gpu->usable()) continue;
    try {
      scorers.back() = std::make_shared<engine::ModelScorer>(model, gpu->device());
    } catch (const DeviceError& error) {
      spdlog::error("{}: {}: {}", gpu->device().description(), model->name(), error.what());
      gpu->failed(error);
    }
  }
  return scorers;
}

std::shared_ptr<Route> new_route(const StreamConfig& config, StreamCounterTable& counters) {
  auto route = std::make_shared<Route>();
  route->stream = config.name;
  route->scores_topic = "scores." + config.name;
  route->alerts_topic = "alerts." + config.name;
  route->config = config;
  route->schema = config.schema;
  route->needs_time = std::holds_alternative<engine::FalseAlarmsPerDay>(config.decide);
  route->counters = counters.of(config.name);
  return route;
}

// A stream that declares no fields has those of its model, which also knows the names that aren't declared.
void adopt(engine::Schema& schema, const engine::Schema& fitted) {
  schema.fields = fitted.fields;
  if (schema.entity.empty()) schema.entity = fitted.entity;
  if (schema.time.empty()) schema.time = fitted.time;
  if (schema.id.empty()) schema.id = fitted.id;
}

bool same_learning(const StreamConfig& a, const StreamConfig& b) {
  return a.schema == b.schema && a.features == b.features && a.limits == b.limits &&
         a.learn->rows == b.learn->rows && a.learn->for_ns == b.learn->for_ns &&
         a.learn->fit.detector == b.learn->fit.detector && a.learn->fit.settings == b.learn->fit.settings &&
         a.learn->fit.seed == b.learn->fit.seed && a.learn->save == b.learn->save &&
         a.learn->name == b.learn->name && a.learn->refit == b.learn->refit;
}

std::shared_ptr<Refitting> new_refitting(const Route& route) {
  if (!route.config.learn || !route.config.learn->refit || route.lanes.empty()) return nullptr;
  return std::make_shared<Refitting>(*route.config.learn->refit, fit_options(route.config),
                                     route.config.learn->save, route.schema,
                                     route.lanes.front()->model().features().has_windows());
}

/// Of a refitted model's provenance: the hash of the file that was given, which it is of.
constexpr const char* refit_of = "refit_of";

bool is_refit_of(const engine::Model& model, const engine::Model& given) {
  const auto found = model.provenance().find(refit_of);
  return found != model.provenance().end() && found->second == given.hash();
}

/// The model to work with: the newest refit of the one given, if there is any; what was given since goes
/// before.
std::shared_ptr<const engine::Model> newest(std::shared_ptr<const engine::Model> given,
                                            const ModelConfig& config, const Lane* before) {
  if (!config.refit) return given;
  if (before && is_refit_of(before->model(), *given)) return before->scorer->model_pointer();
  if (config.refit_save.empty() || !std::filesystem::exists(config.refit_save)) return given;
  auto kept = engine::Model::load(config.refit_save);
  if (!is_refit_of(*kept, *given)) {
    spdlog::info("{}: not a refit of {}, which goes before it", config.refit_save.string(),
                 config.file.string());
    return given;
  }
  return kept;
}

/// Null where it can't be, with a fault.
std::shared_ptr<Refitting> new_refitting(const ModelConfig& config, const engine::Model& given,
                                         const Route& route,
                                         const std::function<void(std::string, std::string)>& fault) {
  if (config.refit->on_drift != OnDrift::say && !given.drift()) {
    fault(config.file.string() + ", whose data can't be watched for drift",
          "a model with calibration rows enough to, or `every` alone");
    return nullptr;
  }
  try {
    engine::FitOptions options = engine::options_of(given);
    options.provenance[refit_of] = given.hash();
    return std::make_shared<Refitting>(*config.refit, std::move(options), config.refit_save, route.schema,
                                       given.features().has_windows());
  } catch (const std::invalid_argument& error) {
    fault(config.file.string() + ", " + error.what(), "a model that `lanner fit` or `learn` made");
    return nullptr;
  }
}

/// Events that are recent go on being collected where the same is to be made of them.
bool same_refitting(const Refitting& a, const Refitting& b) {
  return a.config() == b.config() && a.save() == b.save() &&
         a.options().provenance == b.options().provenance && a.options().provenance.contains(refit_of);
}

// No feature reads it, so that a stream whose features are declared doesn't know the field yet.
void adopt_segment(engine::Schema& schema, const engine::Model& model) {
  if (!model.segments()) return;
  const std::string& field = model.segments()->segments.field();
  const auto named = [&](const engine::FieldSpec& spec) { return spec.name == field; };
  if (field != schema.entity && std::ranges::none_of(schema.fields, named))
    schema.fields.push_back({field, engine::ColumnKind::text});
}

// A model brings the features that it was fitted with: what the stream declares must be these, not ignored.
bool has_features_of(const engine::Model& model, const std::filesystem::path& file,
                     const StreamConfig& stream, std::vector<ConfigError>& faults) {
  if (stream.features.empty()) return true;
  std::vector<engine::FeatureSpec> declared = stream.features;
  for (engine::FeatureSpec& spec : declared)  // as the fit fills it in
    if (spec.scale == engine::Scale::none) spec.scale = *engine::parse_scale(model.settings().word("scale"));
  const auto fitted = model.features().specs();
  const auto [differs, of_model] = std::ranges::mismatch(declared, fitted);
  if (differs == declared.end() && of_model == fitted.end()) return true;
  const std::string& first = differs != declared.end() ? differs->name : of_model->name;
  faults.push_back(
      {.key = "streams." + stream.name + ".features",
       .found = fmt::format("features other than those that {} was fitted with (the first: '{}')",
                            file.string(), first),
       .allowed = stream.models.empty() ? "the model's own (remove the file to learn again)"
                                        : "the model's own: fit it again, or remove `features`"});
  return false;
}

const SeriesLane* find_series(const Route* route, const std::string& name) {
  if (!route) return nullptr;
  for (const auto& lane : route->series)
    if (lane->name == name) return lane.get();
  return nullptr;
}

void add_series(Route& route, const Route* before) {
  const SeriesConfig& config = *route.config.series;
  // Seasons are told by the time, where the stream says that it has one.
  route.needs_time = !route.schema.time.empty();
  for (const std::string& value : config.values)
    route.series.push_back(std::make_shared<FieldLane>(route.config, value, find_series(before, value)));
}

/// Null: it is something else.
std::shared_ptr<const engine::SeriesModel> load_series(const std::filesystem::path& file) {
  if (!engine::is_series_model(engine::read_file(file))) return nullptr;
  return engine::SeriesModel::load(file);
}

void add_models(Route& route, const Route* before, Device& device, std::vector<ConfigError>& faults,
                const Gpus& gpus) {
  std::vector<ModelConfig> models = route.config.models;
  const auto& learn = route.config.learn;
  // What was learned in an earlier run is not learned again.
  if (models.empty() && learn && !learn->save.empty() && std::filesystem::exists(learn->save)) {
    models.push_back(
        {learn->save, learn->name.empty() ? route.stream : learn->name, Role::active, std::nullopt});
  }
  for (std::size_t i = 0; i < models.size(); ++i) {
    const ModelConfig& config = models[i];
    const std::string name = model_name(config);
    const std::string stream_key = "streams." + route.stream;
    const auto fault = [&](std::string found, std::string allowed) {
      const std::string key =
          route.config.models.empty() ? ".learn.save" : fmt::format(".models[{}].file", i);
      faults.push_back({.key = stream_key + key, .found = std::move(found), .allowed = std::move(allowed)});
    };
    const auto refit_fault = [&](std::string found, std::string allowed) {
      faults.push_back({.key = fmt::format("{}.models[{}].refit", stream_key, i),
                        .found = std::move(found),
                        .allowed = std::move(allowed)});
    };
    // The first model's where the stream declares none.
    const auto takes_fields_of = [&](const engine::Schema& fitted) {
      if (route.schema.fields == fitted.fields) return true;
      fault(fmt::format("{}, a model of the fields {}", config.file.string(), field_list(fitted)),
            "a model of the stream's fields, " + field_list(route.schema));
      return false;
    };
    try {
      if (auto series = load_series(config.file)) {
        if (!route.config.features.empty()) {
          faults.push_back({.key = stream_key + ".features",
                            .found = "features beside " + config.file.string() + ", a model of series",
                            .allowed = "none: its metrics are the fields as they are"});
          continue;
        }
        if (config.refit) {
          refit_fault(config.file.string() + ", a model of series", "a model of rows");
          continue;
        }
        if (route.schema.fields.empty()) adopt(route.schema, series->schema());
        if (!takes_fields_of(series->schema())) continue;
        StreamConfig stream = route.config;
        stream.schema = route.schema;
        route.series.push_back(std::make_shared<MachineLane>(stream, name, config.role, std::move(series),
                                                             device, find_series(before, name)));
        continue;
      }
      const Lane* lane_before = find_lane(before, name);
      const std::shared_ptr<const engine::Model> given = engine::Model::load(config.file);
      auto model = newest(given, config, lane_before);
      const engine::Schema& fitted = model->features().schema();
      if (!has_features_of(*model, config.file, route.config, faults)) continue;
      if (route.schema.fields.empty()) adopt(route.schema, fitted);
      if (route.lanes.empty()) adopt_segment(route.schema, *model);
      if (!takes_fields_of(fitted)) continue;
      if (config.refit) {
        route.refitted = route.lanes.size();
        route.refitting = new_refitting(config, *given, route, refit_fault);
        if (before && before->refitting && route.refitting &&
            same_refitting(*before->refitting, *route.refitting))
          route.refitting = before->refitting;
      }
      route.lanes.push_back(std::make_shared<Lane>(route.config, name, config.role,
                                                   resident(std::move(model), device, lane_before), device,
                                                   lane_before, gpus));
    } catch (const std::exception& error) {
      fault(error.what(), "a model that can be loaded");
    }
  }
}

}  // namespace

Lane::Lane(const StreamConfig& stream, std::string lane_name, Role lane_role,
           std::shared_ptr<const engine::ModelScorer> resident_scorer, Device& device, const Lane* before,
           const Gpus& gpus)
    : LaneIdentity(identity_of(stream, std::move(lane_name), lane_role, *resident_scorer, device, gpus)),
      scorer(std::move(resident_scorer)),
      least_p_value(scorer->model().least_p_value()) {
  const bool same_model = before && before->scorer == scorer;
  state = same_model ? before->state
          : scorer->model().features().has_windows()
              ? std::shared_ptr<engine::FeatureState>(scorer->model().features().make_state())
              : nullptr;
  on_gpu = same_model ? before->on_gpu : resident_on_gpus(scorer->model_pointer(), gpus);
  decider =
      before && before->rule == rule ? before->decider : std::make_shared<engine::Decider>(stream.decide);
  if (stream.watch_drift && scorer->model().drift())
    drift = same_model && before->drift ? before->drift : std::make_shared<Drift>(scorer->model());
}

std::size_t Route::width() const {
  std::size_t sum = 0;
  for (const auto& lane : lanes) sum += lane->width();
  return sum;
}

Routes build_routes(const Config& config, Device& device, StreamCounterTable& counters, const Routes& before,
                    std::vector<ConfigError>& faults, const Gpus& gpus) {
  Routes routes;
  for (const StreamConfig& stream : config.streams) {
    const auto found = before.find(stream.name);
    const Route* route_before = found == before.end() ? nullptr : found->second.get();
    auto route = new_route(stream, counters);
    add_models(*route, route_before, device, faults, gpus);
    if (stream.series) {
      add_series(*route, route_before);
    } else if (route->results() == 0 && stream.models.empty()) {
      if (!stream.learn) {
        faults.push_back({.key = "streams." + stream.name,
                          .found = "neither models nor learn nor series",
                          .allowed = "one of them"});
      } else if (route_before && route_before->config.learn && same_learning(stream, route_before->config)) {
        // What it is learning goes on, and what it has learned stays.
        route->learning = route_before->learning;
        for (const auto& lane : route_before->lanes)
          route->lanes.push_back(
              std::make_shared<Lane>(stream, lane->name, lane->role, lane->scorer, device, lane.get(), gpus));
      } else {
        route->learning = std::make_shared<Learning>(stream);
      }
      route->counters->learn_target.set(stream.learn ? stream.learn->rows : 0);
    }
    const bool goes_on = route_before && route_before->refitting && stream.learn &&
                         same_learning(stream, route_before->config);
    if (goes_on) {
      route->refitting = route_before->refitting;
    } else if (stream.learn) {
      route->refitting = new_refitting(*route);
    }
    routes.emplace(stream.name, std::move(route));
  }
  return routes;
}

Routes with_learned(const Routes& before, const std::string& stream, const Learning& learning,
                    std::shared_ptr<const engine::Model> model, std::shared_ptr<engine::FeatureState> state,
                    Device& device, const Gpus& gpus) {
  Routes routes = before;
  const auto found = routes.find(stream);
  // The stream may have been reconfigured while its model was being fitted.
  if (found == routes.end() || found->second->learning.get() != &learning) return routes;
  auto route = std::make_shared<Route>(*found->second);
  auto lane = std::make_shared<Lane>(route->config, learning.model_name(), Role::active,
                                     std::make_shared<engine::ModelScorer>(std::move(model), device), device,
                                     nullptr, gpus);
  if (state) lane->state = std::move(state);
  route->lanes = {std::move(lane)};
  route->costs = std::make_shared<CostModel>();
  route->learning.reset();
  route->refitting = new_refitting(*route);
  found->second = std::move(route);
  return routes;
}

std::optional<Routes> with_refitted(const Routes& before, const std::string& stream,
                                    const Refitting& refitting, const engine::Model& now,
                                    std::shared_ptr<const engine::Model> next, Device& device,
                                    const Gpus& gpus) {
  Routes routes = before;
  const auto found = routes.find(stream);
  if (found == routes.end() || found->second->refitting.get() != &refitting) return std::nullopt;
  auto route = std::make_shared<Route>(*found->second);
  std::shared_ptr<Lane>& replaced = route->lanes.at(route->refitted);
  if (replaced->model().hash() != now.hash()) return std::nullopt;
  auto lane = std::make_shared<Lane>(route->config, replaced->name, replaced->role,
                                     std::make_shared<engine::ModelScorer>(std::move(next), device), device,
                                     replaced.get(), gpus);
  lane->state = replaced->state;  // the same windows
  replaced = std::move(lane);
  route->costs = std::make_shared<CostModel>();
  found->second = std::move(route);
  return routes;
}

Routes with_new_learning(const Routes& before, const std::string& stream, const Learning& failed) {
  Routes routes = before;
  const auto found = routes.find(stream);
  if (found == routes.end() || found->second->learning.get() != &failed) return routes;
  auto route = std::make_shared<Route>(*found->second);
  route->learning = failed.again();
  found->second = std::move(route);
  return routes;
}

}  // namespace lanner::host
