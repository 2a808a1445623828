#include "engine/model/round_trip.hpp"

#include <algorithm>
#include <stdexcept>

namespace lanner::engine {
namespace {

template <class T>
void grow(Device& device, Array<T>& array, std::size_t count) {
  if (array.size() < count) array = device.array<T>(count);
}
template <class T>
void grow(Device& device, Pinned<T>& pinned, std::size_t count) {
  if (pinned.size() < count) pinned = device.pinned<T>(count);
}

}  // namespace

RoundTrip::RoundTrip(Device& device) : device_(device), stream_(device.stream()), event_(device.event()) {}

void RoundTrip::make_room(const ModelScorer& scorer, std::size_t rows_max) {
  grow(device_, device_rows_, rows_max * scorer.scorer().width());
  grow(device_, device_scores_, rows_max);
  grow(device_, device_p_values_, rows_max);
  grow(device_, device_extrapolated_, rows_max);
  grow(device_, workspace_, scorer.workspace_bytes(rows_max));
  grow(device_, scores_, rows_max);
  grow(device_, p_values_, rows_max);
  grow(device_, extrapolated_, rows_max);
  if (!scorer.model().segments()) return;
  grow(device_, device_segments_, rows_max);
  grow(device_, segments_, rows_max);
}

void RoundTrip::begin(const ModelScorer& scorer, Rows rows, std::span<const std::uint32_t> segments) {
  const std::size_t n = rows.count, values = n * rows.width;
  if (rows.stride != rows.width) throw std::invalid_argument("rows on their way to a device are packed");
  if (n > device_scores_.size() || values > device_rows_.size())
    throw std::invalid_argument("more rows than there is room for");
  count_ = n;
  if (!scorer.calibrated()) {
    std::fill_n(p_values_.data(), n, 1.0);
    std::fill_n(extrapolated_.data(), n, std::uint8_t{0});
  }
  std::span<const std::uint32_t> on_device;
  if (scorer.model().segments() && !segments.empty()) {
    if (segments.size() < n || n > segments_.size())
      throw std::invalid_argument("one segment a row, in as much room as there is for rows");
    std::copy_n(segments.data(), n, segments_.data());
    stream_.copy_in(device_segments_.span().first(n), segments_.data());
    on_device = device_segments_.span().first(n);
  }
  stream_.copy_in(device_rows_.span().first(values), rows.data);
  scorer.score_on_device(stream_, {device_rows_.data(), n, rows.width, rows.width}, workspace_.span(),
                         device_scores_.span().first(n), device_p_values_.span().first(n),
                         device_extrapolated_.span().first(n), on_device);
  stream_.copy_out(scores_.span().first(n), device_scores_.data());
  if (scorer.calibrated()) {
    stream_.copy_out(p_values_.span().first(n), device_p_values_.data());
    stream_.copy_out(extrapolated_.span().first(n), device_extrapolated_.data());
  }
  stream_.record(event_);
}

bool RoundTrip::ended() {
  if (!asked_) stream_.record(event_);
  asked_ = true;
  return event_.happened();
}

}  // namespace lanner::engine
