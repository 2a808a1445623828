// Detectors compared on labelled data sets: fitted on all training rows, labels unused, scored on the test
// rows.
//
// Protocol `adbench` (Han et al. 2022): a set of fewer than 1,000 rows is drawn up to 1,000 with replacement,
// one of more than 10,000 cut to 10,000 without; stratified split, 70 % for training; min-max scaling fitted
// on the training part. `clean` is the same without drawing rows twice, which lets copies of test rows into
// the training part.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/device/device.hpp"

namespace lanner::engine {

struct LabelledSet {
  std::string name;
  std::size_t rows = 0, width = 0;
  std::vector<double> values;  ///< [rows, width] row-major
  std::vector<int> labels;     ///< [rows]; 0: normal
};

/// Row indices; a row may stand more than once.
struct Split {
  std::vector<std::size_t> training, test;
};

enum class Protocol { adbench, clean };
std::optional<Protocol> parse_protocol(std::string_view);

/// The protocol's own seeded split: the same on every machine. Throws std::invalid_argument for fewer than
/// two rows of either class.
Split split(const LabelledSet&, Protocol, std::uint64_t seed);

struct EvaluatedDetector {
  std::string name;
  std::map<std::string, std::string> settings;
};

struct Evaluation {
  std::string set, detector;
  std::string fitted;  ///< the detector itself, where `auto` chose one
  std::uint64_t seed = 0;
  double auc_roc = 0, average_precision = 0;
  double fit_s = 0, score_s = 0;  ///< wall time; scoring excludes the features
};

/// Throws std::invalid_argument where the split names rows that the set doesn't have, or the detector can't
/// be fitted.
Evaluation evaluate(Device&, const LabelledSet&, const Split&, const EvaluatedDetector&, std::uint64_t seed);

}  // namespace lanner::engine
