// What can be set, and fitting: it keeps the rows and settles the bandwidth.
#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/detectors/kernel_density/kernel_density.hpp"
#include "engine/detectors/kernel_density/model.hpp"
#include "engine/detectors/references.hpp"
#include "engine/detectors/standardisation.hpp"

namespace lanner::engine::kernel_density {
namespace {

std::span<const Parameter> parameters() {
  static const std::vector<Parameter> table = {
      {"bandwidth",
       Kind::number,
       "scott",
       "Standard deviation of the kernel in every feature, or the rule that sets it: the mean standard "
       "deviation of the "
       "features times n^(-1/(d+4)) (scott) or (n(d+2)/4)^(-1/(d+4)) (silverman)",
       {"scott", "silverman"},
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

double bandwidth_of(const Settings& settings, Rows rows) {
  const double n = static_cast<double>(rows.count), d = static_cast<double>(rows.width);
  double bandwidth = 0;
  if (settings.is("bandwidth", "scott"))
    bandwidth = std::pow(n, -1 / (d + 4)) * scale_of(rows);
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
          "Parzen 1962; bandwidth rules: Scott 1992, Silverman 1986",
          parameters(),
          fit,
          [](const TensorReader& reader, const Settings&) -> std::shared_ptr<const Fitted> {
            return Model::load(reader);
          }};
}

}  // namespace lanner::engine::kernel_density
