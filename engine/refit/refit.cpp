#include "engine/refit/refit.hpp"

#include <charconv>
#include <stdexcept>
#include <utility>

namespace lanner::engine {
namespace {

Records slice(const Records& records, std::size_t begin, std::size_t end, std::span<const FieldSpec> fields) {
  Records part;
  part.columns.resize(fields.size());
  for (std::size_t row = begin; row < end; ++row) part.append_row(records, row, fields);
  for (const RowRefusal& refusal : records.refused)
    if (refusal.row >= begin && refusal.row < end)
      part.refused.push_back({static_cast<std::uint32_t>(refusal.row - begin), refusal.reason});
  return part;
}

}  // namespace

FitOptions options_of(const Model& model) {
  const auto& provenance = model.provenance();
  if (const auto imported = provenance.find("imported"); imported != provenance.end())
    throw std::invalid_argument("a model that was imported: " + imported->second);
  FitOptions options;
  options.detector = model.detector().name;
  options.settings = model.settings().values();
  options.features = {model.features().specs().begin(), model.features().specs().end()};
  options.limits = model.features().limits();
  options.name = model.name();
  const auto seed = provenance.find("seed");
  if (seed != provenance.end())
    std::from_chars(seed->second.data(), seed->second.data() + seed->second.size(), options.seed);
  return options;
}

Refitted refit(Device& device, const std::shared_ptr<const Model>& now, const Records& recent,
               const FitOptions& options, Renewed renewed, Progress progress) {
  const Schema& schema = now->features().schema();
  const std::size_t fitted_on = recent.count - recent.count / 5;
  const Records before = slice(recent, 0, fitted_on, schema.fields);
  auto model = renewed == Renewed::fit
                   ? Model::fit(device, schema, before, options, std::move(progress))
                   : now->recalibrated(device, before, options.seed, std::move(progress), options.provenance);
  const Gate gate = compare(device, now, model, before, slice(recent, fitted_on, recent.count, schema.fields),
                            options.seed);
  return {std::move(model), gate};
}

}  // namespace lanner::engine
