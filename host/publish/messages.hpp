// The JSON of what is published (docs/wire.md, "Results"), written into buffers that are used again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lanner::host {

/// The frames after the header of a scores message, in this order.
inline constexpr std::string_view score_frames =
    R"(["score:float32","p_value:float64","threshold:float64","flag:uint8"])";

/// Appends a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD.
void append_json(std::string& out, std::string_view text);
/// Appends the shortest text that reads back to the same value; null where it isn't finite, as JSON has no
/// other.
void append_json(std::string& out, double value);
void append_json(std::string& out, float value);

/// What doesn't change from batch to batch in a scores header: written once.
class ScoresHeader {
 public:
  ScoresHeader(std::string_view stream, std::string_view model, std::string_view model_hash,
               std::string_view device);
  void write(std::string& out, std::string_view producer, std::uint64_t seq, std::size_t n) const;

 private:
  std::string before_producer_, after_n_;
};

/// "<producer>:<seq>:<row>": an event's name where it brought none.
void append_event_name(std::string& out, std::string_view producer, std::uint64_t seq, std::size_t row);

struct Alert {
  std::string_view stream, event, entity, model, model_hash;
  const std::int64_t* time = nullptr;
  float score = 0, base = 0;
  double expected = std::numeric_limits<double>::quiet_NaN();  ///< of a series; NaN: left out
  double p_value = 1, threshold = 0;
  std::uint8_t flag = 0;
  std::span<const std::string> names;    ///< of the features
  std::span<const double> values;        ///< likewise
  std::span<const float> contributions;  ///< likewise
};

/// Contributions are listed by size, largest first. Not for two threads at once.
class AlertWriter {
 public:
  void write(std::string& out, const Alert&);

 private:
  std::vector<std::uint32_t> order_;
  std::string scratch_;
};

}  // namespace lanner::host
