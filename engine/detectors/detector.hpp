// A detector: how it is fitted, saved, and made to score. Higher scores are more anomalous, always.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model_file/tensors.hpp"
#include "engine/parameters/parameters.hpp"
#include "kernels/device/device.hpp"
#include "kernels/rows.hpp"

namespace lanner::engine {

/// A fitted detector resident on a device: immutable, shared by all slots; each slot brings its own
/// workspace. Rows must have the fitted width and finite values. Raw scores are finite and depend only on the
/// row and what was fitted: not on the batch, the threads, the tier or the backend.
class Scorer {
 public:
  virtual ~Scorer() = default;
  virtual std::size_t width() const = 0;
  virtual std::size_t workspace_bytes(std::size_t rows_max) const = 0;
  /// scores [n]. Allocates nothing. n <= rows_max of the workspace's size.
  virtual void score(Stream&, Rows rows, std::span<std::byte> workspace, std::span<float> scores) const = 0;
  /// The scores of rows that nobody has looked at yet. Whether all values are finite; where not, what
  /// `scores` has is worth nothing. On the cpu backend.
  virtual bool score_if_finite(Stream&, Rows rows, std::span<std::byte> workspace,
                               std::span<float> scores) const;
  /// out [n, width]: base() + the row's sum = the score, within 1e-5 of the sum of the contributions' sizes.
  /// The rule is stated by each detector.
  virtual void contributions(Stream&, Rows rows, std::span<std::byte> workspace, MutableRows out) const = 0;
  virtual float base() const = 0;
};

/// What was learned: plain data, no device.
class Fitted {
 public:
  virtual ~Fitted() = default;
  virtual std::size_t width() const = 0;
  virtual std::unique_ptr<Scorer> resident(Device&) const = 0;
  virtual void save(TensorWriter&) const = 0;
  /// The training rows that the method keeps, each distinct one once; empty where it keeps none, or not as
  /// they were.
  virtual Rows reference_rows() const { return {}; }
  /// Scores of the rows it was fitted on, each scored as if it had not been (leave-one-out), in their order,
  /// where the method can give them cheaply; empty otherwise.
  virtual std::vector<float> leave_one_out_scores(Device&) const { return {}; }
};

/// done in [0, 1], and what is being done.
using Progress = std::function<void(double done, std::string_view what)>;

struct FitRequest {
  Device& device;  ///< of the cpu backend
  Rows rows;       ///< at least 1 row and 1 column, finite
  const Settings& settings;
  std::uint64_t seed = 1;
  Progress progress = {};
  Device* gpu = nullptr;  ///< where to sort and to train, if there is one
  Device& gpu_or_cpu() const { return gpu ? *gpu : device; }
};

/// One line of the catalogue.
struct Detector {
  std::string_view name;     ///< snake_case: nearest_neighbours
  std::string_view summary;  ///< one sentence
  std::string_view paper;    ///< where the method comes from
  std::span<const Parameter> parameters;
  std::shared_ptr<const Fitted> (*fit)(const FitRequest&);
  /// Throws InvalidModel where the tensors are not what save wrote.
  std::shared_ptr<const Fitted> (*load)(const TensorReader&, const Settings&);
};

/// All detectors, one visible line each in catalogue.cpp.
std::span<const Detector> catalogue();
/// nullptr if there is none of that name.
const Detector* find_detector(std::string_view name);

}  // namespace lanner::engine
