// A batch's way to a GPU and back: pinned rows in, scores and p-values out, with memory, stream and event of
// its own, so that several are under way at once and copies, kernels and read-back of different ones overlap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/model/model.hpp"
#include "kernels/device/device.hpp"

namespace lanner::engine {

class RoundTrip {
 public:
  /// Throws DeviceError, as every other call does. The device must outlive it.
  explicit RoundTrip(Device&);

  /// Memory for `rows_max` rows scored by any of the models it is called for. Nothing may be under way.
  void make_room(const ModelScorer&, std::size_t rows_max);

  /// Puts everything into the stream and returns. `rows` are in pinned memory (Device::pinned), packed, and
  /// must stay until it is done.
  /// Allocates nothing of its own.
  /// `segments` [n], in any memory, is copied at once: Model::segments_of; empty: 0 each.
  void begin(const ModelScorer&, Rows rows, std::span<const std::uint32_t> segments = {});
  bool done() const { return event_.happened(); }
  /// Waits for as long as it takes.
  void wait() const { event_.synchronize(); }
  /// After a call failed half-way: whether nothing is under way any more. Asks anew each time.
  bool ended();

  /// Once done: of the rows begun. Rows that were refused have the scores of their zeros: settle_refused.
  std::span<const float> scores() const { return scores_.span().first(count_); }
  std::span<const double> p_values() const { return p_values_.span().first(count_); }
  std::span<const std::uint8_t> extrapolated() const { return extrapolated_.span().first(count_); }

 private:
  Device& device_;
  Stream stream_;
  Event event_;
  std::size_t count_ = 0;
  bool asked_ = false;
  Array<float> device_rows_, device_scores_;
  Array<double> device_p_values_;
  Array<std::uint8_t> device_extrapolated_;
  Array<std::uint32_t> device_segments_;
  Array<std::byte> workspace_;
  Pinned<float> scores_;
  Pinned<double> p_values_;
  Pinned<std::uint8_t> extrapolated_;
  Pinned<std::uint32_t> segments_;
};

}  // namespace lanner::engine
