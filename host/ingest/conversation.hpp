// The acked protocol (docs/wire.md, "Replies") without sockets: who owns a producer's name, which batch is
// next, what is in flight, how much credit is left, and what is answered.
//
// Credit. A hello sets it. It is spent by every batch that is taken, refused for good or dropped as a repeat,
// and given back when that batch is answered. A batch answered with "retry" never spent it. What was sent
// before a hello gives nothing back after it, unless it is sent again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/records/records.hpp"
#include "host/ingest/source.hpp"

namespace lanner::host {

enum class Arrival {
  taken,     ///< the producer's next batch: it must be settled, in its turn
  repeated,  ///< known already; answered, or its original's answer serves
  refused,   ///< out of turn, over the credit, or from a connection that doesn't own the name; answered
};

class Conversation {
 public:
  /// sources: indexed as in the calls below; they outlive this. settled: what is durable from earlier runs.
  /// producers_max: names known at a time; a hello beyond it is refused.
  Conversation(std::span<Source* const> sources,
               const std::map<std::string, std::uint64_t, std::less<>>& settled,
               std::size_t producers_max = 65536);

  void hello(std::uint32_t source, std::string_view peer, std::string_view producer);
  /// A message that can't even be placed in a sequence: answered with a nack of nothing.
  void refuse_message(std::uint32_t source, std::string_view peer, std::string_view reason);

  /// A batch's header has come. producer_slot is set where the batch is taken.
  Arrival arrived(std::uint32_t source, std::string_view peer, std::string_view producer, std::uint64_t seq,
                  std::uint64_t payload_bytes, std::uint32_t& producer_slot);
  /// A taken batch is refused whole and for good: the nack. It still has to be settled.
  void refuse(std::uint32_t producer_slot, std::uint64_t seq, std::string_view reason);
  /// Some rows of a taken batch are refused. Ascending; the first 100 are named.
  void refuse_rows(std::uint32_t producer_slot, std::uint64_t seq, std::span<const engine::RowRefusal> rows);

  /// Batch seq, and with it all before it, is past its durable point. Answered at the next flush, merged.
  void settled(std::uint32_t producer_slot, std::uint64_t seq);
  /// Sends acks and credits. true: some peer wasn't ready; flush again soon.
  bool flush();

  std::size_t producers() const { return producers_.size(); }
  std::uint64_t in_flight() const { return in_flight_; }
  std::uint64_t replies_lost() const { return replies_lost_; }
  std::uint64_t sequence_refusals() const { return sequence_refusals_; }

 private:
  struct InFlight {
    std::uint64_t bytes = 0, hello = 0;
  };
  struct Producer {
    std::string name, peer, superseded_peer;
    std::uint32_t source = 0;
    bool owned = false, dirty = false, ack = false;
    std::uint64_t taken = 0, durable = 0;
    std::uint64_t hello = 0;          ///< number of the newest hello
    std::int64_t credit = 0;          ///< left to it, as we count
    std::uint64_t credit_owed = 0;    ///< to be told at the next flush
    std::vector<InFlight> in_flight;  ///< ring by seq, a power of two long
    InFlight& at(std::uint64_t seq) { return in_flight[seq & (in_flight.size() - 1)]; }
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  Producer* find(std::string_view name);
  Producer* find_or_make(std::string_view name);
  void reply(std::uint32_t source, std::string_view peer, std::string_view json);
  void touch(Producer&);

  std::vector<Source*> sources_;
  std::size_t producers_max_;
  std::vector<Producer> producers_;
  std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> by_name_;
  std::vector<std::uint32_t> dirty_, still_dirty_;
  std::string json_;
  std::uint64_t in_flight_ = 0, replies_lost_ = 0, sequence_refusals_ = 0;
};

}  // namespace lanner::host
