// What can be set, and fitting: it keeps the rows and settles the bandwidth.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "engine/detectors/kernel_density/kernel_density.hpp"
#include "engine/detectors/kernel_density/model.hpp"
#include "engine/detectors/references.hpp"
#include "engine/detectors/samples.hpp"
#include "engine/detectors/standardisation.hpp"
#include "kernels/arithmetic/scalar.hpp"
#include "kernels/mlp/random.hpp"

namespace lanner::engine::kernel_density {
namespace {

constexpr std::size_t paired_max = 256;  ///< rows that the median distance is taken among

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      {"bandwidth",
       Kind::number,
       "median",
       "Standard deviation of the kernel in every feature, or the rule that sets it: half the median "
       "distance "
       "between two training rows (median), or the mean standard deviation of the features times "
       "n^(-1/(d+4)) "
       "(scott) or (n(d+2)/4)^(-1/(d+4)) (silverman)",
       {"median", "scott", "silverman"},
       bandwidth_least,
       bandwidth_most},
  };
  return table;
}

double mean_deviation(Rows rows) {
  double total = 0;
  for (std::size_t j = 0; j < rows.width; ++j) total += moments(rows, j).deviation;
  return total / static_cast<double>(rows.width);
}

// Where all rows are the same there is no deviation; their mean size, or else 1, stands in, so that a value
// never seen still lowers the density.
double scale_of(Rows rows) {
  if (const double deviation = mean_deviation(rows); deviation > 0) return deviation;
  double size = 0;
  for (std::size_t j = 0; j < rows.width; ++j) size += std::fabs(static_cast<double>(rows.row(0)[j]));
  return size > 0 ? size / static_cast<double>(rows.width) : 1;
}

double scott(Rows rows) {
  return std::pow(static_cast<double>(rows.count), -1 / (static_cast<double>(rows.width) + 4)) *
         scale_of(rows);
}

// Among a few hundred rows, always the same draw: half a percent either way moves no score that matters.
double median_distance(Rows rows) {
  mlp::Random random(1);
  std::vector<std::uint32_t> drawn(rows.count);
  std::iota(drawn.begin(), drawn.end(), 0u);
  if (rows.count > paired_max) drawn = drawn_rows(rows.count, paired_max, random);
  std::vector<double> squared;
  for (std::size_t a = 0; a < drawn.size(); ++a)
    for (std::size_t b = 0; b < a; ++b) {
      double sum = 0;
      for (std::size_t j = 0; j < rows.width; ++j) {
        const double d =
            static_cast<double>(rows.row(drawn[a])[j]) - static_cast<double>(rows.row(drawn[b])[j]);
        sum = fma(d, d, sum);
      }
      squared.push_back(sum);
    }
  if (squared.empty()) return 0;
  const auto middle = squared.begin() + static_cast<std::ptrdiff_t>(squared.size() / 2);
  std::nth_element(squared.begin(), middle, squared.end());
  return std::sqrt(*middle);
}

double bandwidth_of(const Settings& settings, Rows rows) {
  const double n = static_cast<double>(rows.count), d = static_cast<double>(rows.width);
  double bandwidth = 0;
  if (settings.is("bandwidth", "median")) {
    const double distance = median_distance(rows);
    bandwidth = distance > 0 ? distance / 2 : scott(rows);  // more than half of the pairs may be the same
  } else if (settings.is("bandwidth", "scott"))
    bandwidth = scott(rows);
  else if (settings.is("bandwidth", "silverman"))
    bandwidth = std::pow(n * (d + 2) / 4, -1 / (d + 4)) * scale_of(rows);
  else
    bandwidth = settings.number("bandwidth");
  return std::clamp(bandwidth, bandwidth_least, bandwidth_most);
}

std::shared_ptr<const Fitted> fit(const FitRequest& request) {
  check_training_rows(request.rows);
  const double bandwidth = bandwidth_of(request.settings, request.rows);
  auto model = std::make_shared<Model>(nearest::distinct_rows(request.rows), bandwidth);
  if (request.progress) request.progress(1, "bandwidth set");
  return model;
}

}  // namespace

Detector detector() {
  return {"kernel_density",
          "Minus the log of a Gaussian kernel density over the training rows.",
          "Parzen 1962; bandwidth rules: Garreau, Jitkrittum & Kanagawa 2017 (median), Scott 1992, Silverman "
          "1986",
          parameters(),
          fit,
          [](const TensorReader& reader, const Settings&) -> std::shared_ptr<const Fitted> {
            return Model::load(reader);
          }};
}

}  // namespace lanner::engine::kernel_density
