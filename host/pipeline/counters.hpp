// What the host counts, in atomics that the hot path may touch: no locks, no allocation.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "host/batch.hpp"

namespace lanner::host {

/// Written by few, read by whoever shows it.
class Counter {
 public:
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  void set(std::uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  operator std::uint64_t() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

std::string_view name(Refusal);

struct StreamCounters {
  Counter events_in, events_scored, events_learning, events_refused, alerts, batches;
  Counter learned_rows, learn_target, learn_failures;
  Counter refits, refits_refused, refits_failed;  ///< taken over, not let through, and those that threw
};

/// Durations, in buckets that suit microseconds to seconds.
class Durations {
 public:
  static constexpr std::array<double, 16> bounds_s{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3,
                                                   5e-3,  10e-3, 25e-3, 50e-3,  100e-3, 250e-3, 1,    5};
  void add(std::int64_t ns);
  std::array<std::uint64_t, bounds_s.size() + 1> counts() const;
  double sum_s() const { return 1e-9 * static_cast<double>(sum_ns_); }

 private:
  std::array<Counter, bounds_s.size() + 1> counts_;
  Counter sum_ns_;
};

struct Counters {
  // Events: in = scored + refused + learning, once all that is in flight has passed.
  Counter events_in, events_scored, events_refused, events_learning, alerts;
  Counter batches_in, batches_settled, batches_repeated, bytes_in, refused_batches;
  std::array<Counter, refusal_kinds> refused;  ///< by reason: rows for `row`, batches for the others
  Counter published_dropped, replies_lost, producers, acked_in_flight;
  Counter results_rows, results_syncs, results_failures;
  Counter reloads, reloads_refused, slots_scored, rows_staged, rows_direct;
  Counter slots_scored_on_gpu, gpu_failures;
  Counter batches_free, slots_free;
  Durations intake, score, outlet, total;
};

/// Per-stream counters outlive the streams' configurations.
class StreamCounterTable {
 public:
  std::shared_ptr<StreamCounters> of(const std::string& stream);
  std::vector<std::pair<std::string, std::shared_ptr<const StreamCounters>>> all() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<StreamCounters>> table_;
};

}  // namespace lanner::host
