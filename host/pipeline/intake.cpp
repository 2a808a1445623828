#include "host/pipeline/intake.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <nlohmann/json.hpp>

namespace lanner::host {
namespace {

constexpr std::uint64_t tensor_rows_max = 16u << 20;
/// Of the other formats, whose rows take more room decoded than encoded.
constexpr std::uint64_t record_rows_max = 1u << 20;

// A header that can't be used may still say whose it is and where it stands, so that it can be refused in its
// turn instead of leaving a gap that its producer can never fill.
void recover_place(std::string_view frame, Header& header) {
  header.hello = false;
  header.producer.clear();
  header.seq.reset();
  if (frame.size() > 65536) return;
  const auto json = nlohmann::json::parse(frame, nullptr, false);
  if (!json.is_object()) return;
  const auto producer = json.find("producer"), seq = json.find("seq");
  if (producer == json.end() || seq == json.end() || !producer->is_string() || !seq->is_number_unsigned())
    return;
  header.producer = producer->get<std::string>();
  header.seq = seq->get<std::uint64_t>();
}

}  // namespace

BatchPool::BatchPool(std::size_t batches, std::uint64_t bytes_in_flight_max)
    : retained_(batches), bytes_max_(bytes_in_flight_max) {
  free_.reserve(batches);
  for (std::size_t i = 0; i < batches; ++i) {
    Batch& batch = *batches_.emplace_back(std::make_unique<Batch>());
    batch.pool_slot = static_cast<std::uint32_t>(i);
    batch.producer.reserve(256);
    batch.frames.resize(Message::frames_max);
    batch.scores.resize(1);
    free_.push_back(&batch);
  }
}

Batch* BatchPool::take() {
  if (!available()) return nullptr;
  Batch* batch = free_.back();
  free_.pop_back();
  return batch;
}

void BatchPool::give_back(Batch* batch) {
  bytes_ -= batch->payload_bytes;
  batch->payload_bytes = 0;
  std::size_t& retained = retained_[batch->pool_slot];
  retained_sum_ -= retained;
  retained = batch->clear();
  if (retained_sum_ + retained > retained_bytes_max) {
    batch->records = {};
    batch->scores = std::vector<Scores>(1);
    batch->flagged_values = {};
    batch->flagged_contributions = {};
    retained = 0;
  }
  retained_sum_ += retained;
  free_.push_back(batch);
}

Intake::Intake(const Clock& clock, std::vector<Source*> sources,
               const std::map<std::string, std::uint64_t, std::less<>>& settled, BatchPool& pool,
               Counters& counters)
    : clock_(clock),
      sources_(std::move(sources)),
      pool_(pool),
      counters_(counters),
      conversation_(sources_, settled) {
  frames_.reserve(Message::frames_max);
  lossy_seqs_.resize(sources_.size());
  // The start's time keeps the names of two runs apart.
  for (std::size_t i = 0; i < sources_.size(); ++i)
    lossy_names_.push_back(fmt::format("lossy-{}-{}", i, clock_.unix_ns() / 1'000'000));
  counters_.producers.set(conversation_.producers());
}

void Intake::count(Refusal refusal, std::uint64_t n) {
  counters_.refused[static_cast<std::size_t>(refusal)].add(n);
  if (refusal != Refusal::row) counters_.refused_batches.add(n);
}

void Intake::log(Refusal refusal, const Source& source, std::string_view producer, std::uint64_t seq,
                 std::string_view reason) {
  Quiet& quiet = quiet_[static_cast<std::size_t>(refusal)];
  ++quiet.since;
  const std::int64_t now = clock_.steady_ns();
  if (now < quiet.next_ns) return;
  quiet.next_ns = now + 1'000'000'000;
  spdlog::warn("refused ({}): {}: producer '{}' seq {}: {} ({} since the last such line)", name(refusal),
               source.config().bind, producer, seq, reason, quiet.since);
  quiet.since = 0;
}

// true: the header is that of a batch, and tells its place. `reason` is set where it is good for nothing
// else.
bool Intake::read_header(std::uint32_t source, const Message& message, std::string& reason) {
  Source& from = *sources_[source];
  const bool acked = from.config().delivery == Delivery::acked;
  const std::string_view frame =
      message.count ? std::string_view(message.frames[0].data<char>(), message.frames[0].size())
                    : std::string_view();
  reason = parser_.parse(frame, header_);
  if (reason.empty() && header_.hello) {
    if (acked) {
      conversation_.hello(source, message.peer, header_.producer);
      counters_.producers.set(conversation_.producers());
    } else {
      count(Refusal::header);
      log(Refusal::header, from, header_.producer, 0, "hello on a lossy endpoint");
    }
    return false;
  }
  if (!acked) {
    if (reason.empty()) return true;
    count(Refusal::header);
    log(Refusal::header, from, "", 0, reason);
    return false;
  }
  if (!reason.empty()) recover_place(frame, header_);
  if (!header_.producer.empty() && header_.seq) return true;
  if (reason.empty()) reason = header_.seq ? "producer: missing" : "seq: missing";
  count(Refusal::header);
  log(Refusal::header, from, header_.producer, 0, reason);
  conversation_.refuse_message(source, message.peer, reason);
  return false;
}

Intake::Taken Intake::refuse(Batch& batch, Refusal refusal, std::string_view reason) {
  count(refusal);
  log(refusal, *sources_[batch.source], batch.producer, batch.seq, reason);
  if (batch.acked) conversation_.refuse(batch.producer_slot, batch.seq, reason);
  batch.route.reset();
  batch.records.clear();
  return {&batch, false};
}

Intake::Taken Intake::take(std::uint32_t source, Message& message, const Routes& routes) {
  const IngestConfig& config = sources_[source]->config();
  const std::int64_t now = clock_.steady_ns();
  counters_.bytes_in.add(message.payload_bytes);
  std::string reason;
  if (!read_header(source, message, reason)) return {};

  std::uint32_t producer_slot = 0;
  if (config.delivery == Delivery::acked) {
    const Arrival arrival = conversation_.arrived(source, message.peer, header_.producer, *header_.seq,
                                                  message.payload_bytes, producer_slot);
    if (arrival == Arrival::repeated) counters_.batches_repeated.add();
    if (arrival == Arrival::refused) count(Refusal::sequence);
    if (arrival != Arrival::taken) return {};
  }

  Batch& batch = *pool_.take();  // the caller made sure that there is one
  batch.order = order_++;
  batch.source = source;
  batch.received_ns = now;
  batch.payload_bytes = message.payload_bytes;
  batch.acked = config.delivery == Delivery::acked;
  batch.durable = batch.acked && config.durable == Durable::scored;
  batch.producer_slot = producer_slot;
  if (batch.acked) {
    batch.producer = header_.producer;
    batch.seq = *header_.seq;
  } else {
    batch.producer = lossy_names_[source];
    batch.seq = ++lossy_seqs_[source];
  }
  pool_.charge(batch);
  counters_.batches_in.add();

  if (!reason.empty()) return refuse(batch, Refusal::header, reason);
  const auto route = routes.find(header_.stream);
  if (route == routes.end())
    return refuse(batch, Refusal::stream,
                  fmt::format("stream: found '{}', which is not configured", header_.stream));
  if (message.payload_bytes > config.batch_bytes_max)
    return refuse(batch, Refusal::too_large,
                  fmt::format("payload: found {} bytes, allowed at most {}", message.payload_bytes,
                              config.batch_bytes_max));
  if (message.frames_dropped)
    return refuse(batch, Refusal::payload, fmt::format("frames: allowed at most {}", Message::frames_max));

  batch.frame_count = message.count - 1;
  frames_.clear();
  for (std::size_t i = 0; i < batch.frame_count; ++i) {
    batch.frames[i].swap(message.frames[i + 1]);
    frames_.emplace_back(batch.frames[i].data<std::byte>(), batch.frames[i].size());
  }
  const Route& stream = *route->second;
  reason =
      decoder_.decode(header_, frames_, stream.schema,
                      header_.format == Format::tensor ? tensor_rows_max : record_rows_max, batch.records);
  if (reason.empty() && stream.needs_time && batch.rows() > 0 && batch.records.time.empty())
    reason = stream.config.series ? "time: missing, the stream's series have a time"
                                  : "time: missing, the stream's decision rule counts it";
  if (!reason.empty()) return refuse(batch, Refusal::payload, reason);

  batch.route = route->second;
  batch.lanes = stream.results();
  if (batch.scores.size() < batch.lanes) batch.scores.resize(batch.lanes);
  for (std::size_t l = 0; l < batch.lanes; ++l) {
    Scores& scores = batch.scores[l];
    scores.score.resize(batch.rows());
    scores.p_value.resize(batch.rows());
    scores.threshold.resize(batch.rows());
    scores.flag.resize(batch.rows());
    scores.extrapolated.resize(batch.rows());
    scores.on_gpu = false;
  }
  counters_.events_in.add(batch.rows());
  stream.counters->events_in.add(batch.rows());
  stream.counters->batches.add();
  return {&batch, batch.lanes > 0 && batch.rows() > 0};
}

void Intake::staged(Batch& batch, std::span<const engine::RowRefusal> by_features) {
  const std::vector<engine::RowRefusal>& by_decoding = batch.records.refused;
  if (by_features.empty() && by_decoding.empty()) return;
  // Two models may refuse the same row: it is one row.
  refusals_.assign(by_decoding.begin(), by_decoding.end());
  refusals_.insert(refusals_.end(), by_features.begin(), by_features.end());
  std::stable_sort(refusals_.begin(), refusals_.end(),
                   [](const auto& a, const auto& b) { return a.row < b.row; });
  refusals_.erase(std::unique(refusals_.begin(), refusals_.end(),
                              [](const auto& a, const auto& b) { return a.row == b.row; }),
                  refusals_.end());
  batch.rows_refused = refusals_.size();
  count(Refusal::row, refusals_.size());
  counters_.events_refused.add(refusals_.size());
  batch.route->counters->events_refused.add(refusals_.size());
  log(Refusal::row, *sources_[batch.source], batch.producer, batch.seq,
      fmt::format("{} rows, the first is {}: {}", refusals_.size(), refusals_[0].row, refusals_[0].reason));
  if (batch.acked) conversation_.refuse_rows(batch.producer_slot, batch.seq, refusals_);
}

void Intake::settle(Batch& batch) {
  counters_.batches_settled.add();
  if (batch.acked) conversation_.settled(batch.producer_slot, batch.seq);
  pool_.give_back(&batch);
  counters_.acked_in_flight.set(conversation_.in_flight());
}

bool Intake::answer() {
  const bool again = conversation_.flush();
  counters_.replies_lost.set(conversation_.replies_lost());
  return again;
}

}  // namespace lanner::host
