// Staging: from decoded batches to slots of feature rows. A slot holds rows of one stream, from one batch or
// several; a batch larger than a slot is cut over several. Slots are made at start and go round: staged here,
// scored, handed back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "host/batch.hpp"
#include "host/config/config.hpp"
#include "host/pipeline/counters.hpp"
#include "host/pipeline/queue.hpp"
#include "host/pipeline/routes.hpp"
#include "kernels/device/device.hpp"

namespace lanner::host {

struct Slot {
  using Segment = BatchPart;

  std::shared_ptr<Route> route;
  std::vector<Segment> segments;
  std::size_t count = 0;  ///< rows
  std::int64_t opened_ns = 0;
  bool direct = false;         ///< the rows lie in the batch's own frame, for every lane; none is refused
  bool pinned_by_gpu = false;  ///< `values` can be copied to a GPU

  Pinned<float> values;                        ///< of all lanes, one after another
  Pinned<std::uint8_t> refused, extrapolated;  ///< results x rows; extrapolated: one lane at a time
  Pinned<std::uint32_t> calibrations;          ///< lanes x rows: engine::Model::segments_of
  Pinned<float> scores;
  Pinned<double> p_values;
  Pinned<std::byte> workspace;

  /// Rows of one lane, as features.
  Rows rows(std::size_t lane, std::size_t rows_max);
  /// Where a lane's rows begin in `values`.
  float* values_of(std::size_t lane, std::size_t rows_max);
  std::span<std::uint8_t> refused_of(std::size_t result, std::size_t rows_max);
  /// Empty where the lane's model has no segments.
  std::span<std::uint32_t> calibrations_of(std::size_t lane, std::size_t rows_max);
};

class Stage {
 public:
  struct Options {
    std::size_t slots = 4, rows_max = 8192;
    std::int64_t wait_ns = 2'000'000;
    std::size_t batches = 1024;  ///< that there are
  };
  /// `filled` is called with every slot that is to be scored, in the stream's order; scored, it comes back in
  /// `free`, maybe before that call returns. Rows for GPUs are staged in memory that the first of them pins.
  Stage(Device& cpu, Gpus, const Options&, Counters&, std::function<void(Slot&)> filled, Queue<Slot*>& free);

  std::size_t rows_max() const { return options_.rows_max; }

  /// Makes every slot large enough, before the first batch comes. (New routes enlarge a slot when it is
  /// taken.)
  void make_room(const Route&);

  /// One at a time: the batch before must be through. Rows, lanes and route are set.
  void begin(Batch&);
  bool under_way() const { return batch_ != nullptr; }
  /// Stages what there is room for. The batch, once it is through; otherwise null.
  Batch* advance(std::int64_t now_ns);
  /// Of the batch that has just been staged: rows that its features refused, and why, in no particular order.
  std::span<const engine::RowRefusal> refusals() const { return refusals_; }

  /// Hands on the slots that have waited long enough.
  void close_expired(std::int64_t now_ns);
  /// Hands on what there is where nothing is being scored or waits to be: to wait would gain nothing.
  void close_if_idle();
  void close_all();
  /// When close_expired has something to do next; INT64_MAX: never.
  std::int64_t next_expiry_ns() const;
  bool has_open() const { return !open_.empty(); }

 private:
  bool is_direct(const Batch&) const;
  Slot* open_slot(const std::shared_ptr<Route>&, std::int64_t now_ns);
  Slot* take_free(const std::shared_ptr<Route>&, std::int64_t now_ns);
  void close(Slot*);
  void make_room(Slot&, const Route&);
  void make_values(Slot&, std::size_t count);
  bool gpus_in_use() const;

  Device& device_;
  Gpus gpus_;
  Options options_;
  Counters& counters_;
  std::function<void(Slot&)> filled_;
  Queue<Slot*>& free_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Slot*> open_;  ///< oldest first
  Batch* batch_ = nullptr;
  std::size_t next_row_ = 0;
  bool direct_ = false;
  std::vector<engine::RowRefusal> refusals_;
};

}  // namespace lanner::host
