// Models fitted and scored in a line each.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/model/model.hpp"
#include "tests/engine/detectors/awkward_rows.hpp"

namespace lanner::engine::testing {

using Given = std::map<std::string, std::string>;

inline constexpr double absent = std::numeric_limits<double>::quiet_NaN();

/// Detectors that fit in a moment.
inline Given quick(std::string_view detector, Given given) {
  if (detector == "autoencoder") given.insert({{"hidden", "4,2"}, {"epochs", "3"}});
  return given;
}

inline Schema fields_of(std::size_t width) {
  Schema schema;
  for (std::size_t i = 0; i < width; ++i)
    schema.fields.push_back({std::string("x").append(std::to_string(i))});
  return schema;
}

/// A column for each of the table's, all present.
inline Records records_of(const Table& table) {
  Records records;
  records.count = table.count();
  records.columns.resize(table.width);
  for (std::size_t row = 0; row < table.count(); ++row)
    for (std::size_t column = 0; column < table.width; ++column)
      records.columns[column].numbers.push_back(static_cast<double>(table.rows().row(row)[column]));
  return records;
}

inline FitOptions options_of(std::string detector, const Given& given, std::uint64_t seed = 1) {
  FitOptions options;
  options.settings = quick(detector, given);
  options.detector = std::move(detector);
  options.seed = seed;
  return options;
}

inline std::shared_ptr<const Model> fit(const Records& records, const FitOptions& options) {
  const auto device = Device::cpu();
  return Model::fit(*device, fields_of(records.columns.size()), records, options);
}
inline std::shared_ptr<const Model> fit(const Table& table, const FitOptions& options) {
  return fit(records_of(table), options);
}

/// What the detector learned, as it is saved.
inline std::vector<std::byte> fitted_tensors(const Model& model) {
  TensorWriter writer;
  model.fitted().save(writer);
  return writer.bytes();
}

struct Scored {
  std::vector<float> scores;
  std::vector<double> p_values;
  std::vector<std::uint8_t> extrapolated;

  /// NaN is itself.
  bool operator==(const Scored& other) const {
    if (scores.size() != other.scores.size()) return false;
    for (std::size_t i = 0; i < scores.size(); ++i)
      if (std::bit_cast<std::uint32_t>(scores[i]) != std::bit_cast<std::uint32_t>(other.scores[i]))
        return false;
    return p_values == other.p_values && extrapolated == other.extrapolated;
  }
};

/// Feature rows, as the model's plan makes them.
inline Scored score(const std::shared_ptr<const Model>& model, Rows rows,
                    const std::vector<std::uint8_t>& refused = {}) {
  const auto device = Device::cpu();
  const ModelScorer scorer(model, *device);
  auto workspace = device->array<std::byte>(scorer.workspace_bytes(rows.count));
  Scored out{std::vector<float>(rows.count), std::vector<double>(rows.count),
             std::vector<std::uint8_t>(rows.count, 77)};
  Stream stream = device->stream();
  scorer.score(stream, rows, refused, workspace.span(), out.scores, out.p_values, out.extrapolated);
  return out;
}

inline std::vector<std::string> detector_names() {
  std::vector<std::string> names;
  for (const Detector& detector : catalogue()) names.emplace_back(detector.name);
  return names;
}

}  // namespace lanner::engine::testing
