// The machines of one model, an entity each: their windows, and one scorer for all of them.
//
// Bounded as SeriesByEntity is: what makes way begins anew with its next row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "engine/series/entity_table.hpp"
#include "engine/series/multivariate_scorer.hpp"
#include "kernels/device/device.hpp"

namespace lanner::engine {

struct EntityRow {
  std::string_view entity;
  const double* values;  ///< [metrics]
};

/// The calling thread holds a FloatEnvironment. Not to be used by two threads at once.
class MultivariateByEntity {
 public:
  /// The device must outlive it.
  MultivariateByEntity(Device&, std::shared_ptr<const MultivariateModel>);

  const MultivariateModel& model() const { return scorer_.model(); }

  /// Scores [n] of rows in the order they came: those of a detector for each entity, to the bit, however they
  /// are cut into pushes. entities_max: at least 1.
  void push_rows(std::span<const EntityRow> rows, std::size_t entities_max,
                 std::span<MultivariateScore> scores);
  /// As MultivariateScorer: of row `row` of the last push.
  void contributions(std::size_t row, std::span<double> contributions) {
    scorer_.contributions(row, contributions);
  }

  std::size_t entities() const { return table_.size(); }
  std::size_t warm() const { return warm_; }                    ///< entities whose warm-up is over
  std::uint64_t warm_up_rows() const { return warm_up_rows_; }  ///< that have passed, of the entities held
  std::uint64_t evicted() const { return table_.evicted(); }    ///< entities that made way; not in a snapshot

  std::vector<std::byte> snapshot() const;
  /// Goes on where the other was. Throws std::invalid_argument for bytes that are no snapshot of one with the
  /// same model, and leaves the state as it was.
  void restore(std::span<const std::byte>);

 private:
  struct Machine {
    MachineState state;
    std::size_t counted = 0;  ///< of its rows, in warm_up_rows_
  };
  void count(Machine&);

  MultivariateScorer scorer_;
  EntityTable<Machine> table_;
  std::vector<MachineRow> rows_;
  std::vector<Machine*> pushed_;  ///< [n] whose the rows are
  std::size_t warm_ = 0;
  std::uint64_t warm_up_rows_ = 0;
};

}  // namespace lanner::engine
