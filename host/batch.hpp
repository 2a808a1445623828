// What the stages exchange: one batch of events on its way from a source to its acknowledgement.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "engine/records/records.hpp"
#include "host/decode/decode.hpp"

namespace lanner::host {

struct Route;  // pipeline/routes.hpp: the models and state of a stream, as they were when the batch was taken
               // in

/// Why an event or a batch did not get a score. Every refusal counts under one of these.
enum class Refusal : std::uint8_t { header, version, stream, too_large, payload, row, sequence };
inline constexpr std::size_t refusal_kinds = 7;

/// One model's results for a batch, n items each.
struct Scores {
  std::vector<float> score;
  std::vector<double> p_value, threshold;
  std::vector<std::uint8_t> flag, extrapolated;
};

/// A row that an active model flagged, and why: `width` items each of values and contributions, from `first`.
struct Flagged {
  std::uint32_t row = 0;
  std::uint32_t model = 0;  ///< index into the batch's scores
  std::size_t first = 0;
};

/// Batches are made at start and used again and again: `clear` keeps the memory, so that the steady path
/// allocates nothing. The frames hold the bytes that dense records borrow, until the batch goes back to its
/// pool.
struct Batch {
  // Where it came from.
  std::uint32_t source = 0;         ///< index of the ingest endpoint
  std::uint32_t producer_slot = 0;  ///< the source's own number for the producer
  std::string producer;
  std::uint64_t seq = 0;
  bool acked = false;    ///< somebody waits for the answer
  bool durable = false;  ///< the answer waits for the results' sync
  std::uint64_t payload_bytes = 0;
  std::int64_t received_ns = 0;  ///< steady clock

  // What it carries.
  std::vector<zmq::message_t> frames;  ///< payload frames only
  std::size_t frame_count = 0;         ///< of `frames`, in use
  engine::Records records;

  // What became of it.
  std::shared_ptr<Route> route;  ///< null: refused whole, to be settled in its turn
  std::size_t models = 0;        ///< of `scores`, in use; 0 while the stream is learning
  std::vector<Scores> scores;
  std::vector<Flagged> flagged;
  std::vector<float> flagged_values, flagged_contributions;

  std::size_t rows() const { return records.count; }
  void clear();
  /// Of the buffers kept for reuse, estimated.
  std::size_t retained_bytes() const;
};

}  // namespace lanner::host
