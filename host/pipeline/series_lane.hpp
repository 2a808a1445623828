// What scores a stream row by row, in recorded order, from what it knows of the rows before: a field's series
// with no model (field_lane.hpp), or a machine's many metrics by a model (machine_lane.hpp); for each entity.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/calibrate/decide.hpp"
#include "engine/records/records.hpp"
#include "host/batch.hpp"
#include "host/config/config.hpp"
#include "host/pipeline/counters.hpp"
#include "host/pipeline/lane_identity.hpp"
#include "kernels/device/device.hpp"

namespace lanner::host {

/// Where the entities of a lane stand, for whoever asks.
struct SeriesCounters {
  Counter entities, warm, warm_up_rows, evicted;
};

struct SeriesLane : LaneIdentity {
  SeriesLane(LaneIdentity, const StreamConfig&, std::size_t entities_max, std::size_t warm_up);
  virtual ~SeriesLane() = default;

  /// The intake thread's. Marks rows [begin, end) that the records or the lane refuse in refused[0 .. end -
  /// begin), with a reason appended for the latter: "latency_ms: missing".
  void refuse(const engine::Records&, std::size_t begin, std::size_t end, std::span<std::uint8_t> refused,
              std::vector<engine::RowRefusal>& reasons) const;

  /// The scoring thread's, in recorded order: results of rows in these parts of batches, and the flagged
  /// ones' reasons. `refused`: of all these rows. The device is the CPU.
  virtual void score(Stream&, std::span<const BatchPart>, std::span<const std::uint8_t> refused,
                     std::size_t result) const = 0;

  /// What is known of the rows before. Nobody may be using the lane.
  virtual std::vector<std::byte> snapshot() const = 0;
  /// Throws std::invalid_argument for bytes that are not of such a lane, and leaves it as it was.
  virtual void restore(std::span<const std::byte>) const = 0;
  /// Of its decision rule; null: the detector decides.
  virtual engine::Decider* decider() const { return nullptr; }

  std::string stream;
  bool has_entity;
  std::size_t entities_max;
  std::size_t warm_up;  ///< rows of an entity
  std::shared_ptr<SeriesCounters> counters = std::make_shared<SeriesCounters>();

 protected:
  /// Why a row whose entity is fine can't be scored; null: it can.
  virtual const char* obstacle(const engine::Records&, std::size_t row) const = 0;

  /// Tells the log of what happens for the first time, and the counters of all.
  template <class Entities>
  void show(const Entities& known) const {
    say_news(known.entities(), known.warm(), known.evicted());
    counters->warm_up_rows.set(known.warm_up_rows());
  }

 private:
  void say_news(std::size_t entities, std::size_t warm, std::uint64_t evicted) const;
};

/// Of one row; empty where there are none.
std::string_view entity_of(const engine::Records&, std::size_t row);
void put_refused(Scores&, std::size_t row);
/// The field's place in the schema.
std::size_t place_of(const std::string& field, const engine::Schema&);

}  // namespace lanner::host
