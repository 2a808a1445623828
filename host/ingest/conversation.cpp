#include "host/ingest/conversation.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace lanner::host {
namespace {

constexpr std::size_t rows_named_max = 100;
constexpr std::size_t name_bytes_max = 256;

using Json = nlohmann::ordered_json;

// What a producer wrote may come back to it in a reason, and need not be UTF-8.
std::string text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::uint64_t credit_of(const IngestConfig& config) {
  return std::max(config.credit_bytes, config.batch_bytes_max);
}

}  // namespace

Conversation::Conversation(std::span<Source* const> sources,
                           const std::map<std::string, std::uint64_t, std::less<>>& settled,
                           std::size_t producers_max)
    : sources_(sources.begin(), sources.end()), producers_max_(std::max(producers_max, settled.size())) {
  for (const auto& [name, seq] : settled) {
    Producer& producer = *find_or_make(name);
    producer.taken = producer.durable = seq;
  }
}

Conversation::Producer* Conversation::find(std::string_view name) {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &producers_[found->second];
}

Conversation::Producer* Conversation::find_or_make(std::string_view name) {
  if (Producer* known = find(name)) return known;
  if (producers_.size() >= producers_max_) return nullptr;
  by_name_.emplace(name, static_cast<std::uint32_t>(producers_.size()));
  Producer& producer = producers_.emplace_back();
  producer.name = name;
  producer.in_flight.resize(64);
  return &producer;
}

void Conversation::reply(std::uint32_t source, std::string_view peer, std::string_view json) {
  if (sources_[source]->reply(peer, json) != Replied::sent) ++replies_lost_;
}

void Conversation::touch(Producer& producer) {
  if (producer.dirty) return;
  producer.dirty = true;
  dirty_.push_back(static_cast<std::uint32_t>(&producer - producers_.data()));
}

void Conversation::refuse_message(std::uint32_t source, std::string_view peer, std::string_view reason) {
  reply(source, peer, text({{"v", 1}, {"nack", nullptr}, {"reason", reason}}));
}

void Conversation::hello(std::uint32_t source, std::string_view peer, std::string_view name) {
  if (name.empty() || name.size() > name_bytes_max) {
    return refuse_message(
        source, peer, fmt::format("producer: found {} bytes, allowed 1 to {}", name.size(), name_bytes_max));
  }
  Producer* producer = find_or_make(name);
  if (!producer) return refuse_message(source, peer, fmt::format("more than {} producers", producers_max_));
  if (producer->owned && (producer->source != source || producer->peer != peer)) {
    producer->superseded_peer = producer->peer;
    refuse_message(producer->source, producer->peer, "superseded");
  }
  if (producer->superseded_peer == peer) producer->superseded_peer.clear();
  producer->owned = true;
  producer->source = source;
  producer->peer = peer;
  ++producer->hello;
  const IngestConfig& config = sources_[source]->config();
  producer->credit = static_cast<std::int64_t>(credit_of(config));
  producer->credit_owed = 0;
  producer->ack = false;
  json_.clear();
  fmt::format_to(std::back_inserter(json_), R"({{"v":1,"ack":{},"credit":{},"batch_bytes_max":{}}})",
                 producer->durable, credit_of(config), config.batch_bytes_max);
  reply(source, peer, json_);
}

Arrival Conversation::arrived(std::uint32_t source, std::string_view peer, std::string_view name,
                              std::uint64_t seq, std::uint64_t bytes, std::uint32_t& producer_slot) {
  Producer* producer = find(name);
  if (!producer || !producer->owned || producer->source != source || producer->peer != peer) {
    ++sequence_refusals_;
    if (producer && producer->superseded_peer == peer && producer->owned) {
      refuse_message(source, peer, "superseded");
    } else {
      reply(source, peer,
            text({{"v", 1},
                  {"nack", seq},
                  {"reason", "producer: this connection has not said hello for it"},
                  {"retry", true},
                  {"expected", (producer ? producer->taken : 0) + 1}}));
    }
    return Arrival::refused;
  }

  if (seq == 0) {
    ++sequence_refusals_;
    reply(source, peer, R"({"v":1,"nack":0,"reason":"seq: found 0, the first is 1"})");
    return Arrival::refused;
  }
  if (seq <= producer->durable) {
    producer->ack = true;
    producer->credit_owed += bytes;
    touch(*producer);
    return Arrival::repeated;
  }
  if (seq <= producer->taken) {
    InFlight& original = producer->at(seq);
    if (original.hello != producer->hello) {
      original = {bytes, producer->hello};
      producer->credit -= static_cast<std::int64_t>(bytes);
    } else {
      producer->credit_owed += bytes;
      touch(*producer);
    }
    return Arrival::repeated;
  }

  const auto retry = [&](std::string_view reason) {
    ++sequence_refusals_;
    json_.clear();
    fmt::format_to(std::back_inserter(json_),
                   R"({{"v":1,"nack":{},"reason":"{}","retry":true,"expected":{}}})", seq, reason,
                   producer->taken + 1);
    reply(source, peer, json_);
    return Arrival::refused;
  };
  if (seq != producer->taken + 1)
    return retry(fmt::format("seq: found {}, expected {}", seq, producer->taken + 1));
  // A batch over the limit is refused for good, whatever credit is left: it would never fit.
  const bool fits = bytes <= sources_[source]->config().batch_bytes_max;
  if (fits && static_cast<std::int64_t>(bytes) > producer->credit)
    return retry(
        fmt::format("credit: {} bytes sent, {} left", bytes, std::max<std::int64_t>(producer->credit, 0)));

  producer->taken = seq;
  producer->credit -= static_cast<std::int64_t>(bytes);
  if (producer->taken - producer->durable > producer->in_flight.size()) {
    std::vector<InFlight> grown(producer->in_flight.size() * 2);
    for (std::uint64_t s = producer->durable + 1; s < seq; ++s)
      grown[s & (grown.size() - 1)] = producer->at(s);
    producer->in_flight = std::move(grown);
  }
  producer->at(seq) = {bytes, producer->hello};
  ++in_flight_;
  producer_slot = static_cast<std::uint32_t>(producer - producers_.data());
  return Arrival::taken;
}

void Conversation::refuse(std::uint32_t slot, std::uint64_t seq, std::string_view reason) {
  const Producer& producer = producers_[slot];
  reply(producer.source, producer.peer, text({{"v", 1}, {"nack", seq}, {"reason", reason}}));
}

void Conversation::refuse_rows(std::uint32_t slot, std::uint64_t seq,
                               std::span<const engine::RowRefusal> rows) {
  if (rows.empty()) return;
  Json named = Json::array();
  for (const engine::RowRefusal& refusal : rows.first(std::min(rows.size(), rows_named_max)))
    named.push_back({{"row", refusal.row}, {"reason", refusal.reason}});
  const Producer& producer = producers_[slot];
  reply(producer.source, producer.peer,
        text({{"v", 1},
              {"nack", seq},
              {"reason", fmt::format("{} {} refused", rows.size(), rows.size() == 1 ? "row" : "rows")},
              {"rows", std::move(named)},
              {"rows_refused", rows.size()}}));
}

void Conversation::settled(std::uint32_t slot, std::uint64_t seq) {
  Producer& producer = producers_[slot];
  for (std::uint64_t s = producer.durable + 1; s <= seq; ++s) {
    const InFlight done = producer.at(s);
    --in_flight_;
    if (done.hello != producer.hello) continue;
    producer.credit += static_cast<std::int64_t>(done.bytes);
    producer.credit_owed += done.bytes;
  }
  producer.durable = std::max(producer.durable, seq);
  producer.ack = true;
  touch(producer);
}

bool Conversation::flush() {
  still_dirty_.clear();
  for (const std::uint32_t slot : dirty_) {
    Producer& producer = producers_[slot];
    producer.dirty = false;
    if (!producer.ack && producer.credit_owed == 0) continue;
    json_ = R"({"v":1)";
    if (producer.ack) fmt::format_to(std::back_inserter(json_), R"(,"ack":{})", producer.durable);
    if (producer.credit_owed)
      fmt::format_to(std::back_inserter(json_), R"(,"credit":{})", producer.credit_owed);
    json_ += '}';
    if (sources_[producer.source]->reply(producer.peer, json_) == Replied::later) {
      producer.dirty = true;
      still_dirty_.push_back(slot);
      continue;
    }
    // Where the peer is gone a hello will set it right.
    producer.ack = false;
    producer.credit_owed = 0;
  }
  dirty_.swap(still_dirty_);
  return !dirty_.empty();
}

}  // namespace lanner::host
