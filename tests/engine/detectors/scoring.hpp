// Fits and scores in one line each, for the detectors' own tests.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/detectors/detector.hpp"
#include "tests/engine/detectors/awkward_rows.hpp"

namespace lanner::engine::testing {

inline std::shared_ptr<const Fitted> fitted(std::string_view detector,
                                            const std::map<std::string, std::string>& given,
                                            const Table& training) {
  const auto device = Device::cpu();
  const Detector& found = *find_detector(detector);
  const Settings settings = Settings::parse(found.parameters, given);
  return found.fit({*device, training.rows(), settings, 1, {}});
}

inline std::vector<float> scores(const Fitted& model, const Table& queries) {
  const auto device = Device::cpu();
  const auto scorer = model.resident(*device);
  auto workspace = device->array<std::byte>(scorer->workspace_bytes(queries.count()));
  std::vector<float> all(queries.count());
  Stream stream = device->stream();
  scorer->score(stream, queries.rows(), workspace.span(), all);
  return all;
}

inline std::vector<float> leave_one_out(const Fitted& model) {
  return model.leave_one_out_scores(*Device::cpu());
}

inline Table contributions(const Fitted& model, const Table& queries) {
  const auto device = Device::cpu();
  const auto scorer = model.resident(*device);
  auto workspace = device->array<std::byte>(scorer->workspace_bytes(queries.count()));
  Table parts(queries.width);
  parts.values.resize(queries.values.size());
  Stream stream = device->stream();
  scorer->contributions(stream, queries.rows(), workspace.span(),
                        {parts.values.data(), queries.count(), queries.width, queries.width});
  return parts;
}

/// Without row i.
inline Table without(const Table& table, std::size_t i) {
  Table rest(table.width);
  rest.append(table.rows().slice(0, i));
  rest.append(table.rows().slice(i + 1, table.count()));
  return rest;
}

}  // namespace lanner::engine::testing
