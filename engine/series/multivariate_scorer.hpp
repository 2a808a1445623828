// Rows of many machines, scored side by side against one model that is resident on a device. What each
// machine's rows have left behind is its own (MachineState), and small.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/series/multivariate_model.hpp"
#include "kernels/device/device.hpp"
#include "kernels/nearest/nearest.hpp"

namespace lanner::engine {

struct MultivariateScore {
  double score = 0;         ///< in feature units
  bool warming_up = false;  ///< some of the distances in it are of windows that weren't full
};

/// What the next rows of a machine depend on.
class MachineState {
 public:
  explicit MachineState(const MultivariateModel&);

  /// Its rows so far, up to the model's warm_up().
  std::size_t rows() const { return rows_; }

  void save(SnapshotWriter&) const;
  void load(const MultivariateModel&, SnapshotReader&);

 private:
  friend class MultivariateScorer;

  double smoothed(double distance, std::size_t smoothing);

  std::size_t width_;  ///< features
  std::size_t rows_ = 0;
  MachineWindows windows_;
  std::vector<double> recent_;  ///< the last distances, oldest first
  /// [2, smoothing, features]: the features of those rows, oldest first, in the half that counts; in the
  /// other those from before the rows that were pushed last, which these are explained with.
  std::vector<float> kept_;
  std::size_t half_ = 0, kept_rows_[2] = {0, 0};
  bool waits_ = false;  ///< has rows that are being pushed, from first_ to last_
  std::size_t first_ = 0, last_ = 0;
};

struct MachineRow {
  MachineState* machine;
  const double* values;  ///< [metrics]
};

/// The calling thread holds a FloatEnvironment. Not to be used by two threads at once.
class MultivariateScorer {
 public:
  /// The device must outlive it.
  MultivariateScorer(Device&, std::shared_ptr<const MultivariateModel>);

  const MultivariateModel& model() const { return *model_; }

  /// Scores [n] of the rows, each its machine's next. Machines side by side on the device's threads where it
  /// is a CPU; the scores are those of pushing one row after the other, to the bit.
  void push(std::span<const MachineRow> rows, std::span<MultivariateScore> scores);

  /// contributions [metrics], not negative: they add up to the score within 1e-5 of it. Of row `row` of the
  /// last push, whose machines are where they were. Costs a search for each of the last `smoothing` rows.
  void contributions(std::size_t row, std::span<double> contributions);
  /// Likewise of the machine's last row. Throws std::invalid_argument where there is none.
  void contributions(const MachineState&, std::span<double> contributions);

 private:
  std::span<const float> pushed(std::size_t row) const;
  std::span<const float> kept(const MachineState&, std::size_t half, std::size_t i) const;
  void keep(MachineState&);
  void explain(std::span<double> contributions);
  void make_room(std::size_t rows);
  void make_room_to_explain();

  Device* device_;
  std::shared_ptr<const MultivariateModel> model_;
  std::shared_ptr<const nearest::Index> index_;

  // Of the rows being pushed: for each its machine, and which of them are that machine's next and last one.
  std::vector<MachineState*> machines_, waiting_;
  std::vector<std::size_t> next_, before_;

  // Room for so many rows at once, kept for the next ones.
  std::size_t room_ = 0;
  Array<float> features_, distances_;
  Array<std::byte> workspace_;
  Pinned<float> staged_, found_;

  // Of rows that are explained.
  std::vector<const float*> explaining_;  ///< newest first
  Array<float> explained_, explained_distances_;
  Array<std::uint32_t> explained_rows_, explained_taken_, explained_counts_;
  Array<std::byte> explained_workspace_;
  Pinned<float> staged_explained_, found_distances_;
  Pinned<std::uint32_t> found_rows_, found_counts_;
  std::vector<double> split_;
};

}  // namespace lanner::engine
