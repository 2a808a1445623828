#include "engine/detectors/loda/fit.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "engine/detectors/binned_penalties.hpp"
#include "engine/detectors/normal_numbers.hpp"
#include "engine/detectors/references.hpp"
#include "engine/detectors/standardisation.hpp"
#include "kernels/arithmetic/elementary.hpp"
#include "kernels/mlp/random.hpp"
#include "kernels/sort/sort.hpp"

namespace lanner::engine::loda {
namespace {

constexpr float limit = 1e9f;  // deviations

mlp::Network drawn_projections(Rows rows, const Projecting& projecting) {
  const std::vector<std::size_t> constants = constant_features(rows);
  std::vector<std::size_t> varying;
  for (std::size_t j = 0; j < rows.width; ++j)
    if (!std::binary_search(constants.begin(), constants.end(), j)) varying.push_back(j);
  const std::size_t random_ones = varying.empty() ? 0 : projecting.projections;
  const auto used = static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(varying.size()))));

  mlp::Layer layer{rows.width, random_ones + constants.size(), {}, {}, mlp::Activation::identity};
  layer.weight.resize(layer.outputs * layer.inputs);
  layer.bias.resize(layer.outputs);
  mlp::Random random(projecting.seed);
  NormalNumbers normal(random);
  for (std::size_t p = 0; p < random_ones; ++p)
    for (std::size_t u = 0; u < used; ++u) {
      std::swap(varying[u], varying[u + random.below(varying.size() - u)]);
      layer.weight[p * rows.width + varying[u]] = normal.next();
    }
  for (std::size_t c = 0; c < constants.size(); ++c)
    layer.weight[(random_ones + c) * rows.width + constants[c]] = 1;
  return {{std::move(layer)}, standardisation_of(rows, limit)};
}

mlp::Network part_of(const mlp::Network& network, std::size_t begin, std::size_t end) {
  const mlp::Layer& layer = network.layers.front();
  const auto weights = [&](std::size_t output) {
    return layer.weight.begin() + static_cast<std::ptrdiff_t>(output * layer.inputs);
  };
  mlp::Layer part{layer.inputs, end - begin, {weights(begin), weights(end)}, {}, layer.activation};
  part.bias.resize(part.outputs);
  return {{std::move(part)}, network.input};
}

}  // namespace

std::shared_ptr<const Learned> learn(const FitRequest& request, const Projecting& projecting) {
  check_training_rows(request.rows);
  const Rows rows = request.rows;
  auto learned = std::make_shared<Learned>();
  learned->projections = drawn_projections(rows, projecting);
  density::Histograms& tables = learned->tables;
  tables.edge_begin = {0};
  tables.penalty_begin = {0};

  // An output's chain is its own: some projections at a time give the bits that all together give.
  constexpr std::size_t together = 16;
  const std::size_t projections = learned->projections.outputs();
  std::vector<float> projected;
  Stream stream = request.device.stream();
  for (std::size_t begin = 0; begin < projections; begin += together) {
    const std::size_t count = std::min(together, projections - begin);
    const auto network =
        mlp::make_resident(request.device, part_of(learned->projections, begin, begin + count));
    auto workspace = request.device.array<std::byte>(network->workspace_bytes(rows.count));
    projected.resize(rows.count * count);
    const MutableRows out = {projected.data(), rows.count, count, count};
    mlp::forward(stream, *network, rows, workspace.span(), out);
    sort::sort_columns(request.gpu_or_cpu(), out, [&](std::size_t, std::span<const float> ascending) {
      append_feature(tables, ascending, projecting.binning);
    });
    if (request.progress)
      request.progress(static_cast<double>(begin + count) / static_cast<double>(projections),
                       "projections counted");
  }
  for (float& penalty : tables.penalties) penalty /= static_cast<float>(projections);
  make_sums_exact(tables);
  return learned;
}

}  // namespace lanner::engine::loda
