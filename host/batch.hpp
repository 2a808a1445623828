// What the stages exchange: one batch of events on its way from a source to its acknowledgement.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "engine/records/records.hpp"

namespace lanner::host {

struct Route;  // pipeline/routes.hpp: the models and state of a stream, as they were when the batch was taken
               // in

/// Why an event or a batch did not get a score. Every refusal counts under one of these.
enum class Refusal : std::uint8_t { header, stream, too_large, payload, row, sequence };
inline constexpr std::size_t refusal_kinds = 6;

/// One model's results for a batch, n items each.
struct Scores {
  std::vector<float> score;
  std::vector<double> p_value, threshold;
  std::vector<std::uint8_t> flag, extrapolated;
  bool on_gpu = false;  ///< some of it was scored there
};

/// A row that an active model flagged, and why.
struct Flagged {
  std::uint32_t row = 0;
  std::uint32_t lane = 0;  ///< of the route: which of its results
  std::size_t first = 0;   ///< of its values and contributions, as many as the model has features
  double expected = std::numeric_limits<double>::quiet_NaN();  ///< of a series: the season's; otherwise NaN
};

struct Batch;

/// Rows of a batch: a slot has those of one or several.
struct BatchPart {
  Batch* batch;
  std::size_t begin, count;
};

/// Batches are made at start and used again and again: `clear` keeps the memory, so that the steady path
/// allocates nothing. The frames hold the bytes that dense records borrow, until the batch goes back to its
/// pool.
struct Batch {
  // Where it came from.
  std::uint32_t pool_slot = 0;      ///< its own number
  std::uint64_t order = 0;          ///< of intake; results go out in this order
  std::uint32_t source = 0;         ///< index of the ingest endpoint
  std::uint32_t producer_slot = 0;  ///< the conversation's number for the producer
  std::string producer;
  std::uint64_t seq = 0;
  bool acked = false;    ///< somebody waits for the answer
  bool durable = false;  ///< and the answer waits for the results' sync
  std::uint64_t payload_bytes = 0;
  std::int64_t received_ns = 0;  ///< steady clock

  // What it carries.
  std::vector<zmq::message_t> frames;  ///< payload frames only
  std::size_t frame_count = 0;         ///< of `frames`, in use
  engine::Records records;

  // What became of it.
  std::shared_ptr<Route> route;  ///< null: refused whole, to be settled in its turn
  std::size_t lanes = 0;         ///< of `scores`, in use; 0 while the stream is learning
  /// Rows still to be scored, and one more while it is being staged: whoever takes the last finishes the
  /// batch.
  std::atomic<std::size_t> pending{0};
  std::size_t rows_refused = 0;
  std::vector<Scores> scores;
  std::vector<Flagged> flagged;
  std::vector<float> flagged_values, flagged_contributions;

  std::size_t rows() const { return records.count; }
  /// true: that was the last of what was pending.
  bool done(std::size_t count) { return pending.fetch_sub(count, std::memory_order_acq_rel) == count; }

  /// Empties it, keeping the memory, which comes to about so many bytes.
  std::size_t clear() {
    for (std::size_t i = 0; i < frame_count; ++i) frames[i].rebuild();
    frame_count = 0;
    records.clear();
    route.reset();
    lanes = rows_refused = 0;
    flagged.clear();
    flagged_values.clear();
    flagged_contributions.clear();
    std::size_t bytes = records.time.capacity() * 8;
    for (const auto* columns : {&records.columns, &records.spare})
      for (const engine::Column& column : *columns)
        bytes += sizeof column + column.numbers.capacity() * 8 + column.missing.capacity();
    for (const Scores& model : scores) bytes += model.score.capacity() * 22;
    return bytes + (flagged_values.capacity() + flagged_contributions.capacity()) * 4;
  }
};

}  // namespace lanner::host
