// Intake: from messages to decoded batches of known streams. Speaks with the producers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "host/batch.hpp"
#include "host/clock.hpp"
#include "host/decode/decode.hpp"
#include "host/ingest/conversation.hpp"
#include "host/ingest/source.hpp"
#include "host/pipeline/counters.hpp"
#include "host/pipeline/routes.hpp"

namespace lanner::host {

/// The batches there are, and how many bytes those in flight hold.
class BatchPool {
 public:
  BatchPool(std::size_t batches, std::uint64_t bytes_in_flight_max);
  /// nullptr: none is free, or those in flight hold too much.
  Batch* take();
  void give_back(Batch*);
  bool available() const { return !free_.empty() && bytes_ < bytes_max_; }
  /// Once its payload is known.
  void charge(Batch& batch) { bytes_ += batch.payload_bytes; }
  std::size_t size() const { return batches_.size(); }
  std::size_t free() const { return free_.size(); }

 private:
  /// What batches may keep allocated for reuse, together.
  static constexpr std::size_t retained_bytes_max = std::size_t{512} << 20;

  std::vector<std::unique_ptr<Batch>> batches_;
  std::vector<Batch*> free_;  ///< a stack: those used last are used next, so few grow large
  std::vector<std::size_t> retained_;
  std::size_t retained_sum_ = 0;
  std::uint64_t bytes_ = 0, bytes_max_;
};

class Intake {
 public:
  Intake(const Clock&, std::vector<Source*>, const std::map<std::string, std::uint64_t, std::less<>>& settled,
         BatchPool&, Counters&);

  /// What a message turned out to be. `batch` is null where it was answered on the spot.
  struct Taken {
    Batch* batch = nullptr;
    bool scored = false;  ///< it has rows for models; otherwise it only has to be settled in its turn
  };
  Taken take(std::uint32_t source, Message&, const Routes&);

  /// The batch has been staged; these rows of it were refused by features, beside those that decoding
  /// refused.
  void staged(Batch&, std::span<const engine::RowRefusal>);
  /// It is past its durable point, or whatever stands for it: answered, and back in the pool.
  void settle(Batch&);
  /// Sends the answers. true: some peer wasn't ready; call again soon.
  bool answer();

  std::uint64_t order() const { return order_; }

 private:
  struct Quiet {  ///< at most a log line a second for each reason
    std::int64_t next_ns = 0;
    std::uint64_t since = 0;
  };

  bool read_header(std::uint32_t source, const Message&, std::string& reason);
  void count(Refusal, std::uint64_t n = 1);
  void log(Refusal, const Source&, std::string_view producer, std::uint64_t seq, std::string_view reason);
  Taken refuse(Batch&, Refusal, std::string_view reason);

  const Clock& clock_;
  std::vector<Source*> sources_;
  BatchPool& pool_;
  Counters& counters_;
  Conversation conversation_;
  HeaderParser parser_;
  Header header_;
  Decoder decoder_;
  std::vector<Bytes> frames_;
  std::vector<std::string> lossy_names_;
  std::vector<std::uint64_t> lossy_seqs_;
  std::uint64_t order_ = 0;
  std::vector<engine::RowRefusal> refusals_;
  std::array<Quiet, refusal_kinds> quiet_;
};

}  // namespace lanner::host
