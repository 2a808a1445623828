// What a start, or a reload, has to say of a configuration that is right in itself.
#include "engine/model/model.hpp"
#include "engine/series/series_model.hpp"
#include "engine/series/series_settings.hpp"
#include "host/config/config.hpp"
#include "host/endpoint.hpp"

namespace lanner::host {

void refuse_beyond_loopback(const Config& config, std::vector<ConfigError>& faults) {
  const auto check_one = [&](std::string key, const std::string& bind, bool loopback) {
    if (!bind.empty() && !loopback)
      faults.push_back({.key = std::move(key),
                        .found = "'" + bind + "'",
                        .allowed = "only loopback: beyond it keys are required, which this version does not "
                                   "have"});
  };
  const auto key = [](const char* section, std::size_t i) {
    return std::string(section) + "[" + std::to_string(i) + "].zeromq.bind";
  };
  for (std::size_t i = 0; i < config.ingest.size(); ++i)
    check_one(key("ingest", i), config.ingest[i].bind, is_loopback_endpoint(config.ingest[i].bind));
  for (std::size_t i = 0; i < config.publish.size(); ++i)
    check_one(key("publish", i), config.publish[i].bind, is_loopback_endpoint(config.publish[i].bind));
  check_one("api.bind", config.api.bind, is_loopback_host(host_of(config.api.bind)));
}

std::vector<engine::Parameter> fit_settings(std::string_view detector) {
  if (detector == engine::multivariate_name) {
    const auto table = engine::series_model_settings();
    return {table.begin(), table.end()};
  }
  try {
    return engine::all_parameters(detector);
  } catch (const engine::InvalidSettings& unknown) {
    engine::SettingError error = unknown.errors().front();
    error.allowed += ", " + std::string(engine::multivariate_name);
    std::vector<std::string_view> names{engine::multivariate_name};
    if (!error.nearest.empty()) names.push_back(error.nearest);
    error.nearest = std::string(engine::nearest_name(detector, names));
    throw engine::InvalidSettings({error});
  }
}

std::vector<std::string> needs_restart(const Config& now, const Config& next) {
  std::vector<std::string> parts;
  if (now.ingest != next.ingest) parts.emplace_back("ingest");
  if (now.publish != next.publish) parts.emplace_back("publish");
  if (now.results != next.results) parts.emplace_back("results");
  if (now.device != next.device) parts.emplace_back("device");
  if (now.cores != next.cores) parts.emplace_back("cores");
  if (now.api.bind != next.api.bind) parts.emplace_back("api");
  if (now.log.json != next.log.json) parts.emplace_back("log.json");
  return parts;
}

}  // namespace lanner::host
