#include "engine/detectors/standardisation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/arithmetic/scalar.hpp"

namespace lanner::engine {
namespace {

constexpr double constant_deviation = 0.01;

bool is_constant(Rows rows, std::size_t j) {
  for (std::size_t i = 1; i < rows.count; ++i)
    if (rows.row(i)[j] != rows.row(0)[j]) return false;
  return true;
}

float scale_of(double deviation) {
  constexpr double largest = std::numeric_limits<float>::max(), least = std::numeric_limits<float>::min();
  return static_cast<float>(std::clamp(1 / deviation, least, largest));
}

}  // namespace

Moments moments(Rows rows, std::size_t j) {
  const double n = static_cast<double>(rows.count), first = rows.row(0)[j];
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < rows.count; ++i) sum += rows.row(i)[j] - first;
  const double mean = sum / n;
  for (std::size_t i = 0; i < rows.count; ++i) {
    const double d = rows.row(i)[j] - first - mean;
    squares = fma(d, d, squares);
  }
  return {first + mean, std::sqrt(squares / n)};
}

namespace {

// centre: of a feature that is no constant, where it lies and how far values are from there.
template <class Centre>
mlp::Standardisation made_by(Rows rows, float limit, Centre&& centre) {
  mlp::Standardisation input;
  input.limit = limit;
  for (std::size_t j = 0; j < rows.width; ++j) {
    if (is_constant(rows, j)) {
      const float value = rows.row(0)[j];
      input.shift.push_back(value);
      input.scale.push_back(
          scale_of(constant_deviation * (value == 0 ? 1 : std::fabs(static_cast<double>(value)))));
    } else {
      const auto [shift, spread] = centre(j);
      input.shift.push_back(static_cast<float>(shift));
      input.scale.push_back(scale_of(spread));
    }
  }
  return input;
}

}  // namespace

mlp::Standardisation standardisation_of(Rows rows, float limit) {
  return made_by(rows, limit, [&](std::size_t j) {
    const Moments m = moments(rows, j);
    return std::pair(m.mean, m.deviation);
  });
}

mlp::Standardisation absolute_standardisation_of(Rows rows, float limit) {
  std::vector<float> values(rows.count);
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((rows.count - 1) / 2);
  return made_by(rows, limit, [&](std::size_t j) {
    for (std::size_t i = 0; i < rows.count; ++i) values[i] = rows.row(i)[j];
    std::nth_element(values.begin(), middle, values.end());
    const double median = *middle;
    double sum = 0;
    for (std::size_t i = 0; i < rows.count; ++i) sum += std::fabs(rows.row(i)[j] - median);
    return std::pair(median, sum / static_cast<double>(rows.count));
  });
}

mlp::Standardisation standardisation_of(Rows some, Rows all, float limit) {
  mlp::Standardisation input = standardisation_of(some, limit);
  for (std::size_t j : constant_features(some)) {
    float least = all.row(0)[j], most = least;
    for (std::size_t i = 1; i < all.count; ++i) {
      least = std::min(least, all.row(i)[j]);
      most = std::max(most, all.row(i)[j]);
    }
    if (least < most) input.scale[j] = scale_of(static_cast<double>(most) - static_cast<double>(least));
  }
  return input;
}

std::vector<std::size_t> constant_features(Rows rows) {
  std::vector<std::size_t> constants;
  for (std::size_t j = 0; j < rows.width; ++j)
    if (is_constant(rows, j)) constants.push_back(j);
  return constants;
}

void set_apart(mlp::Network& network, const std::vector<std::size_t>& constants) {
  mlp::Layer& first = network.layers.front();
  mlp::Layer& last = network.layers.back();
  for (std::size_t j : constants) {
    for (std::size_t o = 0; o < first.outputs; ++o) first.weight[o * first.inputs + j] = 0;
    for (std::size_t i = 0; i < last.inputs; ++i) last.weight[j * last.inputs + i] = 0;
    last.bias[j] = 0;
  }
}

}  // namespace lanner::engine
