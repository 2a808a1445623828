// A series for each entity: the detectors of one quantity of many hosts, customers, sensors, all with the
// same parameters.
//
// Bounded: of entities beyond the most allowed, those whose last row is longest ago, in the order in which
// rows came, make way; what comes of them later is a new series. Rows without a value are as if they had
// never been, so no order of them changes which entities are held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/series/entity_table.hpp"
#include "engine/series/series_detector.hpp"
#include "kernels/device/device.hpp"

namespace lanner::engine {

struct SeriesRow {
  std::string_view entity;
  std::int64_t time_ns = 0;
  double value = 0;
};

/// The calling thread holds a FloatEnvironment. Not to be used by two threads at once.
class SeriesByEntity {
 public:
  /// Throws as SeriesDetector.
  explicit SeriesByEntity(const SeriesParameters&);
  SeriesByEntity(SeriesByEntity&&) = default;
  SeriesByEntity& operator=(SeriesByEntity&&) = default;

  /// The next row of this entity's series, as SeriesDetector::push. entities_max: at least 1.
  SeriesScore push(const SeriesRow&, std::size_t entities_max);
  /// The same of rows in the order they came, to the bit; entities side by side, on the threads of the
  /// stream's device, which is a CPU. scores [rows.size()].
  void push_rows(Stream&, std::span<const SeriesRow> rows, std::size_t entities_max,
                 std::span<SeriesScore> scores);

  const SeriesParameters& parameters() const { return parameters_; }
  std::size_t entities() const { return table_.size(); }
  std::size_t warm() const { return warm_; }                    ///< entities whose warm-up is over
  std::uint64_t warm_up_rows() const { return warm_up_rows_; }  ///< learned from, of the entities held
  std::uint64_t evicted() const { return table_.evicted(); }    ///< entities that made way; not in a snapshot

  std::vector<std::byte> snapshot() const;
  /// Goes on where the other was. Throws std::invalid_argument for bytes that are no snapshot of one with the
  /// same parameters, and leaves the state as it was.
  void restore(std::span<const std::byte>);

 private:
  struct Series {
    SeriesDetector detector;
    std::size_t counted = 0;  ///< of its warm-up's rows, in warm_up_rows_
    bool waits = false;       ///< has rows in waiting_, from first to last
    std::size_t first = 0, last = 0;
  };

  Series& seen(std::string_view entity, std::size_t entities_max);
  void count(Series&);
  void let_go();

  SeriesParameters parameters_;
  EntityTable<Series> table_;
  // Of the rows being pushed: whose they are, and for each the entity's next.
  std::vector<Series*> waiting_;
  std::vector<std::size_t> next_;
  std::size_t warm_ = 0;
  std::uint64_t warm_up_rows_ = 0;
};

}  // namespace lanner::engine
